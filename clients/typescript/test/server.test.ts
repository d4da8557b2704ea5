/** Against the real server. */

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { before, test } from 'node:test';

import {
  ClockSkewError,
  createSignature,
  EXPLAIN_HEADER,
  findDifferences,
  type KeyOptions,
  type KeySource,
  readKey,
  readProblem,
  signedFetch,
} from 'keyward';
import { keyFromEnvironment } from 'keyward/node';
import { Keyward, SERVICE_ACCOUNT, sshKeygen } from './support/keyward.js';
import { LosingProxy } from './support/losing-proxy.js';
import { keyFile } from './support/repository.js';
import { started } from './support/started.js';

const running = started();
let proxy: LosingProxy;
let keyward: Keyward;
/** Of the workspace's admin. */
let admin: string;
let projects: string;

before(async () => {
  proxy = running.add(await LosingProxy.start());
  keyward = running.add(await Keyward.start(`hosts = ["${proxy.origin}"]\n`));
  proxy.leadTo(keyward.url);
  keyward.admin('set-quota', '--workspace', 'acme', '--keys-per-service-account', '100');
  const pair = sshKeygen(keyward.directory, 'admin');
  admin = pair.privateKey;
  keyward.addKey(pair.publicKey, 'admin');
  const me: { workspaces: { id: string }[] } = await json(await signedFetch(admin)(`${keyward.url}/api/v1/me`));
  projects = `/api/v1/workspaces/${me.workspaces[0]?.id}/projects`;
});

/** Registers a key for the service account and asks who it is. */
async function assertAccepted(source: KeySource, options: KeyOptions = {}): Promise<void> {
  const key = await readKey(source, options);
  if (options.algorithm === undefined) keyward.addKey(key.publicKey);
  const request = signedFetch(key);
  const me = await request(`${keyward.url}/api/v1/me`);
  assert.equal(me.status, 200, await me.clone().text());
  const { principal }: { principal: { email: string } } = await json(me);
  assert.equal(principal.email, SERVICE_ACCOUNT);
  const challenge = await request(`${keyward.url}/api/v1/me/proof-challenges`, { method: 'POST' });
  assert.equal(challenge.status, 201, await challenge.clone().text());
}

test('a part that was changed on the way is found', async () => {
  const url = `${keyward.url}/api/v1/me`;
  const headers = { [EXPLAIN_HEADER]: '1', 'X-Tenant': 'acme' };
  const { base, headers: signed } = await createSignature({ method: 'GET', url, headers }, admin, {
    coveredHeaders: ['X-Tenant'],
  });
  const explain = async (target: string, sent: Record<string, string>) => {
    const response = await fetch(target, { headers: { ...headers, ...signed, ...sent } });
    const problem = await readProblem(response);
    assert.equal(problem?.status, 401);
    return findDifferences(base, problem);
  };
  const differences = await explain(`${url}?a=1`, { 'X-Tenant': 'c4nary' });
  assert.deepEqual(
    differences?.map(({ component }) => component),
    ['@target-uri', 'x-tenant'],
  );
  assert.deepEqual(differences?.[0], { component: '@target-uri', signed: url, arrived: `${url}?a=1` });
  assert.match(differences?.[1]?.signed ?? '', /^length=4, sha-256=[0-9a-f]{64}$/);
  assert.ok(!JSON.stringify(differences).includes('c4nary'));
  const other = 'keyward=:' + Buffer.alloc(64).toString('base64') + ':';
  assert.deepEqual(await explain(url, { signature: other }), [], 'nothing differs but the signature');
  const plain = await readProblem(await fetch(url));
  assert.ok(plain !== undefined);
  assert.equal(await findDifferences(base, plain), undefined);
});

for (const file of ['openssh-ed25519', 'putty-v3-p256.ppk', 'sec1-p384.pem', 'pkcs1-rsa.pem']) {
  test(`the server accepts what ${file} signs`, () => assertAccepted(keyFile(file)));
}

test('the server accepts rsa-v1_5-sha256 of a key that is registered', async () => {
  await assertAccepted(keyFile('openssh-rsa'));
  await assertAccepted(keyFile('openssh-rsa'), { algorithm: 'rsa-v1_5-sha256' });
});

test('the server accepts pairs that WebCrypto generates', async () => {
  const { subtle } = webcrypto;
  const rsa = { modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) };
  for (const algorithm of [
    { name: 'Ed25519' },
    { name: 'ECDSA', namedCurve: 'P-256' },
    { name: 'ECDSA', namedCurve: 'P-384' },
    { name: 'RSA-PSS', hash: 'SHA-512', ...rsa },
    { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', ...rsa },
  ]) {
    const pair = await subtle.generateKey(algorithm, false, ['sign', 'verify']);
    assert.ok('privateKey' in pair);
    await assertAccepted(pair);
  }
});

test('the server accepts a key by its id, and one that signs elsewhere', async () => {
  const file = sshKeygen(keyward.directory, 'by-id');
  keyward.addKey(file.publicKey);
  const key = await readKey(file.privateKey);
  const url = `${keyward.url}/api/v1/me`;
  const { key: registered }: { key: { id: string } } = await json(await signedFetch(key)(url));
  assert.match(registered.id, /^key_/);
  const elsewhere = { keyId: registered.id, algorithm: key.algorithm, sign: (data: Uint8Array) => key.sign(data) };
  assert.equal((await signedFetch(elsewhere)(url)).status, 200);
  assert.equal((await signedFetch(await readKey(file.privateKey, { keyId: registered.id }))(url)).status, 200);
});

