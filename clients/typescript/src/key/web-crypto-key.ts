/** Private keys in WebCrypto. */

import { areEqual, type Bytes, utf8 } from '../bytes.js';
import { webCrypto } from '../platform.js';
import { fingerprint, publicLine } from '../ssh-wire.js';
import { damaged, halvesDiffer, KeyError } from './key-error.js';
import { CURVES, jwkPublicBlob, type KeyKind, type KeyMaterial } from './material.js';
import type { PrivateKey, SignatureAlgorithm } from './signing-key.js';

/** How WebCrypto imports a key, and signs with it. */
interface Parameters {
  readonly import: Algorithm | EcKeyImportParams | RsaHashedImportParams;
  readonly sign: Algorithm | EcdsaParams | RsaPssParams;
}

const PARAMETERS: Readonly<Record<SignatureAlgorithm, Parameters>> = {
  ed25519: { import: { name: 'Ed25519' }, sign: { name: 'Ed25519' } },
  'ecdsa-p256-sha256': {
    import: { name: 'ECDSA', namedCurve: CURVES.p256.jwk },
    sign: { name: 'ECDSA', hash: 'SHA-256' },
  },
  'ecdsa-p384-sha384': {
    import: { name: 'ECDSA', namedCurve: CURVES.p384.jwk },
    sign: { name: 'ECDSA', hash: 'SHA-384' },
  },
  // RFC 9421 §3.3.1: the salt is as long as the hash.
  'rsa-pss-sha512': {
    import: { name: 'RSA-PSS', hash: 'SHA-512' },
    sign: { name: 'RSA-PSS', saltLength: 64 },
  },
  'rsa-v1_5-sha256': {
    import: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
    sign: { name: 'RSASSA-PKCS1-v1_5' },
  },
};

/** The key kinds' algorithms; the first is what is used if none is asked for. */
const ALGORITHMS: Readonly<Record<KeyKind, readonly [SignatureAlgorithm, ...SignatureAlgorithm[]]>> = {
  ed25519: ['ed25519'],
  p256: ['ecdsa-p256-sha256'],
  p384: ['ecdsa-p384-sha384'],
  rsa: ['rsa-pss-sha512', 'rsa-v1_5-sha256'],
};

/** What tests that both halves belong together. It is no signature base, so the signature is good for nothing. */
const PROBE = utf8('keyward: do both halves of this key belong together?');

/** The public half of a key, and what it is called. */
interface PublicHalf {
  readonly jwk: JsonWebKey;
  /** In SSH's encoding. */
  readonly blob: Bytes;
  readonly comment: string;
  readonly keyId: string | undefined;
}

class WebCryptoKey implements PrivateKey {
  readonly keyId: string;
  readonly algorithm: SignatureAlgorithm;
  readonly fingerprint: string;
  readonly publicKey: string;
  readonly #key: CryptoKey;

  private constructor(
    key: CryptoKey,
    algorithm: SignatureAlgorithm,
    keyId: string,
    fingerprint: string,
    publicKey: string,
  ) {
    this.#key = key;
    this.algorithm = algorithm;
    this.keyId = keyId;
    this.fingerprint = fingerprint;
    this.publicKey = publicKey;
  }

  /** @throws KeyError if the halves do not belong together. */
  static async create(key: CryptoKey, algorithm: SignatureAlgorithm, half: PublicHalf): Promise<WebCryptoKey> {
    await checkHalves(key, await importPublic(half.jwk, algorithm), algorithm);
    const name = await fingerprint(half.blob);
    return new WebCryptoKey(key, algorithm, half.keyId ?? name, name, publicLine(half.blob, half.comment));
  }

