/** A private key on its way from a file to WebCrypto. */

import { type Bytes, concat, fromBase64, fromBigInt, padZeros, toBigInt } from '../bytes.js';
import { sshPositive, sshString } from '../ssh-wire.js';
import { BIT_STRING, der, derPositive, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE } from './der.js';
import { damaged, unsupportedKeyType } from './key-error.js';

/** The kinds of keys that Keyward accepts. */
export type KeyKind = 'ed25519' | 'p256' | 'p384' | 'rsa';

/** A private key as it was found. */
export interface KeyMaterial {
  readonly kind: KeyKind;
  /** PKCS#8 (RFC 5958). */
  readonly pkcs8: Bytes;
  /** The same with the public half in it, which some runtimes do not compute. */
  readonly pkcs8WithPublic?: Bytes;
  /** The public half that stands beside it, in SSH's encoding; absent if there is none. */
  readonly publicBlob?: Bytes;
  readonly comment: string;
}

export type Curve = 'p256' | 'p384';

/** What the formats call a curve. */
export const CURVES: Readonly<Record<Curve, { jwk: string; ssh: string; size: number }>> = {
  p256: { jwk: 'P-256', ssh: 'nistp256', size: 32 },
  p384: { jwk: 'P-384', ssh: 'nistp384', size: 48 },
};

/** Object identifiers, without tag and length. */
export const OID = {
  rsa: Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01),
  rsaPss: Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a),
  ec: Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01),
  p256: Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07),
  p384: Uint8Array.of(0x2b, 0x81, 0x04, 0x00, 0x22),
  ed25519: Uint8Array.of(0x2b, 0x65, 0x70),
} as const;

/** The numbers of an RSA key that OpenSSH, PuTTY and PKCS#1 all have. */
export interface RsaNumbers {
  readonly n: Bytes;
  readonly e: Bytes;
  readonly d: Bytes;
  readonly p: Bytes;
  readonly q: Bytes;
  /** The inverse of q modulo p. */
  readonly qi: Bytes;
}

export function ed25519Blob(point: Uint8Array): Bytes {
  return concat(sshString('ssh-ed25519'), sshString(point));
}

export function ecdsaBlob(curve: Curve, point: Uint8Array): Bytes {
  const { ssh } = CURVES[curve];
  return concat(sshString(`ecdsa-sha2-${ssh}`), sshString(ssh), sshString(point));
}

export function rsaBlob(n: Uint8Array, e: Uint8Array): Bytes {
  return concat(sshString('ssh-rsa'), sshPositive(e), sshPositive(n));
}

/** @throws KeyError */
export function ed25519Material(seed: Uint8Array, publicBlob?: Bytes, comment = ''): KeyMaterial {
  if (seed.length !== 32) throw damaged();
  const material: KeyMaterial = { kind: 'ed25519', pkcs8: pkcs8(OID.ed25519, [], der(OCTET_STRING, seed)), comment };
  return publicBlob === undefined ? material : { ...material, publicBlob };
}

/**
 * @param point The public point, if it is known.
 * @throws KeyError
 */
export function ecdsaMaterial(curve: Curve, scalar: Uint8Array, point?: Uint8Array, comment = ''): KeyMaterial {
  const { size } = CURVES[curve];
  const padded = padZeros(scalar, size);
  if (padded === undefined) throw damaged();
  // RFC 5915.
  const sec1 = (...publicKey: readonly Uint8Array[]): Bytes =>
    der(SEQUENCE, der(INTEGER, Uint8Array.of(1)), der(OCTET_STRING, padded), ...publicKey);
  const parameters = [der(OBJECT_IDENTIFIER, OID[curve])];
  const material = { kind: curve, pkcs8: pkcs8(OID.ec, parameters, sec1()), comment };
  // A compressed point is left to be computed.
  if (point?.length !== 1 + 2 * size || point[0] !== 4) return material;
  const publicKey = der(0xa1, der(BIT_STRING, Uint8Array.of(0), point));
  return {
    ...material,
    pkcs8WithPublic: pkcs8(OID.ec, parameters, sec1(publicKey)),
    publicBlob: ecdsaBlob(curve, point),
  };
}