test('the key of the environment signs', async () => {
  const file = sshKeygen(keyward.directory, 'in-a-file');
  keyward.addKey(file.publicKey);
  for (const environment of [
    { KEYWARD_KEY_FILE: file.file },
    { KEYWARD_KEY_FILE: file.file, KEYWARD_KEY: admin },
    { KEYWARD_KEY_FILE: '', KEYWARD_KEY: Buffer.from(file.privateKey).toString('base64') },
  ]) {
    const request = signedFetch(await keyFromEnvironment({}, environment));
    const { principal }: { principal: { email: string } } = await json(await request(`${keyward.url}/api/v1/me`));
    assert.equal(principal.email, SERVICE_ACCOUNT);
  }
});

test('targets arrive as they were signed', async () => {
  const request = signedFetch(admin);
  for (const target of [
    `${projects}?limit=1`,
    `${projects}?`,
    `${projects}?#part`,
    `${projects}?search=a%20b+c%2B%2F&search=Stra\u00dfe "quoted" |'`,
    `/api/../${projects.slice(1)}`,
  ]) {
    const response = await request(`${keyward.url}${target}`);
    // The server looks at the signature first, and refuses the query at most.
    assert.equal((await fetch(`${keyward.url}${target}`)).status, 401);
    assert.ok([200, 400].includes(response.status), `${target}: ${response.status} ${await response.clone().text()}`);
    await response.text();
  }
});

test('a header that is covered arrives', async () => {
  const request = signedFetch(admin, { coveredHeaders: ['X-Tag'] });
  for (const tag of ['  a,b ', '\ta\t b', '']) {
    const headers = { 'Keyward-Workspace': 'acme', 'X-Tag': tag };
    const response = await request(`${keyward.url}/api/v1/me`, { headers });
    assert.equal(response.status, 200, `${tag}: ${await response.text()}`);
  }
});

test('a signature of createSignature is good for another client', async () => {
  const { request } = await import('node:http');
  const body = JSON.stringify({ title: 'Other clients' });
  const headers = { 'content-type': 'application/json' };
  const signature = await createSignature({ method: 'POST', url: `${keyward.url}${projects}`, headers, body }, admin);
  const status = await new Promise((resolve, reject) => {
    request(signature.url, { method: 'POST', headers: { ...headers, ...signature.headers } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    })
      .on('error', reject)
      .end(body);
  });
  assert.equal(status, 201);
});

test('a write whose answer is lost happens once', async () => {
  const request = signedFetch(admin, { keywardUrl: proxy.origin, wait: async () => undefined });
  const before = await countProjects();
  proxy.lose = 2;
  const response = await request(`${proxy.origin}${projects}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ title: 'Once' }),
  });
  assert.equal(response.status, 201, await response.text());
  assert.deepEqual([proxy.lose, proxy.lost], [0, 2]);
  assert.equal(await countProjects(), before + 1);
});

test('a write whose answer is lost is not sent again where nobody says that this is Keyward', async () => {
  const request = signedFetch(admin);
  const before = await countProjects();
  proxy.lose = 1;
  const lost = request(`${proxy.origin}${projects}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ title: 'Perhaps' }),
  });
  await assert.rejects(lost, TypeError);
  assert.equal(await countProjects(), before + 1);
});

test('a clock that is wrong is told, and refusals of another kind are returned', async () => {
  for (const seconds of [3600, -3600]) {
    const wrong = signedFetch(admin, { now: () => Date.now() + seconds * 1000 });
    await assert.rejects(wrong(`${keyward.url}/api/v1/me`), (error) => {
      assert.ok(error instanceof ClockSkewError, String(error));
      assert.ok(Math.abs(error.skewSeconds - seconds) <= 2, error.message);
      return true;
    });
  }
  // The response does not show whether the key exists, but it shows the time.
  const stranger = sshKeygen(keyward.directory, 'stranger').privateKey;
  const late = signedFetch(stranger, { now: () => Date.now() - 120_000 });
  await assert.rejects(late(`${keyward.url}/api/v1/me`), ClockSkewError);
  const refused = await signedFetch(stranger)(`${keyward.url}/api/v1/me`);
  assert.equal(refused.status, 401);
  const problem = await readProblem(refused);
  assert.deepEqual([problem?.code, problem?.status], ['unauthenticated', 401]);
  const { fingerprint } = await readKey(stranger);
  assert.ok(problem?.detail.includes(`was signed by ${fingerprint}. If that is the right key, register`), problem?.detail);
  // Another reason tells all there is to do.
  const unsigned = await readProblem(await fetch(`${keyward.url}/api/v1/me`));
  assert.deepEqual([unsigned?.reason, unsigned?.detail.includes('was signed by')], ['missing', false]);
  assert.equal(await readProblem(await signedFetch(admin)(`${keyward.url}/api/v1/me`)), undefined);
  const missing = await signedFetch(admin)(`${keyward.url}${projects}/prj_00000000000000000000000000`);
  assert.equal((await readProblem(missing))?.code, 'not_found');
});

async function countProjects(): Promise<number> {
  const page: { items: unknown[] } = await json(await signedFetch(admin)(`${keyward.url}${projects}?limit=200`));
  return page.items.length;
}

async function json<T>(response: Response): Promise<T> {
  const body: T = await response.json();
  return body;
}
