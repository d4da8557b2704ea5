/** Private keys in DER, and so in PEM: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017), SEC 1 (RFC 5915). */

import { areEqual, type Bytes, toBigInt } from '../bytes.js';
import { MalformedError } from '../ssh-wire.js';
import { BIT_STRING, DerReader, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE } from './der.js';
import {
  certificate,
  damaged,
  KeyError,
  orDamaged,
  passphraseProtected,
  publicKey,
  unsupportedKeyType,
} from './key-error.js';
import {
  type Curve,
  ecdsaMaterial,
  ed25519Blob,
  ed25519Material,
  type KeyMaterial,
  OID,
  rsaMaterial,
} from './material.js';

/** What to do about a passphrase that `openssl` can take off. */
export const OPENSSL_WAY_OUT =
  'take the passphrase off with `openssl pkey -in {file} -out NEW_FILE` (for DER add `-inform DER`), or make a key for this ' +
  'program with `ssh-keygen -t ed25519 -N ""`';

/** Whether the bytes are one value in DER. */
export function isDer(bytes: Uint8Array): boolean {
  const reader = new DerReader(bytes);
  return orMalformed(() => (reader.content(SEQUENCE), reader.isAtEnd)) ?? false;
}

/**
 * Whichever private key the bytes are.
 *
 * @throws KeyError
 */
export function readDerKey(bytes: Uint8Array): KeyMaterial {
  const tags = orMalformed(() => topLevelTags(bytes));
  switch (tags?.slice(0, 2).join()) {
    case `${INTEGER},${SEQUENCE}`:
      return readPkcs8(bytes);
    case `${INTEGER},${INTEGER}`:
      return readPkcs1(bytes);
    case `${INTEGER},${OCTET_STRING}`:
      return readSec1(bytes);
    case `${SEQUENCE},${OCTET_STRING}`:
      throw passphraseProtected(OPENSSL_WAY_OUT);
    case `${SEQUENCE},${BIT_STRING}`:
      throw publicKey();
    case `${SEQUENCE},${SEQUENCE}`:
      throw certificate();
    default:
      throw new KeyError('not_a_private_key', 'this is DER, but no private key: PKCS#8, PKCS#1 and SEC 1 are read');
  }
}

/** @throws KeyError */
export function readPkcs8(bytes: Uint8Array): KeyMaterial {
  return orDamaged(() => {
    const info = new DerReader(bytes).inside(SEQUENCE);
    if (toBigInt(info.positive()) === 3n) {
      throw new KeyError(
        'not_a_private_key',
        'this is a PKCS#12 file: take the key out of it with `openssl pkcs12 -in {file} -nodes -nocerts -out NEW_FILE`',
      );
    }
    const algorithm = info.inside(SEQUENCE);
    const oid = algorithm.content(OBJECT_IDENTIFIER);
    const key = info.content(OCTET_STRING);
    if (areEqual(oid, OID.ed25519)) {
      return ed25519Material(new DerReader(key).content(OCTET_STRING), ed25519PublicBlob(info));
    }
    if (areEqual(oid, OID.rsa)) return readPkcs1(key);
    if (areEqual(oid, OID.ec)) {
      if (algorithm.nextTag !== OBJECT_IDENTIFIER) throw unsupportedKeyType('a curve that is spelled out');
      return readSec1(key, curveOf(algorithm.content(OBJECT_IDENTIFIER)));
    }
    if (areEqual(oid, OID.rsaPss)) {
      throw unsupportedKeyType('an RSA key that is bound to PSS (a plain one signs with PSS too)');
    }
    throw unsupportedKeyType('a PKCS#8 key of this algorithm');
  });
}

/** @throws KeyError */
export function readPkcs1(bytes: Uint8Array): KeyMaterial {
  return orDamaged(() => {
    const reader = new DerReader(bytes).inside(SEQUENCE);
    if (reader.positive().length !== 0) throw unsupportedKeyType('an RSA key of more than two primes');
    const number = (): Bytes => reader.positive();
    const [n, e, d, p, q] = [number(), number(), number(), number(), number()];
    // What they hold modulo p - 1 and q - 1 is computed again.
    number();
    number();
    return rsaMaterial({ n, e, d, p, q, qi: number() });
  });
}

/**
 * @param known The curve, if it is told elsewhere.
 * @throws KeyError
 */
export function readSec1(bytes: Uint8Array, known?: Curve): KeyMaterial {
  return orDamaged(() => {
    const reader = new DerReader(bytes).inside(SEQUENCE);
    reader.positive();
    const scalar = reader.content(OCTET_STRING);
    let curve = known;
    if (reader.nextTag === 0xa0) {
      const parameters = reader.inside(0xa0);
      if (parameters.nextTag !== OBJECT_IDENTIFIER) throw unsupportedKeyType('a curve that is spelled out');
      curve = curveOf(parameters.content(OBJECT_IDENTIFIER));
    }
    if (curve === undefined) throw damaged();
    const point = reader.nextTag === 0xa1 ? reader.inside(0xa1).content(BIT_STRING).subarray(1) : undefined;
    return ecdsaMaterial(curve, scalar, point);
  });
}

function curveOf(oid: Uint8Array): Curve {
  if (areEqual(oid, OID.p256)) return 'p256';
  if (areEqual(oid, OID.p384)) return 'p384';
  throw unsupportedKeyType('an ECDSA key on another curve');
}

/** The public key that version 2 may have after attributes. */
function ed25519PublicBlob(info: DerReader): Bytes | undefined {
  if (info.nextTag === 0xa0) info.content(0xa0);
  if (info.nextTag !== 0x81) return undefined;
  return ed25519Blob(info.content(0x81).subarray(1));
}

function topLevelTags(bytes: Uint8Array): number[] {
  const reader = new DerReader(bytes).inside(SEQUENCE);
  const tags: number[] = [];
  while (reader.nextTag !== undefined) {
    tags.push(reader.nextTag);
    reader.content(reader.nextTag);
  }
  return tags;
}

function orMalformed<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
