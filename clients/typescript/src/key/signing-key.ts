/** What signs. */

/** Algorithms of RFC 9421 that Keyward accepts. */
export type SignatureAlgorithm =
  'ecdsa-p256-sha256' | 'ecdsa-p384-sha384' | 'ed25519' | 'rsa-pss-sha512' | 'rsa-v1_5-sha256';

/**
 * Signs with a private key that Keyward knows the public half of. {@link readKey} makes one; implement it for a key that is
 * elsewhere, such as in a hardware module or a key management service.
 */
export interface SigningKey {
  /** The fingerprint (`SHA256:…`) or the id (`key_…`) of the key. */
  readonly keyId: string;
  readonly algorithm: SignatureAlgorithm;
  /** Signs; ECDSA signatures are the two numbers one after the other, of the same length (IEEE P1363). */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** A private key in WebCrypto, from which it cannot be read again. */
export interface PrivateKey extends SigningKey {
  /** The fingerprint of the public half, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  /** The public half as an OpenSSH line, to register it with. */
  readonly publicKey: string;
}

export function isSigningKey(value: unknown): value is SigningKey {
  return (
    typeof value === 'object' &&
    value !== null &&
    'sign' in value &&
    typeof value.sign === 'function' &&
    'keyId' in value &&
    typeof value.keyId === 'string'
  );
}
