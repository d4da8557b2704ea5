/** Keys that are in WebCrypto or a JWK, and what a key shows of itself. */

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { createSignature, KeyError, type KeyErrorCode, readKey } from 'keyward';
import { KEY_FILE_INDEX, keyText } from './support/repository.js';

const { subtle } = webcrypto;

async function refusal(attempt: Promise<unknown>, code: KeyErrorCode): Promise<string> {
  const error = await attempt.then(
    () => assert.fail('it is accepted'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KeyError, String(error));
  assert.equal(error.code, code, error.message);
  return error.message;
}

async function generate(
  algorithm: EcKeyGenParams | Algorithm | RsaHashedKeyGenParams,
  isExtractable: boolean,
): Promise<CryptoKeyPair> {
  const pair = await subtle.generateKey(algorithm, isExtractable, ['sign', 'verify']);
  assert.ok('privateKey' in pair);
  return pair;
}

const RSA = { modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) };

test('a pair, an extractable private key and its JWK are the same key', async () => {
  for (const algorithm of [
    { name: 'Ed25519' },
    { name: 'ECDSA', namedCurve: 'P-384' },
    { name: 'RSA-PSS', hash: 'SHA-512', ...RSA },
  ]) {
    const pair = await generate(algorithm, true);
    const jwk = await subtle.exportKey('jwk', pair.privateKey);
    const pkcs8 = new Uint8Array(await subtle.exportKey('pkcs8', pair.privateKey));
    const sources = [
      pair,
      pair.privateKey,
      jwk,
      JSON.stringify(jwk),
      `"${JSON.stringify(jwk).replaceAll('"', '\\"')}"`,
      btoa(JSON.stringify(jwk)),
      pkcs8,
    ];
    const fingerprints = await Promise.all(sources.map(async (source) => (await readKey(source)).fingerprint));
    assert.equal(new Set(fingerprints).size, 1, JSON.stringify(fingerprints));
    // A JWK may leave out what can be computed.
    const { x, y, dp, dq, ...rest } = jwk;
    assert.equal((await readKey(rest)).fingerprint, fingerprints[0]);
  }
});

test('a private key that does not tell its public half is refused, and may sign by an object', async () => {
  const { privateKey, publicKey } = await generate({ name: 'Ed25519' }, false);
  assert.match(await refusal(readKey(privateKey), 'no_public_half'), /the pair/);
  const sign = async (data: Uint8Array) => new Uint8Array(await subtle.sign('Ed25519', privateKey, data));
  const { base, headers } = await createSignature(
    { method: 'GET', url: 'https://keys.example.com' },
    { keyId: 'key_01', algorithm: 'ed25519', sign },
  );
  const signature = Buffer.from(/:(.*):/.exec(headers['signature'] ?? '')?.[1] ?? '', 'base64');
  assert.ok(await subtle.verify('Ed25519', publicKey, signature, Buffer.from(base)));
});

test('halves that do not belong together are refused', async () => {
  for (const algorithm of [
    { name: 'Ed25519' },
    { name: 'ECDSA', namedCurve: 'P-256' },
    { name: 'RSA-PSS', hash: 'SHA-512', ...RSA },
  ]) {
    const [one, other] = [await generate(algorithm, true), await generate(algorithm, true)];
    await refusal(readKey({ privateKey: one.privateKey, publicKey: other.publicKey }), 'halves_differ');
    const [mine, theirs] = [
      await subtle.exportKey('jwk', one.privateKey),
      await subtle.exportKey('jwk', other.privateKey),
    ];
    const mixed = algorithm.name === 'RSA-PSS' ? { ...mine, n: theirs.n } : { ...mine, x: theirs.x, y: theirs.y };
    const error: unknown = await readKey(
      Object.fromEntries(Object.entries(mixed).filter(([, value]) => value !== undefined)),
    ).catch((reason: unknown) => reason);
    assert.ok(error instanceof KeyError && ['damaged', 'halves_differ'].includes(error.code), String(error));
  }
});

test('keys of other kinds are refused by name', async () => {
  const p521 = await generate({ name: 'ECDSA', namedCurve: 'P-521' }, true);
  assert.match(await refusal(readKey(p521), 'unsupported_key_type'), /ECDSA P-521/);
  await refusal(readKey(await subtle.exportKey('jwk', p521.privateKey)), 'unsupported_key_type');
  assert.match(
    await refusal(readKey(await generate({ name: 'RSA-PSS', hash: 'SHA-256', ...RSA }, true)), 'unsupported_key_type'),
    /RSA-PSS SHA-256/,
  );
  const { publicKey, privateKey } = await generate({ name: 'Ed25519' }, true);
  await refusal(readKey(publicKey), 'public_key');
  await refusal(readKey(await subtle.exportKey('jwk', publicKey)), 'public_key');
  await refusal(readKey({ privateKey: publicKey, publicKey: privateKey }), 'public_key');
  await refusal(readKey({ kty: 'oct', k: 'AAAA', d: 'AAAA' }), 'unsupported_key_type');
  await refusal(readKey({ kty: 'OKP', crv: 'Ed25519', d: 'AAAA' }), 'damaged');
  await refusal(readKey({ kty: 'RSA', n: 'AAAA', e: 'AQAB', d: 'AAAA' }), 'damaged');
  await refusal(readKey('{"kty": "OKP", '), 'not_a_private_key');
  await refusal(readKey('{"keys": []}'), 'not_a_private_key');
  // @ts-expect-error Programs without types give anything.
  await refusal(readKey(null), 'not_a_private_key');
  // @ts-expect-error
  await refusal(readKey(42), 'not_a_private_key');
  const promise = readKey(keyText('openssh-ed25519'));
  // @ts-expect-error
  assert.match(await refusal(readKey(promise), 'not_a_private_key'), /a Promise of a key: write `await`/);
  // @ts-expect-error
  await refusal(createSignature({ method: 'GET', url: 'https://keys.example.com' }, promise), 'not_a_private_key');
  const mayNotSign = await subtle.importKey('jwk', await subtle.exportKey('jwk', privateKey), 'Ed25519', true, [
    'sign',
  ]);
  assert.equal((await readKey(mayNotSign)).algorithm, 'ed25519');
  await refusal(readKey(keyText('openssh-ed25519'), { algorithm: 'rsa-pss-sha512' }), 'unsupported_key_type');
});

test('a base64 text of JWK that is cut says nothing of it', async () => {
  const { privateKey } = await generate({ name: 'Ed25519' }, true);
  const jwk = await subtle.exportKey('jwk', privateKey);
  const text = JSON.stringify(jwk);
  for (const input of [text.slice(0, -1), `${text}x`, text.replace('"d"', "'d'")]) {
    const message = await refusal(readKey(input), 'not_a_private_key');
    assert.ok(!message.includes((jwk.d ?? '').slice(0, 6)));
  }
});

test('a key shows its public half only', async () => {
  for (const { file } of KEY_FILE_INDEX.filter(({ file }) => /^openssh-(ed25519|p256|p384|rsa)$/.test(file))) {
    const key = await readKey(keyText(file));
    const secret = keyText(file).split('\n').at(-4) ?? '';
    const shown = `${JSON.stringify(key)} ${inspect(key, { depth: null, showHidden: true })} ${String(key)}`;
    assert.ok(shown.includes(key.fingerprint));
    assert.ok(secret.length > 40 && !shown.includes(secret));
    assert.match(key.publicKey, / build robot$/);
  }
});
