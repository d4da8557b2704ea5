/** What was changed between the client and the server (docs/protocol.md, "When a signature is refused"). */

import { utf8 } from './bytes.js';
import { webCrypto } from './platform.js';
import type { Problem } from './problem.js';

/** The header by which a request asks for an explanation: `Keyward-Explain: 1`. */
export const EXPLAIN_HEADER = 'Keyward-Explain';

/** A line of the signature base that the server computed in another way. */
export interface Difference {
  /** The covered component, such as `@target-uri`. */
  readonly component: string;
  /** What was signed: the value, or its length and hash in place of a header's. */
  readonly signed: string;
  /** What arrived, in the same form; `(missing)` if nothing did. */
  readonly arrived: string;
}

/**
 * Compares the `base` of a {@link Signature} with the one in the problem of a request that was sent with `Keyward-Explain: 1`.
 *
 * @returns an empty list if nothing differs; `undefined` if the problem has no signature base
 */
export async function findDifferences(base: string, problem: Problem): Promise<readonly Difference[] | undefined> {
  const explanation = problem['explanation'];
  if (typeof explanation !== 'object' || explanation === null || !('signature_base' in explanation)) return undefined;
  if (typeof explanation.signature_base !== 'string') return undefined;
  const arrived = new Map(lines(explanation.signature_base));
  const differences: Difference[] = [];
  for (const [component, value] of lines(base)) {
    const signed = await masked(component, value);
    const other = arrived.get(component) ?? '(missing)';
    if (signed !== other) differences.push({ component, signed, arrived: other });
  }
  return differences;
}

function lines(base: string): [string, string][] {
  return base.split('\n').map((line) => {
    const end = line.indexOf(': ');
    return end < 0 ? [line, ''] : [line.slice(0, end).replaceAll('"', ''), line.slice(end + 2)];
  });
}

/** The value in the form in which the server tells it. */
async function masked(component: string, value: string): Promise<string> {
  if (component.startsWith('@') || component === 'content-digest') return value;
  const bytes = utf8(value);
  const hash = new Uint8Array(await (await webCrypto()).subtle.digest('SHA-256', bytes));
  const hex = [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `length=${bytes.length}, sha-256=${hex}`;
}
