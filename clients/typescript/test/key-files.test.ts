/** The key files that the command line is tested with. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KeyError, type KeyErrorCode, readKey } from 'keyward';
import { KEY_FILE_INDEX, keyFile } from './support/repository.js';

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
    const inputs = [bytes.slice(0, bytes.length / 2), bytes.slice(bytes.length / 3), bytes.slice(0, -20), Buffer.from(`x${Buffer.from(bytes).toString('latin1')}`)];
    for (const input of inputs) {
      await readKey(input).catch((error: unknown) => {
        assert.ok(error instanceof KeyError, `${file}: ${String(error)}`);
        assertSaysNothingOf(bytes, error);
      });
    }
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
