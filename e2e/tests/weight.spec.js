// A list stays under 60 kB with all that it loads except the font, as a browser that was never here receives it.

import { generateKeyPairSync } from 'node:crypto';
import { expect, PASSWORD, signIn, test } from '../support/test.js';

const LIMIT = 60_000;
/** One page of rows, and some more. */
const ROWS = 52;

function publicLine() {
  const { publicKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url');
  const field = (bytes) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
  return `ssh-ed25519 ${Buffer.concat([field(Buffer.from('ssh-ed25519')), field(raw)]).toString('base64')}`;
}

/** Sends forms as the page that is open would, without a page for each. Where each led. */
const send = (page, forms) => page.evaluate(async (all) => {
  const csrf = document.querySelector('input[name=csrf]').value;
  const led = [];
  for (const [path, fields] of all) {
    const answer = await fetch(path, { method: 'POST', body: new URLSearchParams({ csrf, ...fields }) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    led.push(new URL(answer.url).pathname);
  }
  return led;
}, forms);

const times = (form) => Array.from({ length: ROWS }, (_, nth) => form(nth));

/** What comes over the wire for a page without its font, heads included, to a browser that keeps nothing. */
async function weigh(page, url) {
  const session = await page.context().newCDPSession(page);
  let weight = 0;
  const fonts = new Set();
  session.on('Network.requestWillBeSent', ({ requestId, type }) => { if (type === 'Font') fonts.add(requestId); });
  session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    if (!fonts.has(requestId)) weight += encodedDataLength;
  });
  await session.send('Network.enable');
  await session.send('Network.setCacheDisabled', { cacheDisabled: true });
  await page.goto(url, { waitUntil: 'networkidle' });
  await session.detach();
  return weight;
}

test('a list with a full page of rows is light', async ({ ada, keyward }) => {
  keyward.admin('set-quota', ['--workspace', 'acme', '--service-accounts', '100', '--keys-per-service-account', '100', '--keys-per-user', '100']);
  const [account] = await send(ada, times((nth) => ['/w/acme/service-accounts', { name: `label-exporter-${nth}`, description: '' }]));
  await send(ada, times((nth) => ['/w/acme/projects', { title: `Street signs of district ${nth}`, description: 'Bounding boxes, 2026' }]));
  const expires = new Date(Date.now() + 8 * 86_400_000).toISOString().slice(0, 10);
  for (const path of [`${account}/keys`, '/profile/api-keys']) {
    await send(ada, times((nth) => [path, { title: `Build machine ${nth}, Berlin`, public_key: publicLine(), expires, scopes: 'keyward:read', networks: '10.0.0.0/8, 192.0.2.7' }]));
  }
  const weights = {};
  for (const path of [account, `${account}?after=2`, '/w/acme/service-accounts', '/profile/api-keys', '/w/acme/projects', '/w/acme/activity']) {
    weights[path] = await weigh(ada, `${keyward.url}${path}`);
  }
  expect(Object.entries(weights).filter(([, weight]) => weight >= LIMIT)).toEqual([]);
  expect(Math.min(...Object.values(weights)), 'the rows are there').toBeGreaterThan(20_000);
});

test('and so is the list of users', async ({ page, keyward }) => {
  keyward.createUser('Olga', '--operator');
  await signIn(page, keyward, 'Olga');
  await page.goto(`${keyward.url}/operator/users`);
  await send(page, times((nth) => ['/operator/users', { email: `annotator.${nth}@research.example.com`, name: `Annotator ${nth}`, password: PASSWORD }]));
  const weight = await weigh(page, `${keyward.url}/operator/users`);
  expect(weight).toBeLessThan(LIMIT);
  expect(weight, 'the rows are there').toBeGreaterThan(30_000);
});
