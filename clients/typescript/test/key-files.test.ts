/** The key files that the command line is tested with. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KeyError, type KeyErrorCode, readKey } from 'keyward';
import { KEY_FILE_INDEX, keyFile, keyText } from './support/repository.js';

/** What the index calls a reason, and what this package does. */
const REASONS: Readonly<Record<string, KeyErrorCode>> = {
  'base64-twice': 'base64_twice',
  damaged: 'damaged',
  empty: 'empty',
  halves: 'halves_differ',
  'no-key': 'not_a_private_key',
  passphrase: 'passphrase_protected',
  public: 'public_key',
  several: 'several_keys',
  unsupported: 'unsupported_key_type',
};

const ALGORITHMS: Readonly<Record<string, string>> = {
  ed25519: 'ed25519',
  rsa: 'rsa-pss-sha512',
  'ecdsa-p256': 'ecdsa-p256-sha256',
  'ecdsa-p384': 'ecdsa-p384-sha384',
};

test('there are files to read', () => {
  assert.ok(KEY_FILE_INDEX.length >= 100);
});

for (const { file, what, fingerprint, algorithm = '', refused = '' } of KEY_FILE_INDEX) {
  if (fingerprint !== undefined) {
    test(`reads ${file} (${what})`, async () => {
      const bytes = keyFile(file);
      const key = await readKey(bytes);
      assert.equal(key.fingerprint, fingerprint);
      assert.equal(key.keyId, fingerprint);
      assert.equal(key.algorithm, ALGORITHMS[algorithm]);
      assert.ok((await key.sign(Buffer.from('a signature base'))).length >= 64);
      // In a variable there is text only, unless its bytes are none.
      const text = decodeStrictly(bytes);
      if (text !== undefined) assert.equal((await readKey(text)).fingerprint, fingerprint);
    });
  } else {
    test(`refuses ${file} (${what})`, async () => {
      const code = REASONS[refused];
      assert.ok(code, `what does ${refused} mean?`);
      await assert.rejects(readKey(keyFile(file)), (error) => {
        assert.ok(error instanceof KeyError, String(error));
        assert.equal(error.code, code);
        assertSaysNothingOf(keyFile(file), error);
        return true;
      });
    });
  }
}

test('an error contains no part of a key that was cut, changed or put where it does not belong', async () => {
  for (const { file } of KEY_FILE_INDEX) {
    const bytes = keyFile(file);
    const inputs = [
      bytes.slice(0, bytes.length / 2),
      bytes.slice(bytes.length / 3),
      bytes.slice(0, -20),
      Buffer.from(`x${Buffer.from(bytes).toString('latin1')}`),
    ];
    for (const input of inputs) {
      await readKey(input).catch((error: unknown) => {
        assert.ok(error instanceof KeyError, `${file}: ${String(error)}`);
        assertSaysNothingOf(bytes, error);
      });
    }
  }
});

test('reads what came through other hands, too', async () => {
  const armoured = ['openssh-ed25519', 'pkcs1-rsa.pem', 'sec1-p256.pem', 'pkcs8-p384.pem'];
  const putty = ['putty-v2-rsa.ppk', 'putty-v3-ed25519.ppk', 'putty-v3-p384.ppk'];
  const changes: [string, (text: string) => string][] = [
    ['no-break spaces', (text) => text.replaceAll('\n', '\n\u00a0').trim()],
    ['blanks at the ends of lines', (text) => text.replaceAll('\n', ' \t\n')],
    ['blanks in place of line breaks', (text) => text.replaceAll('\n', ' ')],
    ['indented', (text) => `\n    ${text.replaceAll('\n', '\n    ')}`],
    ['in single quotes', (text) => `'${text.trim()}'`],
    ['as JSON', (text) => JSON.stringify(text)],
    ['as JSON in JSON', (text) => JSON.stringify(JSON.stringify(text)).slice(3, -3)],
    ['a byte order mark twice', (text) => `\ufeff\ufeff${text}`],
    ['base64url without padding', (text) => Buffer.from(text).toString('base64url')],
    ['old line ends', (text) => text.replaceAll('\n', '\r')],
  ];
  const more: [string, (text: string) => string][] = [
    ['a zero-width space after the last line', (text) => `${text.trim()}\u200b\n`],
    ['lines of a file with variables', (text) => `# secrets\nKEYWARD_KEY="${text.trim()}"\nOTHER=1\n`],
  ];
  for (const [files, ways] of [
    [armoured, [...changes, ...more]],
    [putty, changes],
  ] as const) {
    for (const file of files) {
      const expected = KEY_FILE_INDEX.find((entry) => entry.file === file)?.fingerprint;
      for (const [what, change] of ways) {
        const key = await readKey(change(keyText(file))).catch((error: unknown) =>
          assert.fail(`${file}, ${what}: ${String(error)}`),
        );
        assert.equal(key.fingerprint, expected, `${file}, ${what}`);
      }
    }
  }
});

test('tells what a file is that holds no key that can be read', async () => {
  const pfx = Uint8Array.of(0x30, 0x05, 0x02, 0x01, 0x03, 0x30, 0x00);
  const cases: [string | Uint8Array, KeyErrorCode, RegExp][] = [
    [pfx, 'not_a_private_key', /PKCS#12.*openssl pkcs12/],
    ['PuTTY-User-Key-File-1: ssh-rsa\nEncryption: none\n', 'not_a_private_key', /a version that is not read/],
    [
      '-----BEGIN PGP PRIVATE KEY BLOCK-----\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----',
      'not_a_private_key',
      /no private key/,
    ],
    ['-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----', 'unsupported_key_type', /DSA/],
    ['{"keys": [{"kty": "OKP", "crv": "X25519", "d": "AAAA"}]}', 'unsupported_key_type', /X25519/],
    ['{"keys": [{"kty": "OKP"}, {"kty": "OKP"}]}', 'several_keys', /keep one/],
    ['sk-ssh-ed25519@openssh.com AAAA', 'public_key', /public key/],
  ];
  for (const [content, code, words] of cases) {
    await assert.rejects(
      readKey(content),
      (error) => error instanceof KeyError && error.code === code && words.test(error.message),
      code,
    );
  }
});

function decodeStrictly(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** No run of twelve characters that could be base64 of the file is in the error, however it is printed. */
function assertSaysNothingOf(bytes: Uint8Array, error: KeyError): void {
  const shown = `${error.message} ${error.stack ?? ''} ${JSON.stringify(error)} ${String(error.cause)}`;
  const text = Buffer.from(bytes).toString('latin1').replaceAll('\0', '');
  for (const run of text.match(/[A-Za-z0-9+/]{16,}/g) ?? []) {
    if (!['PuTTY', 'PRIVATE'].some((word) => run.includes(word))) {
      assert.ok(!shown.includes(run.slice(0, 16)), 'the error repeats the key');
    }
  }
}
