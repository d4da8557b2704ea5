/** PuTTY's format of private keys, versions 2 and 3, unencrypted. */

import { areEqual, type Bytes, concat, fromBase64, utf8 } from '../bytes.js';
import { webCrypto } from '../platform.js';
import { MalformedError, SshReader, sshString } from '../ssh-wire.js';
import { damaged, KeyError, orDamaged, passphraseProtected, unsupportedKeyType } from './key-error.js';
import { type Curve, ecdsaMaterial, ed25519Material, type KeyMaterial, rsaMaterial } from './material.js';
import { nameOfKind, printable, rsaPublicNumbers } from './openssh.js';

const HEADER = 'PuTTY-User-Key-File-';

/** Blanks stand for line breaks that became blanks. */
const FILE = new RegExp(
  `^${HEADER}[23]: (?<type>\\S+)\\s+Encryption: (?<encryption>\\S+)\\s+Comment: (?<comment>.*?)(?:\\r\\n|\\r|\\n| )` +
    'Public-Lines: \\d+\\s+(?<publicBlob>[A-Za-z0-9+/=\\s]+?)\\s+' +
    'Private-Lines: \\d+\\s+(?<privateBlob>[A-Za-z0-9+/=\\s]+?)\\s+Private-MAC: (?<mac>[0-9a-f]+)\\s*$',
  's',
);

export function isPutty(text: string): boolean {
  return text.startsWith(HEADER);
}

/** @throws KeyError */
export async function readPutty(text: string): Promise<KeyMaterial> {
  const version = text.charAt(HEADER.length);
  if (version !== '2' && version !== '3') {
    throw new KeyError(
      'not_a_private_key',
      'this is a PuTTY file of a version that is not read (2 and 3 are): save it again with a current PuTTYgen',
    );
  }
  if (/\sEncryption: (?!none\s)/.test(text)) {
    throw passphraseProtected(
      'save it without one with `puttygen {file} -O private-openssh-new -o NEW_FILE --new-passphrase /dev/null`, or in ' +
        'PuTTYgen with an empty passphrase, or make a key for this program',
    );
  }
  // Indented lines, as in YAML.
  const fields = FILE.exec(text.replace(/([\r\n])[^\S\r\n]+/g, '$1'))?.groups;
  const [type, comment] = [fields?.['type'] ?? '', fields?.['comment'] ?? ''];
  const publicBlob = decode(fields?.['publicBlob']);
  const privateBlob = decode(fields?.['privateBlob']);
  const mac = Uint8Array.from(fields?.['mac']?.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  if (!(await isMac(version, mac, type, comment, publicBlob, privateBlob))) throw damaged();
  return orDamaged(() => readBlobs(type, publicBlob, privateBlob, printable(comment)));
}

function readBlobs(type: string, publicBlob: Bytes, privateBlob: Bytes, comment: string): KeyMaterial {
  const reader = new SshReader(privateBlob);
  switch (type) {
    case 'ssh-ed25519': {
      // Early versions leave out zeros at the end.
      const seed = reader.string();
      if (seed.length > 32) throw new MalformedError();
      return ed25519Material(concat(seed, new Uint8Array(32 - seed.length)), publicBlob, comment);
    }
    case 'ecdsa-sha2-nistp256':
      return readEcdsa('p256', publicBlob, reader, comment);
    case 'ecdsa-sha2-nistp384':
      return readEcdsa('p384', publicBlob, reader, comment);
    case 'ssh-rsa': {
      const { n, e } = rsaPublicNumbers(publicBlob);
      const [d, p, q, qi] = [reader.positive(), reader.positive(), reader.positive(), reader.positive()];
      return rsaMaterial({ n, e, d, p, q, qi }, comment);
    }
    default:
      throw unsupportedKeyType(nameOfKind(type));
  }
}

function readEcdsa(curve: Curve, publicBlob: Bytes, reader: SshReader, comment: string): KeyMaterial {
  const blob = new SshReader(publicBlob);
  blob.string();
  blob.string();
  return ecdsaMaterial(curve, reader.positive(), blob.string(), comment);
}

function decode(lines: string | undefined): Bytes {
  const bytes = fromBase64((lines ?? '').replace(/\s/g, ''));
  if (bytes === undefined || bytes.length === 0) throw damaged();
  return bytes;
}

/** Of a file without passphrase it protects from damage only. */
async function isMac(
  version: '2' | '3',
  mac: Uint8Array,
  type: string,
  comment: string,
  publicBlob: Bytes,
  privateBlob: Bytes,
): Promise<boolean> {
  const { subtle } = await webCrypto();
  const hash = version === '2' ? 'SHA-1' : 'SHA-256';
  const secret =
    version === '2'
      ? new Uint8Array(await subtle.digest('SHA-1', utf8('putty-private-key-file-mac-key')))
      : // An empty key, which HMAC fills up with zeros and WebCrypto does not take.
        new Uint8Array(64);
  const key = await subtle.importKey('raw', secret, { name: 'HMAC', hash }, false, ['sign']);
  const macWith = (commentBytes: Bytes): Promise<ArrayBuffer> => {
    const parts = [utf8(type), utf8('none'), commentBytes, publicBlob, privateBlob];
    return subtle.sign('HMAC', key, concat(...parts.map(sshString)));
  };
  // Windows writes the comment in a character set of one byte each; blanks at its end may have been added on the way.
  const spellings = [comment, comment.trimEnd()].flatMap((text) => [
    utf8(text),
    Uint8Array.from(text, (character) => character.charCodeAt(0)),
  ]);
  const macs = await Promise.all(spellings.map(macWith));
  return macs.some((found) => areEqual(new Uint8Array(found), mac));
}
