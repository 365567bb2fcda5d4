import type { Clock } from '../../src/core/clock.js';

export interface TestClock extends Clock {
  /** Moves "now", in memory and in every statement, without waiting. */
  advance(by: {
    readonly seconds?: number;
    readonly minutes?: number;
    readonly days?: number;
  }): void;
}

export function createTestClock(): TestClock {
  let offsetMs = 0;
  return {
    get offsetMs() {
      return offsetMs;
    },
    now: () => new Date(Date.now() + offsetMs),
    advance({ seconds = 0, minutes = 0, days = 0 }) {
      offsetMs += ((days * 24 * 60 + minutes) * 60 + seconds) * 1_000;
    },
  };
}