/** @throws KeyError of a size or an exponent that is not supported, among others. */
export function rsaMaterial(numbers: RsaNumbers, comment = ''): KeyMaterial {
  const { n, e, d, p, q, qi } = numbers;
  const bits = n.length * 8 - Math.clz32(n[0] ?? 0) + 24;
  if (bits < 2048 || bits > 4096) throw unsupportedKeyType(`an RSA key of ${bits} bits`);
  if (toBigInt(e) !== 65537n) throw unsupportedKeyType('an RSA key whose exponent is not 65537');
  const exponent = toBigInt(d);
  const [dp, dq] = [p, q].map((prime) => {
    const modulus = toBigInt(prime) - 1n;
    if (modulus <= 0n) throw damaged();
    return fromBigInt(exponent % modulus);
  });
  if (dp === undefined || dq === undefined) throw damaged();
  const integers = [Uint8Array.of(), n, e, d, p, q, dp, dq, qi].map(derPositive);
  return {
    kind: 'rsa',
    pkcs8: pkcs8(OID.rsa, [Uint8Array.of(5, 0)], der(SEQUENCE, ...integers)),
    publicBlob: rsaBlob(n, e),
    comment,
  };
}

/**
 * A private JWK (RFC 7517).
 *
 * @throws KeyError
 */
export function jwkMaterial(jwk: JsonWebKey, comment = ''): KeyMaterial {
  switch (jwk.kty) {
    case 'OKP': {
      if (jwk.crv !== 'Ed25519') throw unsupportedKeyType(`a JWK with the curve ${shownName(jwk.crv)}`);
      const point = jwk.x === undefined ? undefined : member(jwk.x);
      return ed25519Material(member(jwk.d), point === undefined ? undefined : ed25519Blob(point), comment);
    }
    case 'EC': {
      const curve: Curve | undefined = jwk.crv === 'P-256' ? 'p256' : jwk.crv === 'P-384' ? 'p384' : undefined;
      if (curve === undefined) throw unsupportedKeyType(`a JWK with the curve ${shownName(jwk.crv)}`);
      return ecdsaMaterial(curve, member(jwk.d), jwkPoint(jwk), comment);
    }
    case 'RSA': {
      const { n, e, d, p, q, qi } = jwk;
      return rsaMaterial(
        { n: member(n), e: member(e), d: member(d), p: member(p), q: member(q), qi: member(qi) },
        comment,
      );
    }
    default:
      throw unsupportedKeyType(`a JWK of the type ${shownName(jwk.kty)}`);
  }
}

/** The public half of a JWK in SSH's encoding; `undefined` of one that has none. */
export function jwkPublicBlob(kind: KeyKind, jwk: JsonWebKey): Bytes | undefined {
  switch (kind) {
    case 'ed25519': {
      const point = fromBase64(jwk.x ?? '');
      return point?.length === 32 ? ed25519Blob(point) : undefined;
    }
    case 'rsa': {
      const [n, e] = [fromBase64(jwk.n ?? ''), fromBase64(jwk.e ?? '')];
      return n === undefined || e === undefined ? undefined : rsaBlob(n, e);
    }
    default: {
      const point = jwkPoint(jwk);
      return point?.length === 1 + 2 * CURVES[kind].size ? ecdsaBlob(kind, point) : undefined;
    }
  }
}

function jwkPoint(jwk: JsonWebKey): Bytes | undefined {
  const [x, y] = [fromBase64(jwk.x ?? ''), fromBase64(jwk.y ?? '')];
  return x === undefined || y === undefined || x.length === 0 ? undefined : concat(Uint8Array.of(4), x, y);
}

function member(value: unknown): Bytes {
  const bytes = typeof value === 'string' ? fromBase64(value) : undefined;
  if (bytes === undefined || bytes.length === 0) throw damaged();
  return bytes;
}

/** A name in a JWK, unless it is something else. */
function shownName(value: unknown): string {
  return typeof value === 'string' && /^[\w.-]{1,16}$/.test(value) ? value : 'that it names';
}

function pkcs8(algorithm: Uint8Array, parameters: readonly Uint8Array[], key: Uint8Array): Bytes {
  return der(
    SEQUENCE,
    der(INTEGER, Uint8Array.of(0)),
    der(SEQUENCE, der(OBJECT_IDENTIFIER, algorithm), ...parameters),
    der(OCTET_STRING, key),
  );
}
