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

/** The problem in a response; `undefined` if there is none. The response can still be read. */
export async function readProblem(response: Response): Promise<Problem | undefined> {
  const mediaType = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== 'application/problem+json' || response.bodyUsed) return undefined;
  try {
    const body: unknown = await response.clone().json();
    return isProblem(body) ? body : undefined;
  } catch {
    // Cut off, or no JSON in spite of what it calls itself: the caller still has the response.
    return undefined;
  }
}

function isProblem(body: unknown): body is Problem {
  if (typeof body !== 'object' || body === null) return false;
  const members: Readonly<Record<string, unknown>> = { ...body };
  return (
    ['title', 'code', 'detail'].every((name) => typeof members[name] === 'string') &&
    typeof members['status'] === 'number'
  );
}
