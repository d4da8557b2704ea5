/** Signatures of Keyward's profile `native` (RFC 9421, RFC 9530). Sending is in `signed-fetch`. */

import { type Bytes, toBase64, toBase64Url, utf8 } from './bytes.js';
import { asSigningKey, type KeySource } from './key/read-key.js';
import type { SigningKey } from './key/signing-key.js';
import { webCrypto } from './platform.js';

/** The longest time that Keyward accepts a signature for. */
const MAX_LIFETIME_SECONDS = 60;
const LABEL = 'keyward';
/** Names the workspace that a user means; Keyward reads it only where the signature covers it. */
const WORKSPACE_HEADER = 'keyward-workspace';
/** RFC 9110 §5.6.2: what names of methods and of fields are made of. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** The methods whose names `fetch` writes in upper case (Fetch §2.2.1); names are case-sensitive. */
const NORMALISED_METHOD = /^(?:delete|get|head|options|post|put)$/i;
/** Visible ASCII, without what a structured field would have to escape. */
const PLAIN = /^[!#-[\]-~]+$/;

/** A request, as any HTTP client has it. */
export interface RequestToSign {
  readonly method: string;
  /** The absolute URL. */
  readonly url: string | URL;
  readonly headers?: HeadersInit;
  /** The bytes that are sent; a text is sent in UTF-8. */
  readonly body?: Uint8Array | string | null;
}

/** How a request is signed. */
export interface SignOptions {
  /** Names of further header fields to cover. `Keyward-Workspace` is covered wherever it is set. */
  readonly coveredHeaders?: readonly string[];
  /** How long the signature is valid, 1 to 60 seconds; 60 if not given. */
  readonly lifetimeSeconds?: number;
  /** The time in milliseconds, as `Date.now` tells it; another clock is for tests. */
  readonly now?: () => number;
  /** Makes a nonce of 22 to 128 characters that was never used before; another one is for tests. */
  readonly createNonce?: () => string;
}

/** A signature. */
export interface Signature {
  /** The fields to set on the request: `Signature-Input`, `Signature`, and `Content-Digest` if it is covered. */
  readonly headers: Readonly<Record<string, string>>;
  /** The URL to send the request to, written as it was signed. */
  readonly url: string;
  /** When it was made, in Unix seconds. */
  readonly created: number;
  /** When the server stops accepting it, in Unix seconds. */
  readonly expires: number;
  /** What was signed (RFC 9421 §2.5), to compare with the server's. */
  readonly base: string;
}

/** Why a request was not signed. */
export class SignError extends Error {
  override readonly name = 'SignError';
}

/** What to do about a body that is a value, which could be written as bytes in more than one way. */
export const PASS_BYTES = 'pass the bytes that are sent, such as `JSON.stringify(body)`';

/**
 * Signs a request of any HTTP client. Set the `headers` of the answer on it, send it to its `url`, and change nothing else.
 *
 * @throws {@link SignError} and {@link KeyError}
 */
export async function createSignature(
  request: RequestToSign,
  key: SigningKey | KeySource,
  options: SignOptions = {},
): Promise<Signature> {
  const signingKey = await asSigningKey(key);
  const headers = new Headers(request.headers);
  const method = parseMethod(request.method);
  const url = parseUrl(request.url, headers);
  const digest = await contentDigest(method, request.body, headers);
  if (digest !== undefined) headers.set('content-digest', digest);
  const lines = [
    ['@method', method],
    ['@authority', url.host],
    ['@target-uri', url.href],
    ...coveredFields(headers, digest !== undefined, options.coveredHeaders ?? []),
  ] as const;
  const created = Math.floor((options.now ?? Date.now)() / 1000);
  const expires = created + lifetime(options);
  const nonce = (options.createNonce ?? (await nonceSource()))();
  const names = lines.map(([name]) => name);
  const parameters = writeParameters(names, created, expires, nonce, signingKey);
  const signed = [...lines, ['@signature-params', parameters]];
  const base = signed.map(([name, value]) => `"${name}": ${value}`).join('\n');
  const signature = await signingKey.sign(utf8(base));
  return {
    headers: {
      ...(digest === undefined ? {} : { 'content-digest': digest }),
      'signature-input': `${LABEL}=${parameters}`,
      signature: `${LABEL}=:${toBase64(signature)}:`,
    },
    url: url.href,
    created,
    expires,
    base,
  };
}

/** What is covered, and the parameters (RFC 9421 §2.3). */
function writeParameters(
  names: readonly string[],
  created: number,
  expires: number,
  nonce: string,
  { keyId, algorithm }: SigningKey,
): string {
  return [
    `(${names.map((name) => `"${name}"`).join(' ')})`,
    `created=${created}`,
    `expires=${expires}`,
    `nonce="${plain('nonce', nonce, 22)}"`,
    `keyid="${plain('key id', keyId, 1)}"`,
    // An RSA key has two algorithms, and PSS is assumed where none is named.
    ...(algorithm === 'rsa-v1_5-sha256' ? [`alg="${algorithm}"`] : []),
    'tag="keyward"',
  ].join(';');
}

/** Methods that change nothing, so that a repetition does no harm. */
export function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
}

