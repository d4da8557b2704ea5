/** Private keys of every kind that Keyward accepts. */

import { KeyError, orDamaged } from './key-error.js';
import { readKeyText } from './key-text.js';
import { jwkMaterial } from './material.js';
import { isSigningKey, type PrivateKey, type SignatureAlgorithm, type SigningKey } from './signing-key.js';
import { adoptCryptoKey, importMaterial } from './web-crypto-key.js';

/**
 * What a key is read from: the text or the bytes of a file (OpenSSH, PEM or DER in PKCS#8, PKCS#1 or SEC 1, PuTTY's `.ppk`, a
 * JWK, or base64 of one of these), a JWK, a `CryptoKey` or a `CryptoKeyPair`.
 */
export type KeySource = string | Uint8Array | JsonWebKey | CryptoKey | CryptoKeyPair;

/** How to use a key. */
export interface KeyOptions {
  /** What Keyward knows the key by, such as its id `key_…`; the fingerprint if not given. */
  readonly keyId?: string;
  /** For an RSA key from a text or a JWK: `rsa-v1_5-sha256` in place of `rsa-pss-sha512`. */
  readonly algorithm?: SignatureAlgorithm;
}

/**
 * Reads a private key.
 *
 * @throws {@link KeyError}, which tells what to do and contains no part of the key.
 */
export async function readKey(source: KeySource, options: KeyOptions = {}): Promise<PrivateKey> {
  const { algorithm, keyId } = options;
  if (typeof source === 'string' || source instanceof Uint8Array) {
    return importMaterial(await readKeyText(source), algorithm, keyId);
  }
  if (isRecord(source)) {
    if ('then' in source) {
      throw new KeyError('not_a_private_key', 'this is a Promise of a key: write `await`, as in `await keyFromFile(…)`');
    }
    if ('privateKey' in source) return adoptCryptoKey(source.privateKey, source.publicKey, keyId);
    if ('usages' in source) return adoptCryptoKey(source, undefined, keyId);
    if ('kty' in source) {
      if (source.d === undefined) {
        throw new KeyError('public_key', 'this JWK is public, and signing needs the private one');
      }
      const material = orDamaged(() => jwkMaterial(source));
      return importMaterial(material, algorithm, keyId);
    }
  }
  throw new KeyError(
    'not_a_private_key',
    'this is no key: give the text or the bytes of a key file, a JWK, a CryptoKey or a CryptoKeyPair',
  );
}

/** A key as it is, or read from what it can be read from. */
export async function asSigningKey(key: SigningKey | KeySource): Promise<SigningKey> {
  return isSigningKey(key) ? key : readKey(key);
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
