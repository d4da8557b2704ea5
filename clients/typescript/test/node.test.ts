/** Keys in files and variables. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';

import { KeyError, type KeyErrorCode, keyFromEnvironment, keyFromFile } from 'keyward/node';
import { KEY_FILE_INDEX, keyFile, keyText } from './support/repository.js';

const directory = mkdtempSync(join(tmpdir(), 'keyward-node-'));
after(() => rmSync(directory, { recursive: true }));

const ED25519 = fingerprintOf('openssh-ed25519');
let count = 0;

/** A file with this content and mode. */
function write(content: string | Uint8Array, mode = 0o600): string {
  const path = join(directory, `key-${(count += 1)}`);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function fingerprintOf(name: string): string {
  const fingerprint = KEY_FILE_INDEX.find(({ file }) => file === name)?.fingerprint;
  assert.ok(fingerprint);
  return fingerprint;
}

async function refusal(attempt: Promise<unknown>, code: KeyErrorCode): Promise<KeyError> {
  const error = await attempt.then(
    () => assert.fail('it is accepted'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KeyError, String(error));
  assert.equal(error.code, code, error.message);
  return error;
}

/** The warnings of the process while something runs. */
async function warningsOf(action: () => Promise<unknown>): Promise<string[]> {
  const warnings: string[] = [];
  const listen = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', listen);
  await action();
  await new Promise(setImmediate);
  process.off('warning', listen);
  return warnings;
}

test('reads a file, at home and through links', async () => {
  const path = write(keyText('openssh-ed25519'));
  assert.equal((await keyFromFile(path)).fingerprint, ED25519);
  const link = join(directory, 'link');
  symlinkSync(path, link);
  assert.equal((await keyFromFile(link)).fingerprint, ED25519);
  assert.equal((await keyFromFile(`~/${relative(homedir(), path)}`)).fingerprint, ED25519);
});

test('takes the file before the text, and empty variables for none', async () => {
  const file = write(keyText('openssh-p256'));
  const text = keyText('openssh-ed25519');
  const p256 = fingerprintOf('openssh-p256');
  assert.equal((await keyFromEnvironment({}, { KEYWARD_KEY_FILE: file, KEYWARD_KEY: text })).fingerprint, p256);
  assert.equal((await keyFromEnvironment({}, { KEYWARD_KEY_FILE: '', KEYWARD_KEY: text })).fingerprint, ED25519);
  assert.equal((await keyFromEnvironment({ keyId: 'key_1' }, { KEYWARD_KEY: text })).keyId, 'key_1');
  const missing = await refusal(keyFromEnvironment({}, { KEYWARD_KEY: ' \n', KEYWARD_KEY_FILE: '' }), 'not_set');
  assert.match(missing.message, /KEYWARD_KEY_FILE.*KEYWARD_KEY/);
  process.env['KEYWARD_KEY'] = text;
  assert.equal((await keyFromEnvironment()).fingerprint, ED25519);
  delete process.env['KEYWARD_KEY'];
});

test(
  'refuses a file that others may read, and says how to close it',
  { skip: process.platform === 'win32' },
  async () => {
    for (const mode of [0o644, 0o660, 0o604, 0o666]) {
      const path = write(keyText('openssh-ed25519'), mode);
      const error = await refusal(keyFromFile(path), 'permissions');
      assert.ok(error.message.includes(`chmod 600 ${path}`), error.message);
      assert.ok(error.message.includes(mode.toString(8)), error.message);
    }
    // The wrong file is told first.
    await refusal(keyFromFile(write(keyText('public.pub'), 0o644)), 'public_key');
    await refusal(keyFromFile(write('words', 0o644)), 'not_a_private_key');
  },
);

test('takes a secret of root that a group may read', { skip: process.getuid?.() !== 0 }, async () => {
  for (const mode of [0o440, 0o640]) {
    const path = write(keyText('openssh-ed25519'), mode);
    assert.equal((await keyFromFile(path)).fingerprint, ED25519);
    chownSync(path, 65534, 65534);
    await refusal(keyFromFile(path), 'permissions');
  }
});

test('takes a secret on a read-only mount', { skip: process.getuid?.() !== 0 }, async (t) => {
  const mount = join(directory, 'mount');
  const run = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;
  const script =
    'mkdir "$0" && mount -t tmpfs tmpfs "$0" && printf %s "$1" > "$0/key" && chmod 444 "$0/key" && mount -o remount,ro "$0"';
  if (!run('sh', '-c', script, mount, keyText('openssh-ed25519'))) return t.skip('nothing can be mounted here');
  t.after(() => run('umount', mount));
  assert.equal((await keyFromFile(join(mount, 'key'))).fingerprint, ED25519);
});

test('compares the public half that lies beside the file', async () => {
  const path = write(keyText('openssh-ed25519'));
  const own = (await keyFromFile(path)).publicKey;
  for (const content of [
    own,
    `${own} comment\n`,
    `# ours\n${own}`,
    `\ufeff${own}`,
    Buffer.from(`\ufeff${own}`, 'utf16le'),
    own.replace(' ', '\u00a0'),
  ]) {
    writeFileSync(`${path}.pub`, content);
    assert.deepEqual(await warningsOf(() => keyFromFile(path)), []);
  }
  for (const content of ['', 'words', keyText('public-spki.pem')]) {
    writeFileSync(`${path}.pub`, content);
    const warnings = await warningsOf(() => keyFromFile(path));
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /\.pub holds no OpenSSH line/);
  }
  const other = await keyFromFile(write(keyText('openssh-p256')));
  writeFileSync(`${path}.pub`, other.publicKey);
  const error = await refusal(keyFromFile(path), 'public_file_differs');
  assert.ok(error.message.endsWith(`if ${path} is the right one, delete ${path}.pub`), error.message);
});

test('a public file names the private file only if it exists', async () => {
  const path = write('');
  const told = async (): Promise<string> => (await refusal(keyFromFile(`${path}.pub`), 'public_key')).message;
  const contents = [keyText('public.pub'), keyText('public-spki.pem')];
  for (const [index, content] of contents.entries()) {
    for (const mode of [0o600, 0o644]) {
      rmSync(path, { force: true });
      rmSync(`${path}.pem`, { force: true });
      writeFileSync(`${path}.pub`, content);
      chmodSync(`${path}.pub`, mode);
      assert.match(await told(), /in another file, often of the same name without `\.pub` or with `\.pem`$/, `${index}`);
      for (const name of [`${path}.pem`, path]) {
        writeFileSync(name, 'any');
        assert.ok((await told()).endsWith(`this is the public key: the private key is in ${name}`), await told());
      }
    }
  }
});

test('tells what was found in place of a private key', async () => {
  const made = spawnSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-subj', '/CN=own', '-keyout', join(directory, 'own')],
    { encoding: 'utf8' },
  );
  assert.equal(made.status, 0, made.stderr);
  const certificate = made.stdout;
  const der = Buffer.from(certificate.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  for (const [content, words] of [
    [certificate, /this is a certificate, which holds a public key: the private key is in another file$/],
    [Buffer.from(certificate).toString('base64'), /this is a certificate/],
    [der, /this is a certificate/],
    ['-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n', /with the label ECPARAMETERS/],
    ['words', /this is no private key: [^;]*$/],
  ] as const) {
    for (const mode of [0o600, 0o644]) {
      assert.match((await refusal(keyFromFile(write(content, mode)), 'not_a_private_key')).message, words);
    }
  }
  // A text may be the name of a file.
  const text = await refusal(keyFromEnvironment({}, { KEYWARD_KEY: 'key.pem' }), 'not_a_private_key');
  assert.match(text.message, /the name of a file belongs into `keyFromFile`/);
});

test('tells what is wrong with a file', async () => {
  const missing = join(directory, 'missing');
  const error = await refusal(keyFromFile(missing), 'not_found');
  assert.ok(error.message.startsWith(`${missing}: `) && error.message.includes(`-f ${missing}`), error.message);
  await refusal(keyFromFile(directory), 'unreadable');
  await refusal(keyFromFile(join(write('x'), 'below')), 'not_found');
  await refusal(keyFromFile(write(Buffer.alloc(100_000, 0x41))), 'not_a_private_key');
  const protectedKey = write(keyText('openssh-protected'));
  const advice = await refusal(keyFromFile(protectedKey), 'passphrase_protected');
  assert.ok(advice.message.includes(`ssh-keygen -p -f ${protectedKey}`), advice.message);
  const spaces = join(directory, "it's a key");
  writeFileSync(spaces, keyText('openssh-protected'), { mode: 0o600 });
  assert.ok(
    (await refusal(keyFromFile(spaces), 'passphrase_protected')).message.includes(`-f '${directory}/it'\\''s a key'`),
  );
});

test('never shows the text of a key that was given in place of a name', async () => {
  for (const { file } of KEY_FILE_INDEX.filter(
    ({ file, fingerprint }) => fingerprint !== undefined && !file.endsWith('.der'),
  )) {
    const text = Buffer.from(keyFile(file)).toString('utf8');
    for (const given of [text, text.replace(/\s/g, ''), Buffer.from(keyFile(file)).toString('base64')]) {
      for (const attempt of [() => keyFromFile(given), () => keyFromEnvironment({}, { KEYWARD_KEY_FILE: given })]) {
        const error: unknown = await attempt().catch((reason: unknown) => reason);
        assert.ok(error instanceof KeyError, String(error));
        assert.ok(
          error.code === 'text_in_place_of_file' || error.code === 'not_found' || error.code === 'unreadable',
          error.code,
        );
        const body = text.replace(/[^A-Za-z0-9+/]/g, '').slice(40, 60);
        assert.equal(body.length, 20);
        assert.ok(
          !`${error.message}${error.stack}`.includes(body) && error.message.length < 400,
          `${file}: ${error.code}`,
        );
      }
    }
  }
  const seed = 'nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=';
  const error = await refusal(keyFromFile(seed), 'not_found');
  assert.ok(!error.message.includes(seed.slice(0, 8)), error.message);
});
