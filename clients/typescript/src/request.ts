/** Requests of `fetch`, with their bodies at hand. */

import type { Bytes } from './bytes.js';
import { isSafe, type RequestToSign, type Signature } from './signature.js';

/** What is sent: nothing, bytes, or a stream that can be sent once. */
type Body = Bytes | ReadableStream<Uint8Array> | null;

/** Fields that describe a body (Fetch §4.4, step 13). */
const BODY_FIELDS = ['content-encoding', 'content-language', 'content-location', 'content-type', 'content-digest'];

/** A request that can be signed, and sent as often as it needs to be. */
export class BufferedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly redirect: RequestRedirect;
  readonly signal: AbortSignal;
  readonly #body: Body;
  /** Where mode, credentials and the like are taken from. */
  readonly #template: Request;

  private constructor(template: Request, method: string, url: URL, headers: Headers, body: Body) {
    this.#template = template;
    this.method = method;
    this.url = new URL(url);
    this.url.hash = '';
    // Node 18 and 20 send no `?` without a query behind it, though their URLs keep it; so it must not be signed.
    if (url.search === '') this.url.search = '';
    this.headers = headers;
    this.redirect = template.redirect;
    this.signal = template.signal;
    this.#body = body;
  }

  /** Reads the body into memory, unless the request has a `Content-Digest` of it. The request is used up, as by `fetch`. */
  static async read(request: Request): Promise<BufferedRequest> {
    const { method, url } = request;
    return new BufferedRequest(request, method, new URL(url), new Headers(request.headers), await readBody(request));
  }

  /** Whether nothing changes if it is sent twice, for all that its method tells. */
  get isSafe(): boolean {
    return isSafe(this.method);
  }

  /** Whether its body can be sent again. */
  get isRepeatable(): boolean {
    return !(this.#body instanceof ReadableStream);
  }

  /** What is signed of it. */
  get toSign(): RequestToSign {
    const { method, url, headers } = this;
    return { method, url, headers, body: this.#body instanceof ReadableStream ? null : this.#body };
  }

  /** The request with its signature, to be sent as it is. Redirects are not followed. */
  withSignature(signature: Signature): Request {
    const { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy } = this.#template;
    const headers = new Headers(this.headers);
    for (const [name, value] of Object.entries(signature.headers)) headers.set(name, value);
    const known = { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy };
    // Runtimes other than browsers have only some of these.
    const init: RequestInit & { duplex: 'half' } = {
      ...Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)),
      method: this.method,
      headers,
      body: this.#body,
      redirect: 'manual',
      signal: this.signal,
      duplex: 'half',
    };
    return new Request(this.url, init);
  }

  /** The request that a redirect of this status asks for (Fetch §4.4). */
  redirected(status: number, url: URL): BufferedRequest {
    const becomesGet =
      (status === 303 && this.method !== 'GET' && this.method !== 'HEAD') ||
      ((status === 301 || status === 302) && this.method === 'POST');
    const headers = new Headers(this.headers);
    if (becomesGet) for (const name of BODY_FIELDS) headers.delete(name);
    const [method, body] = becomesGet ? (['GET', null] as const) : ([this.method, this.#body] as const);
    return new BufferedRequest(this.#template, method, url, headers, body);
  }
}

async function readBody(request: Request): Promise<Body> {
  if (request.method === 'GET' || request.method === 'HEAD') return null;
  if (request.headers.has('content-digest') && request.body instanceof ReadableStream) return request.body;
  const bytes = new Uint8Array(await request.arrayBuffer());
  return bytes.length === 0 ? null : bytes;
}
