/** Why a private key is refused, and what to do instead. No error contains any part of the key. */

import { MalformedError } from '../ssh-wire.js';

/** What is wrong with a private key. */
export type KeyErrorCode =
  | 'base64_twice'
  | 'damaged'
  | 'empty'
  | 'halves_differ'
  | 'no_public_half'
  | 'not_a_private_key'
  | 'not_found'
  | 'not_set'
  | 'passphrase_protected'
  | 'permissions'
  | 'public_file_differs'
  | 'public_key'
  | 'several_keys'
  | 'text_in_place_of_file'
  | 'unreadable'
  | 'unsupported_key_type'
  | 'unsupported_runtime';

/** A private key is refused. The message names the file, if the key came from one, and tells what to do next. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
  /** What is wrong, for programs. */
  readonly code: KeyErrorCode;

  /**
   * @param code What is wrong.
   * @param explanation What is wrong and what to do next, for people; `{file}` stands for the file's name.
   * @param file The file that the key came from.
   * @param textHint What more to say of a key that did not come from a file.
   */
  constructor(code: KeyErrorCode, explanation: string, file?: string, textHint = '') {
    const filled = explanation.replaceAll('{file}', () => shellWord(file ?? 'FILE'));
    super(`${file ?? 'the private key'}: ${filled}${textHint}`);
    this.code = code;
    this.#explanation = explanation;
  }

  readonly #explanation: string;

  /** The same error, of a key that came from this file, if its name may be shown. */
  inFile(file: string | undefined): KeyError {
    return new KeyError(this.code, this.#explanation, file);
  }
}

/** A file's name in a command that people copy. */
function shellWord(name: string): string {
  return /^[\w@%+=:,./~-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
}

export const publicKey = (): KeyError =>
  new KeyError(
    'public_key',
    'this is the public key: the private key is in another file, often of the same name without `.pub` or with `.pem`',
  );

export const certificate = (): KeyError =>
  new KeyError(
    'not_a_private_key',
    'this is a certificate, which holds a public key: the private key is in another file',
  );

export const damaged = (): KeyError =>
  new KeyError(
    'damaged',
    'it is damaged: lost line breaks would have been put right, but more is missing or changed; store it again from the ' +
      'original file, or pass the file itself (KEYWARD_KEY_FILE)',
  );

export const halvesDiffer = (): KeyError =>
  new KeyError(
    'halves_differ',
    'its public and its private half do not belong together: restore it from a copy, or make a new key with ' +
      '`ssh-keygen -t ed25519 -N ""`',
  );

export const passphraseProtected = (wayOut: string): KeyError =>
  new KeyError('passphrase_protected', `it is protected by a passphrase, and this package asks for none: ${wayOut}`);

export const severalKeys = (): KeyError => new KeyError('several_keys', 'there is more than one key: keep one');

export const unsupportedKeyType = (found: string): KeyError =>
  new KeyError(
    'unsupported_key_type',
    `${found} is not supported (Ed25519, RSA of 2048 to 4096 bits with exponent 65537, and ECDSA on P-256 or P-384 are): ` +
      'make a new key with `ssh-keygen -t ed25519 -N ""`',
  );

/** Reads, and says that the key is damaged if its bytes are not what they should be. */
export function orDamaged<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof MalformedError ? damaged() : error;
  }
}
