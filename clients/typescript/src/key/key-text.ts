/**
 * From what people have, a file or a variable, to a private key: text in several encodings, PEM with something around it,
 * base64 of a file, line breaks that were lost on the way.
 */

import { type Bytes, fromBase64 } from '../bytes.js';
import { isDer, OPENSSL_WAY_OUT, readDerKey, readPkcs1, readPkcs8, readSec1 } from './der-key.js';
import {
  certificate,
  damaged,
  KeyError,
  orDamaged,
  passphraseProtected,
  publicKey,
  severalKeys,
  unsupportedKeyType,
} from './key-error.js';
import { jwkMaterial, type KeyMaterial } from './material.js';
import { isOpenSsh, readOpenSsh } from './openssh.js';
import { isPutty, readPutty } from './putty.js';

/** Shorter than base64 of any private key. */
const SHORTEST_BASE64 = 40;

/**
 * The private key in a text, or in the bytes of a file.
 *
 * @throws KeyError, which never contains any part of the text.
 */
export async function readKeyText(content: string | Uint8Array): Promise<KeyMaterial> {
  const decoded = await readPlain(content);
  if (decoded instanceof Uint8Array) {
    const inner = await readPlain(decoded);
    if (inner instanceof Uint8Array) {
      throw (await isKey(inner))
        ? new KeyError('base64_twice', 'this is base64 of base64 of a key: encode it once, or not at all')
        : notAPrivateKey();
    }
    return inner;
  }
  return decoded;
}

/** Whether a text is, or holds, a private key, damaged or protected ones included. */
export async function isKey(content: string | Uint8Array): Promise<boolean> {
  try {
    await readKeyText(content);
    return true;
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    return !['not_a_private_key', 'empty', 'public_key'].includes(error.code);
  }
}

/** A key, or the bytes that base64 stands for. */
async function readPlain(content: string | Uint8Array): Promise<KeyMaterial | Bytes> {
  if (typeof content !== 'string') {
    if (isOpenSsh(content)) return readOpenSsh(content);
    if (isDer(content)) return readDerKey(content);
  }
  const decoded = typeof content === 'string' ? content : decodeText(content);
  // UTF-16 that was read as UTF-8 has NULs, and whatever its byte order mark became.
  const text = unquote(decoded.replace(/[\0\ufeff]|^\ufffd+/g, '').trim());
  const squeezed = squeeze(text);
  if (squeezed === '') throw new KeyError('empty', 'it is empty: check that the file or the secret was filled');
  if (isPutty(text)) return readPutty(text.includes('\n') ? text : unescapeLineBreaks(text));
  if (text.startsWith('{')) return readJwk(text);
  const pem = readPem(squeezed);
  if (pem !== undefined) return pem;
  if (/^(?:ssh-|ecdsa-sha2-|sk-|----BEGINSSH2PUBLIC)/.test(squeezed)) throw publicKey();
  const bytes = squeezed.length >= SHORTEST_BASE64 ? fromBase64(squeezed) : undefined;
  if (bytes !== undefined) return bytes;
  throw notAPrivateKey();
}

/** The one private key among the blocks of PEM; `undefined` if there is no block. */
function readPem(squeezed: string): KeyMaterial | undefined {
  const blocks = [...squeezed.matchAll(/-----BEGIN([A-Z0-9]+)-----(.*?)-----END\1-----/g)];
  const begun = [...squeezed.matchAll(/-----BEGIN([A-Z0-9]+)-----/g)];
  const isPrivate = (label: string | undefined): boolean => label?.endsWith('PRIVATEKEY') ?? false;
  const [block, another] = blocks.filter(([, label]) => isPrivate(label));
  if (another !== undefined) throw severalKeys();
  if (block === undefined) {
    if (begun.some(([, label]) => isPrivate(label)) || squeezed.includes('PRIVATEKEY-----')) throw damaged();
    if (blocks.some(([, label]) => label?.endsWith('PUBLICKEY'))) throw publicKey();
    const [first] = begun;
    if (first !== undefined) throw otherBlock(first[1] ?? '');
    return undefined;
  }
  if (begun.filter(([, label]) => isPrivate(label)).length > 1) throw damaged();
  const [, label, body = ''] = block;
  if (label === 'ENCRYPTEDPRIVATEKEY' || body.startsWith('Proc-Type:4,ENCRYPTED')) {
    throw passphraseProtected(OPENSSL_WAY_OUT);
  }
  const bytes = fromBase64(body);
  if (bytes === undefined) throw damaged();
  switch (label) {
    case 'OPENSSHPRIVATEKEY':
      return readOpenSsh(bytes);
    case 'PRIVATEKEY':
      return readPkcs8(bytes);
    case 'RSAPRIVATEKEY':
      return readPkcs1(bytes);
    case 'ECPRIVATEKEY':
      return readSec1(bytes);
    case 'DSAPRIVATEKEY':
      throw unsupportedKeyType('a DSA key');
    default:
      throw notAPrivateKey();
  }
}

function readJwk(text: string): KeyMaterial {
  let json: JsonWebKey & { keys?: JsonWebKey[] };
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's own message repeats the text.
    throw new KeyError('not_a_private_key', 'this begins like a JWK, but is no JSON: store it again from the original');
  }
  const [jwk, another] = Array.isArray(json.keys) ? json.keys : [json];
  if (another !== undefined) throw severalKeys();
  if (jwk?.kty === undefined) {
    throw new KeyError('not_a_private_key', 'this JSON is no JWK, which has the member `kty`: give one key by itself');
  }
  if (jwk.d === undefined) throw publicKey();
  return orDamaged(() => jwkMaterial(jwk));
}

/**
 * Text in UTF-8, or in UTF-16 as PowerShell writes it. What is neither is read a byte a character, which keeps comments
 * apart that PuTTY wrote in another character set.
 */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (bytes.length > 1 && first !== 0 && second === 0)) {
    return new TextDecoder('utf-16le').decode(bytes);
  }
  if ((first === 0xfe && second === 0xff) || (bytes.length > 1 && first === 0 && second !== 0)) {
    return new TextDecoder('utf-16be').decode(bytes);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  }
}

/** What stays when all blanks go, and line breaks that were written as `\n`: neither is part of base64. */
function squeeze(text: string): string {
  return text.replace(/\\+[nrt]|[\s\u200b-\u200d\u2060\ufeff]/g, '');
}

function unescapeLineBreaks(text: string): string {
  return text.replace(/\\+r\\+n|\\+[nr]/g, '\n').trim();
}

function unquote(text: string): string {
  const quote = text.charAt(0);
  if ((quote !== '"' && quote !== "'") || !text.endsWith(quote) || text.length < 2) return text;
  const inner = text.slice(1, -1);
  return (quote === '"' ? inner.replaceAll('\\"', '"') : inner).trim();
}

/** A block of PEM with something else; its label is without blanks. */
function otherBlock(label: string): KeyError {
  if (/CERTIFICATE(?:REQUEST)?$/.test(label)) return certificate();
  if (label.length > 32) return notAPrivateKey();
  return new KeyError('not_a_private_key', `this is a PEM block with the label ${label}, which is no private key`);
}

const notAPrivateKey = (): KeyError =>
  new KeyError(
    'not_a_private_key',
    'this is no private key: OpenSSH files, PEM, PuTTY files, JWK and base64 of one of these are read',
    undefined,
    '; the name of a file belongs into `keyFromFile` or KEYWARD_KEY_FILE',
  );
