import { expect } from 'vitest';
import type { RollingDrain } from './drain-rolling.js';

/**
 * Every call that a client has written was answered to its end, and all that did not fail were written.
 * So what failed as refused was refused by nobody but the client's own library, before it was sent.
 */
export function expectNothingRefused({ people, wires, exits, noticed }: RollingDrain): void {
  expect(wires.flatMap(({ lost }) => lost)).toEqual([]);
  const written = wires.reduce((sum, { calls }) => sum + calls, 0);
  expect(written).toBe(people.calls - people.neverSent);
  // Else the relays have read nothing of a drain.
  expect(noticed).toBe(exits.length);
}
