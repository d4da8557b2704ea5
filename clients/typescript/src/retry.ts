/** Which requests are sent again, and after how long. */

/** Longer waits are left to the caller. */
const LONGEST_WAIT_MS = 30_000;
const FIRST_WAIT_MS = 250;

/** Statuses of a server that is overloaded, or of a proxy that does not reach it. */
const PASSING = [429, 502, 503, 504];

/** What came of a request. */
export type Outcome = { readonly response: Response } | { readonly error: unknown };

/** How long to wait before the request is sent again, in milliseconds; `undefined` if it should not be. */
export function waitBeforeRetry(outcome: Outcome, attempt: number, now: number, random: number): number | undefined {
  if ('error' in outcome) return isBrokenConnection(outcome.error) ? backOff(attempt, random) : undefined;
  if (!PASSING.includes(outcome.response.status)) return undefined;
  const wait = retryAfter(outcome.response.headers, now) ?? backOff(attempt, random);
  return wait <= LONGEST_WAIT_MS ? wait : undefined;
}

/** `fetch` tells every failure of the network as a TypeError; an abort and a timeout are something else. */
function isBrokenConnection(error: unknown): boolean {
  return error instanceof TypeError;
}

/** Doubles with each attempt, less up to half, so that clients do not come back at once. */
function backOff(attempt: number, random: number): number {
  return FIRST_WAIT_MS * 2 ** Math.min(attempt, 10) * (1 - random / 2);
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfter(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? '';
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const until = Date.parse(value);
  if (Number.isNaN(until)) return undefined;
  const date = Date.parse(headers.get('date') ?? '');
  return Math.max(0, until - (Number.isNaN(date) ? now : date));
}

/** Waits, unless `signal` aborts. */
export async function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', stop, { once: true });
  });
}
