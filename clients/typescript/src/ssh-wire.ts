/** The encoding of SSH (RFC 4251 §5), in which OpenSSH and PuTTY keep keys and of which a fingerprint is made. */

import { type Bytes, concat, fromUtf8, toBase64, trimZeros, utf8 } from './bytes.js';
import { webCrypto } from './platform.js';

/** The bytes are not what they should be. */
export class MalformedError extends Error {}

/** Reads fields one after the other. Every method throws {@link MalformedError} at the end of the bytes. */
export class SshReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Bytes {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new MalformedError();
    const taken = Uint8Array.from(this.#bytes.subarray(this.#at, end));
    this.#at = end;
    return taken;
  }

  uint32(): number {
    return this.take(4).reduce((value, byte) => value * 256 + byte, 0);
  }

  string(): Bytes {
    return this.take(this.uint32());
  }

  text(): string {
    return fromUtf8(this.string());
  }

  /** A positive `mpint`, without zeros before it. */
  positive(): Bytes {
    const bytes = this.string();
    if (bytes.length === 0 || (bytes[0] ?? 0) >= 0x80) throw new MalformedError();
    return trimZeros(bytes);
  }
}

/** A `string`. */
export function sshString(content: Uint8Array | string): Bytes {
  const bytes = typeof content === 'string' ? utf8(content) : content;
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return concat(length, bytes);
}

/** A positive `mpint`. */
export function sshPositive(bytes: Uint8Array): Bytes {
  const digits = trimZeros(bytes);
  return sshString((digits[0] ?? 0) >= 0x80 ? concat(Uint8Array.of(0), digits) : digits);
}

/** The line that OpenSSH writes into a `.pub` file. */
export function publicLine(publicBlob: Uint8Array, comment: string): string {
  const line = `${new SshReader(publicBlob).text()} ${toBase64(publicBlob)}`;
  return comment === '' ? line : `${line} ${comment}`;
}

/** `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it. */
export async function fingerprint(publicBlob: Bytes): Promise<string> {
  const hash = await (await webCrypto()).subtle.digest('SHA-256', publicBlob);
  return `SHA256:${toBase64(new Uint8Array(hash)).replaceAll('=', '')}`;
}
