/** Tells a wrong clock from other reasons of a refusal. */

import { readProblem } from './problem.js';

/** Less than the narrower half of the time that Keyward accepts a signature in (30 s). */
const NOTABLE_SECONDS = 25;

/** The server refused the signature, and the clocks of the two machines differ. */
export class ClockSkewError extends Error {
  override readonly name = 'ClockSkewError';
  /** Seconds by which this machine's clock is ahead of the server's; negative if it is behind. */
  readonly skewSeconds: number;
  /** The refusal. */
  readonly response: Response;

  constructor(skewSeconds: number, response: Response) {
    const direction = skewSeconds < 0 ? 'behind' : 'ahead of';
    super(
      `the signature was refused (${response.status}), and this machine's clock is ${Math.abs(skewSeconds)} s ${direction} the ` +
        "server's: set it (turn on network time; `timedatectl set-ntp true` on Linux) and try again",
    );
    this.skewSeconds = skewSeconds;
    this.response = response;
  }
}

/**
 * The error that a wrong clock is behind this response; `undefined` of any other response.
 *
 * @param now This machine's time in milliseconds.
 */
export async function clockSkewError(response: Response, now: number): Promise<ClockSkewError | undefined> {
  if (response.status !== 401) return undefined;
  const problem = await readProblem(response);
  const header = response.headers.get('keyward-reason');
  // The header repeats the code of a problem without a reason.
  const reason = problem?.reason ?? (header === 'unauthenticated' ? null : header);
  // Without a reason, the refusal has to be Keyward's. Any other reason is the right one.
  const isByKeyward = response.headers.get('accept-signature')?.includes('tag="keyward"') ?? problem !== undefined;
  if (reason === null ? !isByKeyward : reason !== 'stale' && reason !== 'early') return undefined;
  const server = Date.parse(problem?.server_time ?? response.headers.get('date') ?? '');
  const skewSeconds = Math.round((now - server) / 1000);
  return Math.abs(skewSeconds) >= NOTABLE_SECONDS ? new ClockSkewError(skewSeconds, response) : undefined;
}
