/** As much of DER (X.690) as private keys are written in. */

import { type Bytes, concat, trimZeros } from '../bytes.js';
import { MalformedError } from '../ssh-wire.js';

export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OBJECT_IDENTIFIER = 0x06;
export const SEQUENCE = 0x30;

/** Reads values one after the other. Every method throws {@link MalformedError} where there is another one, or none. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The tag of the value that comes next. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The content of the next value, which has this tag. */
  content(tag: number): Bytes {
    if (this.#byte() !== tag) throw new MalformedError();
    const end = this.#length() + this.#at;
    if (end > this.#bytes.length) throw new MalformedError();
    const content = Uint8Array.from(this.#bytes.subarray(this.#at, end));
    this.#at = end;
    return content;
  }

  /** The values inside the next one, which has this tag. */
  inside(tag: number): DerReader {
    return new DerReader(this.content(tag));
  }

  /** An INTEGER that is not negative, without zeros before it. */
  positive(): Bytes {
    const bytes = this.content(INTEGER);
    if (bytes.length === 0 || (bytes[0] ?? 0) >= 0x80) throw new MalformedError();
    return trimZeros(bytes);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new MalformedError();
    this.#at += 1;
    return byte;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    // A key is shorter than 2^16 bytes.
    if (first !== 0x81 && first !== 0x82) throw new MalformedError();
    let length = this.#byte();
    if (first === 0x82) length = length * 256 + this.#byte();
    return length;
  }
}

/** A value of this tag. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Bytes {
  const content = concat(...contents);
  const { length } = content;
  const header =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return concat(Uint8Array.from(header), content);
}

/** An INTEGER that is not negative. */
export function derPositive(bytes: Uint8Array): Bytes {
  const digits = trimZeros(bytes);
  const needsZero = digits.length === 0 || (digits[0] ?? 0) >= 0x80;
  return needsZero ? der(INTEGER, Uint8Array.of(0), digits) : der(INTEGER, digits);
}
