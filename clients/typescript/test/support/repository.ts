/** Files of the repository that the tests share with other programs. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** From `build/test/support`. */
export const PACKAGE = fileURLToPath(new URL('../../..', import.meta.url));
export const REPOSITORY = join(PACKAGE, '../..');
export const BINARY = process.env['KEYWARD_BINARY'] ?? join(REPOSITORY, 'target/debug/keyward');
export const KEY_FILES = join(REPOSITORY, 'crates/client/tests/key-files');

/** An entry of the key files' index. */
export interface KeyFile {
  readonly file: string;
  readonly what: string;
  readonly fingerprint?: string;
  readonly algorithm?: string;
  readonly refused?: string;
}

export const KEY_FILE_INDEX: readonly KeyFile[] = readJson(join(KEY_FILES, 'index.json'));

/** A vector of docs/vectors/native.json. */
export interface Vector {
  readonly name: string;
  readonly key: string;
  readonly algorithm: 'ecdsa-p256-sha256' | 'ecdsa-p384-sha384' | 'ed25519' | 'rsa-pss-sha512' | 'rsa-v1_5-sha256';
  readonly request: {
    readonly method: string;
    readonly url: string;
    readonly headers: [string, string][];
    readonly body: string | null;
  };
  readonly cover: readonly string[];
  readonly created: number;
  readonly expires: number;
  readonly nonce: string;
  readonly keyid: string;
  readonly content_digest: string | null;
  readonly signature_base: string;
  readonly signature_input: string;
  readonly signature: string;
  readonly deterministic: boolean;
}

export interface VectorKey {
  readonly fingerprint: string;
  readonly public_openssh: string;
  readonly private_pkcs8_pem: string;
  readonly private_jwk: JsonWebKey;
}

export interface Vectors {
  readonly keys: Readonly<Record<string, VectorKey>>;
  readonly vectors: readonly Vector[];
}

export const readVectors = (): Vectors => readJson(join(REPOSITORY, 'docs/vectors/native.json'));

export function keyFile(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(KEY_FILES, name)));
}

export function keyText(name: string): string {
  return readFileSync(join(KEY_FILES, name), 'utf8');
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8'));
}
