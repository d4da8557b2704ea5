/** What a test file started, so that it ends also if the next thing does not start. */

import { after } from 'node:test';

/** Call it where the tests are declared; what is added to the list ends after them, the last first. */
export function started(): { add<T extends { stop(): Promise<void> }>(thing: T): T } {
  const things: { stop(): Promise<void> }[] = [];
  after(async () => {
    for (const thing of things.reverse()) await thing.stop();
  });
  return {
    add(thing) {
      things.push(thing);
      return thing;
    },
  };
}
