/** The known answers that docs/protocol.md prints. */

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { test } from 'node:test';

import { createSignature, readKey, sign, type SignatureAlgorithm } from 'keyward';
import { readVectors, type Vector } from './support/repository.js';

const { keys, vectors } = readVectors();

/** What verifies a signature that is made at random. */
const VERIFY: Readonly<
  Partial<Record<SignatureAlgorithm, [RsaHashedImportParams | EcKeyImportParams, RsaPssParams | EcdsaParams]>>
> = {
  'ecdsa-p256-sha256': [
    { name: 'ECDSA', namedCurve: 'P-256' },
    { name: 'ECDSA', hash: 'SHA-256' },
  ],
  'ecdsa-p384-sha384': [
    { name: 'ECDSA', namedCurve: 'P-384' },
    { name: 'ECDSA', hash: 'SHA-384' },
  ],
  'rsa-pss-sha512': [
    { name: 'RSA-PSS', hash: 'SHA-512' },
    { name: 'RSA-PSS', saltLength: 64 },
  ],
};

const ofKey = (vector: Vector) => {
  const key = keys[vector.key];
  assert.ok(key, `there is no key ${vector.key}`);
  return key;
};

const options = (vector: Vector) => ({
  coveredHeaders: vector.cover,
  lifetimeSeconds: vector.expires - vector.created,
  now: () => vector.created * 1000 + 999,
  createNonce: () => vector.nonce,
});

test('there are vectors of every algorithm', () => {
  assert.equal(new Set(vectors.map(({ algorithm }) => algorithm)).size, 5);
  assert.ok(vectors.length >= 30);
});

for (const vector of vectors) {
  test(`signs ${vector.name}`, async () => {
    const { private_pkcs8_pem: pem, private_jwk: jwk, fingerprint, public_openssh: publicKey } = ofKey(vector);
    for (const source of [pem, jwk]) {
      const key = await readKey(source, { keyId: vector.keyid, algorithm: vector.algorithm });
      assert.equal(key.fingerprint, fingerprint);
      assert.equal(key.publicKey, publicKey);
      const signature = await createSignature(vector.request, key, options(vector));
      assert.equal(signature.base, vector.signature_base);
      assert.equal(signature.headers['signature-input'], vector.signature_input);
      assert.equal(signature.headers['content-digest'] ?? null, vector.content_digest);
      assert.deepEqual([signature.created, signature.expires], [vector.created, vector.expires]);
      if (vector.deterministic) assert.equal(signature.headers['signature'], vector.signature);
      else await assertVerifies(vector, signature.headers['signature'] ?? '');
    }
  });
}

test('the signatures of the vectors that are made at random verify, and others do not', async () => {
  for (const vector of vectors.filter(({ deterministic }) => !deterministic)) {
    await assertVerifies(vector, vector.signature);
    await assert.rejects(assertVerifies({ ...vector, signature_base: `${vector.signature_base} ` }, vector.signature));
  }
});

test('a Request of fetch is signed in the same way', async () => {
  // A Request joins header fields of one name, and an empty query is not sent by every runtime.
  for (const vector of vectors.filter(({ name }) => name !== 'get_with_empty_query')) {
    const { method, url, headers, body } = vector.request;
    const key = await readKey(ofKey(vector).private_jwk, { keyId: vector.keyid, algorithm: vector.algorithm });
    const signed = await sign(new Request(url, { method, headers, body }), key, options(vector));
    assert.equal(signed.headers.get('signature-input'), vector.signature_input, vector.name);
    assert.equal(signed.headers.get('content-digest'), vector.content_digest, vector.name);
    assert.equal(await signed.text(), body ?? '', vector.name);
  }
});

async function assertVerifies(vector: Vector, signature: string): Promise<void> {
  const parameters = VERIFY[vector.algorithm];
  assert.ok(parameters, `${vector.algorithm} is deterministic`);
  const { kty, crv, x, y, n, e } = ofKey(vector).private_jwk;
  const members = Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined);
  const key = await webcrypto.subtle.importKey('jwk', Object.fromEntries(members), parameters[0], false, ['verify']);
  const bytes = Buffer.from(/^keyward=:(.*):$/.exec(signature)?.[1] ?? '', 'base64');
  assert.ok(await webcrypto.subtle.verify(parameters[1], key, bytes, Buffer.from(vector.signature_base)));
}