function parseMethod(method: string): string {
  if (!TOKEN.test(method)) throw new SignError('the method is no name of a method, such as `GET`');
  return NORMALISED_METHOD.test(method) ? method.toUpperCase() : method;
}

/** The URL as it is signed: normalised by WHATWG's rules, without fragment, its authority from `Host` if that is set. */
function parseUrl(text: string | URL, headers: Headers): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new SignError(
      'the request has no absolute URL, which the signature covers: start it with `https://` and the host',
    );
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new SignError(`requests are signed for http and https, not for \`${url.protocol}\``);
  }
  if (url.username !== '' || url.password !== '') {
    throw new SignError('the URL contains a user name or a password, which would be a second credential: take it out');
  }
  url.hash = '';
  const host = headers.get('host');
  if (host === null) return url;
  const pathAndQuery = url.href.slice(url.origin.length);
  try {
    // A separator would end the host, or begin it.
    if (/^[^/\\?#@]+$/.test(host)) return new URL(`${new URL(`${url.protocol}//${host}`).origin}${pathAndQuery}`);
  } catch {
    // What no URL can contain is refused below, too.
  }
  throw new SignError('the header `Host` is no host with an optional port');
}

/** RFC 9530. A digest that the caller set stands for a body that is not at hand. */
async function contentDigest(
  method: string,
  body: RequestToSign['body'],
  headers: Headers,
): Promise<string | undefined> {
  // Programs in JavaScript pass anything. Of a value without a length, nothing would be signed.
  if (!(body === undefined || body === null || typeof body === 'string' || body instanceof Uint8Array)) {
    throw new SignError(`the body is neither a text nor a Uint8Array: ${PASS_BYTES}`);
  }
  if (body === undefined || body === null || body.length === 0) {
    const given = headers.get('content-digest');
    if (given !== null) return given;
    if (isSafe(method)) return undefined;
  }
  return digestOf(typeof body === 'string' ? utf8(body) : Uint8Array.from(body ?? []));
}

async function digestOf(body: Bytes): Promise<string> {
  const hash = await (await webCrypto()).subtle.digest('SHA-256', body);
  return `sha-256=:${toBase64(new Uint8Array(hash))}:`;
}

function coveredFields(headers: Headers, hasDigest: boolean, asked: readonly string[]): (readonly [string, string])[] {
  const names = new Set<string>();
  if (hasDigest) names.add('content-digest');
  if (headers.has(WORKSPACE_HEADER)) names.add(WORKSPACE_HEADER);
  for (const name of asked) names.add(name.toLowerCase());
  return [...names].map((name) => {
    if (!TOKEN.test(name)) throw new SignError('a name in `coveredHeaders` is no name of a header field');
    const value = headers.get(name);
    if (value === null) throw new SignError(`the request has no header \`${name}\`, which \`coveredHeaders\` names`);
    // RFC 9421 §2.1: a covered value is ASCII.
    if (!/^[\t -~]*$/.test(value))
      throw new SignError(`the header \`${name}\` is covered, so its value has to be ASCII`);
    return [name, value.trim()] as const;
  });
}

function lifetime({ lifetimeSeconds = MAX_LIFETIME_SECONDS }: SignOptions): number {
  if (!Number.isInteger(lifetimeSeconds) || lifetimeSeconds < 1 || lifetimeSeconds > MAX_LIFETIME_SECONDS) {
    throw new SignError(`\`lifetimeSeconds\` is a whole number from 1 to ${MAX_LIFETIME_SECONDS}`);
  }
  return lifetimeSeconds;
}

function plain(what: string, value: string, min: number): string {
  if (!PLAIN.test(value) || value.length < min || value.length > 128) {
    throw new SignError(`a ${what} has ${min} to 128 visible ASCII characters, without quotes and backslashes`);
  }
  return value;
}

/** 128 random bits. */
async function nonceSource(): Promise<() => string> {
  const crypto = await webCrypto();
  return () => toBase64Url(crypto.getRandomValues(new Uint8Array(16)));
}
