/** Signs a request of `fetch`. */

import { asSigningKey, type KeySource } from './key/read-key.js';
import type { SigningKey } from './key/signing-key.js';
import { BufferedRequest } from './request.js';
import { createSignature, type SignOptions } from './signature.js';

/**
 * The same request with its signature. Its body is read into memory, unless it has a `Content-Digest` already, which is signed
 * as it is. The request given is used up, as by `fetch`; the one returned follows no redirects.
 *
 * @throws {@link SignError} and {@link KeyError}
 */
export async function sign(request: Request, key: SigningKey | KeySource, options: SignOptions = {}): Promise<Request> {
  const signingKey = await asSigningKey(key);
  const buffered = await BufferedRequest.read(request);
  return buffered.withSignature(await createSignature(buffered.toSign, signingKey, options));
}
