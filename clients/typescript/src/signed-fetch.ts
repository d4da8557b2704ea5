/** `fetch` with signatures. */

import { clockSkewError } from './clock-skew.js';
import { asSigningKey, type KeySource } from './key/read-key.js';
import type { SigningKey } from './key/signing-key.js';
import { rememberKey } from './problem.js';
import { BufferedRequest } from './request.js';
import { type Outcome, wait, waitBeforeRetry } from './retry.js';
import { createSignature, PASS_BYTES, SignError, type Signature, type SignOptions } from './signature.js';

/** As Fetch §4.4 limits them. */
const MAX_REDIRECTS = 20;

/** How {@link signedFetch} behaves. */
export interface SignedFetchOptions extends SignOptions {
  /**
   * Keyward's own URL. Writes to it are sent again, with the same signature, after a broken connection and after 429, 502, 503
   * and 504, while the signature is valid: Keyward does each of them once. Writes to any other server are sent once.
   */
  readonly keywardUrl?: string | URL;
  /** How often a request is sent again at most; 3 if not given. Reads are signed again each time. */
  readonly retries?: number;
  /**
   * `manual`: a redirect is returned as it is. `same-origin`: one to the same origin is followed, with a signature of its own;
   * browsers do not tell where a redirect leads, so there it is an error. `manual` if not given.
   */
  readonly redirects?: 'manual' | 'same-origin';
  /** Sees every signature before its request is sent, such as to log what was signed. */
  readonly onSign?: (signature: Signature) => void;
  /** Sends a request; another one than the runtime's is for proxies, agents and tests. */
  readonly fetch?: typeof fetch;
  /** Waits before a request is sent again; another one is for tests. */
  readonly wait?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** A number from 0 to 1 that waits differ by; another one is for tests. */
  readonly random?: () => number;
}

/**
 * A function like `fetch` that signs what it sends. It answers with whatever the server says, refusals included.
 *
 * It throws {@link SignError}, {@link KeyError}, {@link ClockSkewError} if a signature is refused because of the clock, and what
 * `fetch` throws.
 */
export function signedFetch(key: SigningKey | KeySource, options: SignedFetchOptions = {}): typeof fetch {
  let signingKey: Promise<SigningKey> | undefined;
  return async (input, init) => {
    refuseValue(init?.body);
    signingKey ??= asSigningKey(key);
    const sender = new Sender(await signingKey, options, passedOn(init));
    // Runtimes want `duplex` with a stream, which people forget.
    const withDuplex: RequestInit & { duplex: 'half' } = { ...init, duplex: 'half' };
    return sender.follow(await BufferedRequest.read(new Request(input, withDuplex)));
  };
}

/** `fetch` would send `[object Object]` in place of a value. */
function refuseValue(body: unknown): void {
  const kind = /^\[object (Array|Map|Object|Promise|Set)\]$/.exec(Object.prototype.toString.call(body))?.[1];
  // Node takes its own streams, which are such objects, too.
  const isStream = typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
  if (kind === undefined || isStream) return;
  throw new TypeError(`the body is of the type ${kind}, which is not sent as bytes: ${PASS_BYTES}`);
}

/** What runtimes have of their own in `init`, such as an agent, and a `Request` does not carry. */
function passedOn(init: RequestInit | undefined): RequestInit {
  const { method, headers, body, redirect, signal, ...others } = init ?? {};
  return others;
}

class Sender {
  readonly #key: SigningKey;
  readonly #options: SignedFetchOptions;
  readonly #init: RequestInit;
  readonly #now: () => number;

  constructor(key: SigningKey, options: SignedFetchOptions, init: RequestInit) {
    this.#key = key;
    this.#options = options;
    this.#init = init;
    this.#now = options.now ?? Date.now;
  }

  /** Sends a request, and those that its redirects ask for. */
  async follow(first: BufferedRequest): Promise<Response> {
    let request = first;
    for (let redirects = 0; ; redirects += 1) {
      const response = await this.#send(request);
      const skew = await clockSkewError(response, this.#now());
      if (skew !== undefined) throw skew;
      const next = this.#redirected(request, response);
      if (next === undefined) {
        rememberKey(response, this.#key.keyId);
        return response;
      }
      if (redirects === MAX_REDIRECTS) throw new TypeError(`the server redirected more than ${MAX_REDIRECTS} times`);
      await response.body?.cancel();
      request = next;
    }
  }

  /** Sends a request as often as it has to be. */
  async #send(request: BufferedRequest): Promise<Response> {
    const { retries = 3, random = Math.random } = this.#options;
    let signature = await this.#sign(request);
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#attempt(request, signature);
      const pause = waitBeforeRetry(outcome, attempt, this.#now(), random());
      const isLast = attempt >= retries;
      if (isLast || pause === undefined || !this.#mayRepeat(request, signature, pause)) return settle(outcome);
      if ('response' in outcome) await outcome.response.body?.cancel();
      await (this.#options.wait ?? wait)(pause, request.signal);
      // A write keeps its signature, by which Keyward recognises it.
      if (request.isSafe) signature = await this.#sign(request);
    }
  }

  async #attempt(request: BufferedRequest, signature: Signature): Promise<Outcome> {
    const signed = request.withSignature(signature);
    try {
      return { response: await (this.#options.fetch ?? fetch)(signed, this.#init) };
    } catch (error) {
      return { error };
    }
  }

  async #sign(request: BufferedRequest): Promise<Signature> {
    const signature = await createSignature(request.toSign, this.#key, this.#options);
    this.#options.onSign?.(signature);
    return signature;
  }

  #mayRepeat(request: BufferedRequest, signature: Signature, pause: number): boolean {
    if (!request.isRepeatable) return false;
    if (request.isSafe) return true;
    // Once the signature has expired, Keyward no longer knows the request.
    return this.#isAtKeyward(request.url) && this.#now() + pause < signature.expires * 1000;
  }

  #isAtKeyward(url: URL): boolean {
    const { keywardUrl } = this.#options;
    if (keywardUrl === undefined) return false;
    const keyward = new URL(keywardUrl);
    const prefix = keyward.pathname.replace(/\/*$/, '/');
    return url.origin === keyward.origin && url.pathname.startsWith(prefix);
  }

  /** The request to send next, if the response redirects there and it may be followed. */
  #redirected(request: BufferedRequest, response: Response): BufferedRequest | undefined {
    const location = [301, 302, 303, 307, 308].includes(response.status) ? response.headers.get('location') : null;
    const isHidden = response.type === 'opaqueredirect';
    if (location === null && !isHidden) return undefined;
    if (request.redirect === 'error') throw new TypeError('the server redirected, which `redirect: "error"` forbids');
    if (request.redirect === 'manual' || this.#options.redirects !== 'same-origin') return undefined;
    if (location === null) {
      throw new SignError('the server redirected, and browsers do not tell where: ask for that URL itself');
    }
    const url = new URL(location, request.url);
    if (url.origin !== request.url.origin) return undefined;
    const next = request.redirected(response.status, url);
    return next.isRepeatable ? next : undefined;
  }
}

function settle(outcome: Outcome): Response {
  if ('error' in outcome) throw outcome.error;
  return outcome.response;
}
