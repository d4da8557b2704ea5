/** The package as it is published: installed from its tarball, used in several runtimes, with its types checked. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, test } from 'node:test';

import { readKey, signedFetch } from 'keyward';
import { Keyward } from './support/keyward.js';
import { KEY_FILE_INDEX, KEY_FILES, keyFile, PACKAGE, REPOSITORY } from './support/repository.js';

const consumer = mkdtempSync(join(tmpdir(), 'keyward-package-'));
after(() => rmSync(consumer, { recursive: true }));

function run(command: string, args: readonly string[], cwd = consumer): string {
  const ran = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, DENO_DIR: join(consumer, 'deno'), NO_COLOR: '1' },
  });
  if (ran.error) throw ran.error;
  assert.equal(ran.status, 0, `${command} ${args.join(' ')}\n${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

before(() => {
  const [packed]: { filename: string }[] = JSON.parse(
    run('npm', ['pack', '--json', '--pack-destination', consumer], PACKAGE),
  );
  assert.ok(packed);
  writeFileSync(join(consumer, 'package.json'), '{"private": true, "type": "module"}');
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', `./${packed.filename}`]);
});

test('the tarball holds what it should', () => {
  const listed = run('find', ['node_modules', '-type', 'f', '-not', '-path', '*/dist/*']).trim().split('\n').sort();
  const files = ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json'].map(
    (name) => `node_modules/keyward/${name}`,
  );
  assert.deepEqual(listed, ['node_modules/.package-lock.json', ...files].sort());
  const code = run('find', ['node_modules/keyward/dist', '-type', 'f']).trim().split('\n');
  assert.ok(code.length > 20 && code.every((name) => /\.(js|d\.ts)$/.test(name)), code.join('\n'));
});

test('its version is that of the workspace, and it depends on nothing', () => {
  const cargo = readFileSync(join(REPOSITORY, 'Cargo.toml'), 'utf8');
  const version = /\[workspace\.package\]\nversion = "([^"]+)"/.exec(cargo)?.[1];
  const manifest: { version: string; license: string; dependencies?: unknown } = JSON.parse(
    readFileSync(join(consumer, 'node_modules/keyward/package.json'), 'utf8'),
  );
  assert.deepEqual(
    [manifest.version, manifest.license, manifest.dependencies],
    [version, 'MIT OR Apache-2.0', undefined],
  );
});

test('its types are right for programs of Node and for pages', () => {
  const program = `
    import { readKey, sign, signedFetch, createSignature, ClockSkewError, type SigningKey } from 'keyward';
    const key: SigningKey = await readKey('text', { keyId: 'key_1' });
    const request: typeof fetch = signedFetch(key, { keywardUrl: 'https://keys.example.com', redirects: 'same-origin' });
    const response: Response = await request('https://keys.example.com/api/v1/me');
    const signed: Request = await sign(new Request('https://keys.example.com'), key);
    const { headers }: { headers: Readonly<Record<string, string>> } = await createSignature({ method: 'GET', url: signed.url }, key);
    // @ts-expect-error There is no such option.
    signedFetch(key, { retry: 1 });
    export const all = [response.status, headers, ClockSkewError];
  `;
  writeFileSync(join(consumer, 'page.ts'), program);
  writeFileSync(
    join(consumer, 'program.ts'),
    `${program}\nimport { keyFromEnvironment } from 'keyward/node';\nsignedFetch(await keyFromEnvironment());\n`,
  );
  mkdirSync(join(consumer, 'node_modules/@types'), { recursive: true });
  const types = join(PACKAGE, 'node_modules/@types');
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noEmit', '--target', 'es2022', '--typeRoots', types];
  const tsc = join(PACKAGE, 'node_modules/.bin/tsc');
  run(tsc, [...strict, '--module', 'nodenext', '--types', 'node', '--lib', 'es2022,dom', 'program.ts']);
  run(tsc, [
    ...strict,
    '--module',
    'esnext',
    '--moduleResolution',
    'bundler',
    '--types',
    '',
    '--lib',
    'es2022,dom,dom.iterable',
    'page.ts',
  ]);
});

test('it works in every runtime that is here', async (t) => {
  const keyward = await Keyward.start();
  t.after(() => keyward.stop());
  keyward.admin('set-quota', '--workspace', 'acme', '--keys-per-user', '100');
  const known = ['openssh-ed25519', 'sec1-p256.pem', 'putty-v3-p384.ppk', 'pkcs8-rsa.pem'];
  const files: string[] = [];
  for (const name of known) {
    keyward.addKey((await readKey(keyFile(name))).publicKey, 'admin');
    const file = keyward.file(name);
    writeFileSync(file, keyFile(name), { mode: 0o600 });
    files.push(file);
  }
  const me = await signedFetch(keyFile('openssh-ed25519'))(`${keyward.url}/api/v1/me`);
  const { workspaces }: { workspaces: { id: string }[] } = await me.json();
  const target = `/api/v1/workspaces/${workspaces[0]?.id}/projects`;
  copyFileSync(join(PACKAGE, 'build/test/runtime-check.js'), join(consumer, 'check.js'));
  const modules = join(PACKAGE, 'test/runtimes/node_modules');
  const runtimes: [string, readonly string[]][] = [[process.execPath, []]];
  const others: [string, readonly string[]][] = [
    [join(modules, 'node-18/bin/node'), []],
    [
      join(modules, '.bin/deno'),
      ['run', '--allow-read', '--allow-write', '--allow-env', '--allow-sys', '--allow-net=127.0.0.1'],
    ],
  ];
  // They are optional where there is none to install.
  const isHere = ([program]: [string, readonly string[]]): boolean => existsSync(program);
  if (process.platform === 'linux' && process.arch === 'x64') assert.ok(others.every(isHere), 'run scripts/setup');
  for (const [program, options] of [...runtimes, ...others.filter(isHere)]) {
    const output = run(program, [...options, 'check.js', KEY_FILES, keyward.url, target, ...files]);
    assert.deepEqual(JSON.parse(output), { read: KEY_FILE_INDEX.length, accepted: known.length }, program);
  }
});
