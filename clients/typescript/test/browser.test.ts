/** In a page of the real Chromium, at the origin of the real server. */

import assert from 'node:assert/strict';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import type * as Package from 'keyward';
import { readKey } from 'keyward';
import { Keyward } from './support/keyward.js';
import { KEY_FILE_INDEX, keyFile, PACKAGE, REPOSITORY } from './support/repository.js';
import { started } from './support/started.js';

/** As much of playwright-core, which the tests of the pages install, as is used here. */
interface Playwright {
  readonly chromium: { launch(options: { executablePath: string }): Promise<Browser> };
}
interface Browser {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}
interface Page {
  route(url: string, handle: (route: Route) => Promise<void>): Promise<void>;
  goto(url: string): Promise<unknown>;
  evaluate<A, R>(run: (argument: A) => Promise<R>, argument: A): Promise<R>;
}
interface Route {
  request(): { url(): string };
  fulfill(answer: { contentType: string; body: string }): Promise<void>;
}

declare global {
  /** What one step in the page leaves for the next: it cannot be exported. */
  var pair: CryptoKeyPair | undefined;
}

/** Where the page finds the package. No other path of the server begins like this. */
const FOLDER = '/typescript-package/';

const running = started();
let keyward: Keyward;
let page: Page;

before(async () => {
  keyward = running.add(await Keyward.start());
  const { chromium }: Playwright = await import(
    pathToFileURL(join(REPOSITORY, 'e2e/node_modules/playwright-core/index.mjs')).href
  );
  const browser = await chromium.launch({ executablePath: findChromium() });
  running.add({ stop: () => browser.close() });
  page = await browser.newPage();
  await page.route(`${keyward.url}${FOLDER}**`, async (route) => {
    const name = new URL(route.request().url()).pathname.slice(FOLDER.length);
    if (name === 'page') return route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>Test</title>' });
    return route.fulfill({ contentType: 'text/javascript', body: readFileSync(join(PACKAGE, 'dist', name), 'utf8') });
  });
  await page.goto(`${keyward.url}${FOLDER}page`);
});

test('a page reads every key file', async () => {
  const files = KEY_FILE_INDEX.map(({ file }) => Buffer.from(keyFile(file)).toString('base64'));
  const found = await page.evaluate(
    async ({ module, files }) => {
      const { KeyError, readKey }: typeof Package = await import(module);
      const read = async (base64: string): Promise<string> => {
        try {
          return (await readKey(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)))).fingerprint;
        } catch (error) {
          return error instanceof KeyError ? 'refused' : String(error);
        }
      };
      return Promise.all(files.map(read));
    },
    { module: `${FOLDER}index.js`, files },
  );
  assert.deepEqual(
    found,
    KEY_FILE_INDEX.map(({ fingerprint }) => fingerprint ?? 'refused'),
  );
});

test('a page reaches the server with a key that WebCrypto generated, and with one from a file', async () => {
  const publicKey = await page.evaluate(async (module) => {
    const { readKey }: typeof Package = await import(module);
    const pair = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
    if (!('privateKey' in pair)) throw new Error('no pair');
    globalThis.pair = pair;
    return (await readKey(pair)).publicKey;
  }, `${FOLDER}index.js`);
  keyward.addKey(publicKey, 'admin');
  keyward.addKey((await readKey(keyFile('putty-v3-rsa.ppk'))).publicKey, 'admin');
  const statuses = await page.evaluate(
    async ({ module, putty }) => {
      const { SignError, signedFetch }: typeof Package = await import(module);
      const { pair } = globalThis;
      if (pair === undefined) throw new Error('no pair');
      const seen: (number | string)[] = [];
      for (const key of [pair, putty]) {
        const request = signedFetch(key, { keywardUrl: location.origin });
        const me = await request('/api/v1/me?');
        seen.push(me.status);
        const { workspaces }: { workspaces: { id: string }[] } = await me.json();
        const list = await request(`/api/v1/workspaces/${workspaces[0]?.id}/projects?limit=5`, {
          headers: { 'Keyward-Workspace': 'acme' },
        });
        seen.push(list.status);
        const written = await request(`/api/v1/workspaces/${workspaces[0]?.id}/projects`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: new Blob(['{"title": "Made in a page"}']),
        });
        seen.push(written.status);
      }
      // The root leads to the sign-in page.
      const redirected = await signedFetch(pair)('/');
      seen.push(redirected.type);
      const followed: unknown = await signedFetch(pair, { redirects: 'same-origin' })('/').catch(
        (error: unknown) => error,
      );
      seen.push(followed instanceof SignError ? followed.message : String(followed));
      return seen;
    },
    { module: `${FOLDER}index.js`, putty: Buffer.from(keyFile('putty-v3-rsa.ppk')).toString() },
  );
  const message = 'the server redirected, and browsers do not tell where: ask for that URL itself';
  assert.deepEqual(statuses, [200, 200, 201, 200, 200, 201, 'opaqueredirect', message]);
});

function findChromium(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  for (const path of ['chromium', 'chromium-browser', 'google-chrome'].flatMap((name) =>
    folders.map((folder) => join(folder, name)),
  )) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error('there is no Chromium: run scripts/setup, or `apt-get install chromium`');
}
