/** What Keyward says of a request that it refuses (RFC 9457). */

export interface Problem {
  readonly title: string;
  readonly status: number;
  /** Stable, for programs; docs/protocol.md lists them. */
  readonly code: string;
  readonly detail: string;
  /** Why a credential is refused, told to the holder of its key. */
  readonly reason?: string;
  /** The server's time, RFC 3339. */
  readonly server_time?: string;
  /** Further members, such as `limit`. */
  readonly [member: string]: unknown;
}

/** The keys that signed the requests of these responses. */
const keys = new WeakMap<Response, string>();

/** Which key signed the request of a response. */
export function rememberKey(response: Response, keyId: string): void {
  keys.set(response, keyId);
}

/**
 * The problem in a response; `undefined` if there is none. The response can still be read. Of a signature of `signedFetch` that is
 * refused without a reason, `detail` also says which key signed, because the server tells nobody whether it knows a key.
 */
export async function readProblem(response: Response): Promise<Problem | undefined> {
  const mediaType = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== 'application/problem+json' || response.bodyUsed) return undefined;
  try {
    const body: unknown = await response.clone().json();
    return isProblem(body) ? withKey(body, keys.get(response)) : undefined;
  } catch {
    // Cut off, or no JSON in spite of what it calls itself: the caller still has the response.
    return undefined;
  }
}

function withKey(problem: Problem, keyId: string | undefined): Problem {
  if (keyId === undefined || problem.code !== 'unauthenticated' || typeof problem.reason === 'string') return problem;
  const detail =
    `${problem.detail} The request was signed by ${keyId}. If that is the right key, register its public key: on your keys page, ` +
    "with `keyward keys add`, or on the server's machine with `keyward admin add-key`. If it was registered before, it was revoked.";
  return { ...problem, detail };
}

function isProblem(body: unknown): body is Problem {
  if (typeof body !== 'object' || body === null) return false;
  const members: Readonly<Record<string, unknown>> = { ...body };
  return (
    ['title', 'code', 'detail'].every((name) => typeof members[name] === 'string') &&
    typeof members['status'] === 'number'
  );
}
