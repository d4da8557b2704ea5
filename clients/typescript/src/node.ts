/** Keys in files and variables, for Node and Deno, beside everything that `keyward` has. */

import { constants, type Stats } from 'node:fs';
import { access, type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

import { areEqual, fromBase64 } from './bytes.js';
import { KeyError } from './key/key-error.js';
import { decodeText, isKey, readKeyText } from './key/key-text.js';
import { type KeyOptions, readKey } from './key/read-key.js';
import type { PrivateKey } from './key/signing-key.js';

export * from './index.js';

/** More than the largest key file has, by far. */
const MAX_FILE_BYTES = 64 * 1024;
const PUBLIC_FILE = 'the `.pub` file beside the private key';

/**
 * The key that the environment names: the file in `KEYWARD_KEY_FILE`, or else the text in `KEYWARD_KEY`. Empty variables count as
 * absent, since CI systems set those of missing secrets so.
 *
 * @throws {@link KeyError}
 */
export async function keyFromEnvironment(
  options: KeyOptions = {},
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<PrivateKey> {
  const file = environment['KEYWARD_KEY_FILE'];
  if (file !== undefined && file !== '') return keyFromFile(file, options);
  const text = environment['KEYWARD_KEY'];
  if (text !== undefined && text.trim() !== '') return readKey(text, options);
  throw new KeyError(
    'not_set',
    'there is none: set KEYWARD_KEY_FILE to the path of a key file, or KEYWARD_KEY to the text of one',
  );
}

/**
 * Reads a key file. A leading `~/` is the home directory. A file that other users of the machine may read is refused (on Unix),
 * except for one that belongs to root and that a group may read, and one on a read-only mount, as secrets are mounted.
 *
 * @throws {@link KeyError}, which never repeats the text of a key that was given in place of the file's name.
 */
export async function keyFromFile(path: string, options: KeyOptions = {}): Promise<PrivateKey> {
  if (await isKey(path)) {
    throw new KeyError(
      'text_in_place_of_file',
      'its text was given where the name of its file belongs, and is not shown: name the file, or put the text into KEYWARD_KEY',
    );
  }
  const file = path.startsWith('~/') ? join(homedir(), path.slice(2)) : path;
  try {
    const bytes = await readPrivateFile(file);
    const key = await readKey(bytes, options);
    await checkPublicFile(file, key);
    return key;
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    const told = error.code === 'public_key' ? await namePrivateFile(file, error) : error;
    throw told.inFile(shownName(file));
  }
}

/** The same error, with the file that the private key of a public key file is usually in, if that exists. */
async function namePrivateFile(file: string, error: KeyError): Promise<KeyError> {
  if (!file.endsWith('.pub')) return error;
  const name = file.slice(0, -'.pub'.length);
  for (const privateFile of [name, `${name}.pem`]) {
    const shown = shownName(privateFile);
    if (shown !== undefined && (await isFile(privateFile))) {
      return new KeyError('public_key', `this is the public key: the private key is in ${shown}`);
    }
  }
  return error;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

async function readPrivateFile(file: string): Promise<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, 'r');
    const stats = await handle.stat();
    const bytes = await readAtMost(handle);
    if (await isOpenToOthers(file, stats)) await refuseOpenFile(stats, bytes);
    return bytes;
  } catch (error) {
    if (error instanceof KeyError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') {
      throw new KeyError(
        'not_found',
        'there is no such file: check the path, or make a key with `ssh-keygen -t ed25519 -N "" -f {file}`',
      );
    }
    throw new KeyError('unreadable', `it cannot be read (${code}): check the path and its permissions`);
  } finally {
    await handle?.close();
  }
}

async function readAtMost(handle: FileHandle): Promise<Uint8Array> {
  const buffer = new Uint8Array(MAX_FILE_BYTES + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > MAX_FILE_BYTES)
    throw new KeyError('not_a_private_key', 'it has more than 64 KiB, which no private key has');
  return buffer.slice(0, length);
}

/** Of regular files only: the mode of a pipe says nothing. */
async function isOpenToOthers(file: string, stats: Stats): Promise<boolean> {
  if (process.platform === 'win32' || !stats.isFile() || (stats.mode & 0o077) === 0) return false;
  const isForGroupOfRoot = stats.uid === 0 && (stats.mode & 0o037) === 0;
  return !isForGroupOfRoot && !(await isReadOnlyMount(file));
}

async function isReadOnlyMount(file: string): Promise<boolean> {
  try {
    await access(file, constants.W_OK);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EROFS';
  }
}

async function refuseOpenFile(stats: Stats, bytes: Uint8Array): Promise<never> {
  // A file without a private key is reported first: it is the wrong file, and not secret.
  if (!(await isKey(bytes))) await readKeyText(bytes);
  const mode = (stats.mode & 0o777).toString(8).padStart(3, '0');
  throw new KeyError(
    'permissions',
    `other users of this machine may read it (mode ${mode}): run \`chmod 600 {file}\`, or where that cannot be done ` +
      'pass its text in KEYWARD_KEY; make a new key if they should not be trusted',
  );
}

/** A `FILE.pub` of another key would lead to registering one key and signing with the other. */
async function checkPublicFile(file: string, key: PrivateKey): Promise<void> {
  const publicFile = `${file}.pub`;
  let bytes: Uint8Array;
  try {
    bytes = await readFile(publicFile);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    process.emitWarning(
      `${shownName(publicFile) ?? PUBLIC_FILE} cannot be read, so it was not compared with the private key beside it`,
    );
    return;
  }
  const blob = /(?:ssh-|ecdsa-sha2-)\S+[\s\u200b]+([A-Za-z0-9+/]+={0,2})/.exec(decodeText(bytes))?.[1];
  const found = blob === undefined ? undefined : fromBase64(blob);
  const own = fromBase64(key.publicKey.split(' ')[1] ?? '');
  if (found === undefined || own === undefined) {
    process.emitWarning(
      `${shownName(publicFile) ?? PUBLIC_FILE} holds no OpenSSH line, so it was not compared with the private key beside it`,
    );
  } else if (!areEqual(found, own)) {
    throw new KeyError(
      'public_file_differs',
      '{file}.pub beside it holds another key: if {file} is the right one, delete {file}.pub',
    );
  }
}

/** The name of a file, unless it may be a secret that was given in its place. */
function shownName(name: string): string | undefined {
  const isRandom = name.split(/[\\/]/).some((part) => {
    const runs = part.match(/[A-Za-z0-9+=_-]{24,}/g) ?? [];
    return runs.some((run) => /[a-z]/.test(run) && /[A-Z]/.test(run) && /[0-9]/.test(run));
  });
  if (isRandom || name.length > 200 || /[\u0000-\u001f\u007f]/.test(name)) return undefined;
  return name;
}
