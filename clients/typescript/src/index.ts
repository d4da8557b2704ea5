/**
 * Signs HTTP requests for Keyward and for APIs behind it. This part works in browsers, Node, Deno and other runtimes with
 * WebCrypto and `fetch`; `keyward/node` adds files and variables.
 */

export { ClockSkewError } from './clock-skew.js';
export { type Difference, EXPLAIN_HEADER, findDifferences } from './explanation.js';
export { KeyError, type KeyErrorCode } from './key/key-error.js';
export { type KeyOptions, type KeySource, readKey } from './key/read-key.js';
export type { PrivateKey, SignatureAlgorithm, SigningKey } from './key/signing-key.js';
export { type Problem, readProblem } from './problem.js';
export { sign } from './sign.js';
export { createSignature, type RequestToSign, type Signature, SignError, type SignOptions } from './signature.js';
export { signedFetch, type SignedFetchOptions } from './signed-fetch.js';