  async sign(data: Uint8Array): Promise<Uint8Array> {
    return sign(this.#key, this.algorithm, Uint8Array.from(data));
  }
}

/**
 * Imports what was read from a text.
 *
 * @throws KeyError
 */
export async function importMaterial(
  material: KeyMaterial,
  asked: SignatureAlgorithm | undefined,
  keyId: string | undefined,
): Promise<PrivateKey> {
  const algorithm = algorithmFor(material.kind, asked);
  const [key, jwk] = await importEither(material, algorithm);
  const blob = jwkPublicBlob(material.kind, jwk);
  if (blob === undefined) throw damaged();
  if (material.publicBlob !== undefined && !areEqual(material.publicBlob, blob)) throw halvesDiffer();
  return WebCryptoKey.create(key, algorithm, { jwk, blob, comment: material.comment, keyId });
}

/**
 * Takes a key that is in WebCrypto already.
 *
 * @param publicKey Its public half; without it the private half has to be extractable.
 * @throws KeyError
 */
export async function adoptCryptoKey(
  privateKey: CryptoKey,
  publicKey: CryptoKey | undefined,
  keyId: string | undefined,
): Promise<PrivateKey> {
  if (privateKey.type === 'public')
    throw new KeyError('public_key', 'this CryptoKey is public, and signing needs the private one');
  if (!privateKey.usages.includes('sign')) {
    throw new KeyError('not_a_private_key', "this CryptoKey may not sign: make it with the usage 'sign'");
  }
  const { subtle } = await webCrypto();
  const [kind, algorithm] = kindOf(privateKey);
  const known = [publicKey, privateKey].find((half) => half?.extractable);
  if (known === undefined) {
    throw new KeyError(
      'no_public_half',
      'this CryptoKey does not tell its public half: give the pair, or an object with `keyId`, `algorithm` and `sign`',
    );
  }
  const jwk = await subtle.exportKey('jwk', known);
  const blob = jwkPublicBlob(kind, jwk);
  if (blob === undefined) throw damaged();
  return WebCryptoKey.create(privateKey, algorithm, { jwk, blob, comment: '', keyId });
}

/** The key, and what it is made of. */
async function importEither(
  { pkcs8, pkcs8WithPublic }: KeyMaterial,
  algorithm: SignatureAlgorithm,
): Promise<[CryptoKey, JsonWebKey]> {
  try {
    return await importPkcs8(pkcs8, algorithm);
  } catch (error) {
    if (pkcs8WithPublic === undefined) throw importError(error, algorithm);
  }
  try {
    return await importPkcs8(pkcs8WithPublic, algorithm);
  } catch (error) {
    throw importError(error, algorithm);
  }
}

async function importPkcs8(pkcs8: Bytes, algorithm: SignatureAlgorithm): Promise<[CryptoKey, JsonWebKey]> {
  const { subtle } = await webCrypto();
  const parameters = PARAMETERS[algorithm].import;
  const extractable = await subtle.importKey('pkcs8', pkcs8, parameters, true, ['sign']);
  const key = await subtle.importKey('pkcs8', pkcs8, parameters, false, ['sign']);
  return [key, await subtle.exportKey('jwk', extractable)];
}

function algorithmFor(kind: KeyKind, asked: SignatureAlgorithm | undefined): SignatureAlgorithm {
  const algorithms = ALGORITHMS[kind];
  if (asked === undefined) return algorithms[0];
  if (!algorithms.includes(asked)) {
    throw new KeyError('unsupported_key_type', `it signs with ${algorithms.join(' or ')}, not with ${String(asked)}`);
  }
  return asked;
}

/** What a CryptoKey is, and how it signs. */
function kindOf(key: CryptoKey): [KeyKind, SignatureAlgorithm] {
  const { name } = key.algorithm;
  const curve = 'namedCurve' in key.algorithm ? key.algorithm.namedCurve : undefined;
  const hash = hashOf(key.algorithm);
  if (name === 'Ed25519') return ['ed25519', 'ed25519'];
  if (name === 'ECDSA' && curve === CURVES.p256.jwk) return ['p256', 'ecdsa-p256-sha256'];
  if (name === 'ECDSA' && curve === CURVES.p384.jwk) return ['p384', 'ecdsa-p384-sha384'];
  if (name === 'RSA-PSS' && hash === 'SHA-512') return ['rsa', 'rsa-pss-sha512'];
  if (name === 'RSASSA-PKCS1-v1_5' && hash === 'SHA-256') return ['rsa', 'rsa-v1_5-sha256'];
  throw new KeyError(
    'unsupported_key_type',
    `a CryptoKey of ${[name, curve, hash].filter((part) => part !== undefined).join(' ')} is not supported (Ed25519, ECDSA on ` +
      'P-256 and P-384, RSA-PSS with SHA-512 and RSASSA-PKCS1-v1_5 with SHA-256 are): generate or import it as one of these',
  );
}

function hashOf(algorithm: KeyAlgorithm): string | undefined {
  if (!('hash' in algorithm) || typeof algorithm.hash !== 'object' || algorithm.hash === null) return undefined;
  return 'name' in algorithm.hash ? String(algorithm.hash.name) : undefined;
}

async function sign(key: CryptoKey, algorithm: SignatureAlgorithm, data: Bytes): Promise<Bytes> {
  const { subtle } = await webCrypto();
  return new Uint8Array(await subtle.sign(PARAMETERS[algorithm].sign, key, data));
}

async function importPublic(jwk: JsonWebKey, algorithm: SignatureAlgorithm): Promise<CryptoKey> {
  const { subtle } = await webCrypto();
  const { kty, crv, x, y, n, e } = jwk;
  const members = Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined);
  const publicJwk: JsonWebKey = Object.fromEntries(members);
  try {
    return await subtle.importKey('jwk', publicJwk, PARAMETERS[algorithm].import, true, ['verify']);
  } catch {
    throw damaged();
  }
}

/** Registering one key and signing with another would be found out late. */
async function checkHalves(key: CryptoKey, publicKey: CryptoKey, algorithm: SignatureAlgorithm): Promise<void> {
  const { subtle } = await webCrypto();
  const signature = await sign(key, algorithm, PROBE);
  if (!(await subtle.verify(PARAMETERS[algorithm].sign, publicKey, signature, PROBE))) throw halvesDiffer();
}

/** The runtime's own error is omitted, because it may contain parts of the key. */
function importError(error: unknown, algorithm: SignatureAlgorithm): KeyError {
  const isUnknown = error instanceof Error && error.name === 'NotSupportedError';
  if (!isUnknown) return damaged();
  return new KeyError(
    'unsupported_runtime',
    `this runtime's WebCrypto has no ${algorithm}: Ed25519 is in Node 18.4, Chrome 137, Firefox 129, Safari 17 and later; ` +
      'earlier ones sign with an ECDSA key on P-256',
  );
}
