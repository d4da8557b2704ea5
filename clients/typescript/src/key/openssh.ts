/** OpenSSH's own format of private keys (PROTOCOL.key), unencrypted, with one key. */

import { areEqual, type Bytes, concat, startsWith, utf8 } from '../bytes.js';
import { MalformedError, SshReader, sshString } from '../ssh-wire.js';
import { halvesDiffer, orDamaged, passphraseProtected, severalKeys, unsupportedKeyType } from './key-error.js';
import { type Curve, ecdsaMaterial, ed25519Material, type KeyMaterial, rsaBlob, rsaMaterial } from './material.js';

const MAGIC = utf8('openssh-key-v1\0');

export function isOpenSsh(bytes: Uint8Array): boolean {
  return startsWith(bytes, MAGIC);
}

/** @throws KeyError */
export function readOpenSsh(bytes: Uint8Array): KeyMaterial {
  return orDamaged(() => {
    if (!isOpenSsh(bytes)) throw new MalformedError();
    const reader = new SshReader(bytes.subarray(MAGIC.length));
    const cipher = reader.text();
    reader.string();
    reader.string();
    const count = reader.uint32();
    const publicBlob = reader.string();
    const section = reader.string();
    if (cipher !== 'none') {
      throw passphraseProtected(
        'take the passphrase off with `ssh-keygen -p -f {file}` (leave the new one empty), or make a key for this program ' +
          'with `ssh-keygen -t ed25519 -N ""`',
      );
    }
    if (count > 1) throw severalKeys();
    if (count === 0 || !reader.isAtEnd) throw new MalformedError();
    const material = readSection(new SshReader(section));
    if (material.publicBlob === undefined || !areEqual(material.publicBlob, publicBlob)) throw halvesDiffer();
    return material;
  });
}

function readSection(reader: SshReader): KeyMaterial {
  if (reader.uint32() !== reader.uint32()) throw new MalformedError();
  const kind = reader.text();
  const read = readFields(kind, reader);
  const comment = printable(reader.text());
  // OpenSSH pads to 8 bytes, PuTTY to 16.
  for (let expected = 1; !reader.isAtEnd; expected += 1) {
    if (reader.take(1)[0] !== expected) throw new MalformedError();
  }
  return read(comment);
}

/** Reads what is before the comment. */
function readFields(kind: string, reader: SshReader): (comment: string) => KeyMaterial {
  switch (kind) {
    case 'ssh-ed25519': {
      const point = reader.string();
      const both = reader.string();
      if (both.length !== 64) throw new MalformedError();
      if (!areEqual(both.subarray(32), point)) throw halvesDiffer();
      const publicBlob = concat(sshString(kind), sshString(point));
      return (comment) => ed25519Material(both.subarray(0, 32), publicBlob, comment);
    }
    case 'ecdsa-sha2-nistp256':
      return readEcdsaFields('p256', reader);
    case 'ecdsa-sha2-nistp384':
      return readEcdsaFields('p384', reader);
    case 'ssh-rsa': {
      const number = (): Bytes => reader.positive();
      const [n, e, d, qi, p, q] = [number(), number(), number(), number(), number(), number()];
      return (comment) => rsaMaterial({ n, e, d, p, q, qi }, comment);
    }
    default:
      throw unsupportedKeyType(nameOfKind(kind));
  }
}

function readEcdsaFields(curve: Curve, reader: SshReader): (comment: string) => KeyMaterial {
  reader.string();
  const point = reader.string();
  const scalar = reader.positive();
  return (comment) => ecdsaMaterial(curve, scalar, point, comment);
}

/** What a key of this SSH type is called. */
export function nameOfKind(kind: string): string {
  if (kind === 'ssh-dss') return 'a DSA key';
  if (kind === 'ecdsa-sha2-nistp521') return 'an ECDSA key on P-521';
  if (kind === 'ssh-ed448') return 'an Ed448 key';
  if (kind.startsWith('sk-')) return 'a key that is in a security key (sk-…)';
  return 'a key of this type';
}

/** The public half in a private key of PuTTY, to tell which numbers belong to it. */
export function rsaPublicNumbers(publicBlob: Bytes): { n: Bytes; e: Bytes } {
  const reader = new SshReader(publicBlob);
  reader.string();
  const e = reader.positive();
  const n = reader.positive();
  if (!areEqual(rsaBlob(n, e), publicBlob)) throw new MalformedError();
  return { n, e };
}

/** A comment without what would do harm in a terminal or break a line. */
export function printable(comment: string): string {
  return comment.replace(/[\u0000-\u001f\u007f-\u009f]/g, '');
}
