/** What the documents show: every program is checked by the compiler, and does what it should. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { after, before, test } from 'node:test';

import { readKey } from 'keyward';
import { Keyward, SERVICE_ACCOUNT } from './support/keyward.js';
import { PACKAGE, REPOSITORY } from './support/repository.js';
import { ScriptedServer, status } from './support/scripted-server.js';
import { started } from './support/started.js';

/** What programs print, and what they ask an API for. */
interface Effect {
  readonly prints: RegExp;
  readonly asks?: readonly string[];
}

/** The README, and the programs for Node of the page about signing. */
const DOCUMENTS: Readonly<Record<string, Readonly<Record<string, Effect>>>> = {
  'clients/typescript/README.md': {
    'first.mts': { prints: new RegExp(SERVICE_ACCOUNT) },
    'page.mts': { prints: /^ssh-ed25519 AAAA\S+\n$/ },
    'post.mts': { prints: /^$/, asks: ['POST /v2/labels {"label":"car"}'] },
    'keyward.mts': { prints: /^201\n$/ },
    'other.mts': { prints: /^200\n$/, asks: ['PUT /v2/labels/7 {"label":"car"}'] },
  },
  'docs/signing.md': {
    'post.mjs': { prints: /^201 from TypeScript\n$/ },
    'other.mjs': { prints: /^201\n$/ },
    'message-signatures.mjs': { prints: /^201\n$/ },
    'message-sig.mjs': { prints: /^201\n$/ },
  },
};

const directory = mkdtempSync(join(tmpdir(), 'keyward-documents-'));
const running = started();
let keyward: Keyward;
let environment: NodeJS.ProcessEnv;

before(async () => {
  keyward = running.add(await Keyward.start());
  const { privateKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const key = await readKey(privateKey);
  keyward.addKey(key.publicKey);
  const keyFile = join(directory, 'key.pem');
  writeFileSync(keyFile, privateKey, { mode: 0o600 });
  const path = `${dirname(process.execPath)}:${process.env['PATH']}`;
  environment = { PATH: path, HOME: directory, KEYWARD_KEY_FILE: keyFile, KEY_ID: key.fingerprint };
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(PACKAGE, join(directory, 'node_modules/keyward'));
  for (const library of ['http-message-sig', 'http-message-signatures']) {
    symlinkSync(join(PACKAGE, 'node_modules', library), join(directory, 'node_modules', library));
  }
});

after(() => rmSync(directory, { recursive: true }));

for (const [document, effects] of Object.entries(DOCUMENTS)) {
  test(`the programs in ${document}`, async (t) => {
    const programs = programsOf(readFileSync(join(REPOSITORY, document), 'utf8'));
    assert.deepEqual(programs.map(({ name }) => name).sort(), Object.keys(effects).sort());
    const folder = join(directory, document.replaceAll(/\W/g, '-'));
    mkdirSync(folder);
    for (const { name, text } of programs) writeFileSync(join(folder, name), text);
    const types = ['--types', 'node', '--typeRoots', join(PACKAGE, 'node_modules/@types')];
    const typed = programs.map(({ name }) => name).filter((name) => name.endsWith('.mts'));
    if (typed.length > 0) {
      const tsc = join(PACKAGE, 'node_modules/.bin/tsc');
      const compiled = await run(
        tsc,
        ['--strict', '--module', 'nodenext', '--target', 'es2022', ...types, ...typed],
        folder,
      );
      assert.equal(compiled.code, 0, compiled.output);
    }
    for (const { name } of programs) {
      const { prints, asks = [] } = effects[name] ?? assert.fail(name);
      const api = await ScriptedServer.start(status(200));
      t.after(() => api.stop());
      const program = join(folder, name.replace('.mts', '.mjs'));
      const here = readFileSync(program, 'utf8')
        .replaceAll(/https:\/\/keys.example.com|http:\/\/127.0.0.1:8080/g, keyward.url)
        .replaceAll('https://api.example.com', api.origin)
        .replaceAll("'node:https'", "'node:http'");
      writeFileSync(program, here);
      const { code, output } = await run(process.execPath, [program], directory);
      assert.equal(code, 0, `${name}: ${output}`);
      assert.match(output, prints, name);
      assert.deepEqual(
        api.received.map(({ method, url, body }) => `${method} ${url} ${body}`),
        asks,
      );
      for (const { headers } of api.received) {
        assert.match(String(headers['signature-input']), /"content-digest".*;tag="keyward"$/);
        assert.equal(headers['content-type'], 'application/json');
      }
    }
  });
}

test('the README names files that are there', () => {
  const text = readFileSync(join(PACKAGE, 'README.md'), 'utf8');
  const names = [...text.matchAll(/`((?:docs|scripts)\/[\w./-]+)`/g)].map(([, name]) => name ?? '');
  assert.ok(names.length >= 3);
  for (const name of names) assert.ok(existsSync(join(REPOSITORY, name)), name);
});

/** The blocks that say under which name a reader saves them. */
function programsOf(markdown: string): { name: string; text: string }[] {
  return [...markdown.matchAll(/^```(?:js|ts) file=(\S+)\n(.*?)^```$/gms)].map(([, name = '', text = '']) => ({
    name,
    text,
  }));
}

/** Runs a program while this process continues and serves it. */
async function run(
  command: string,
  args: readonly string[],
  cwd: string,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(command, args, { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, output };
}
