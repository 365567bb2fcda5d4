import { expect } from 'vitest';
import { createHashLane } from '../../src/passwords/index.js';

export const START = Date.UTC(2026, 0, 1);

/** A lane, a clock that only the test moves, and works that end when the test says so. */
export function rig(
  given: { concurrency?: number; queueLimit?: number; estimateMs?: number } = {},
) {
  const { concurrency = 1, queueLimit = 100, estimateMs = 100 } = given;
  let now = START;
  const clock = { offsetMs: 0, now: () => new Date(now) };
  const lane = createHashLane({ concurrency, queueLimit, clock, estimateMs });
  const started: number[] = [];
  const ends = new Map<number, { end(): void; fail(error: Error): void }>();

  return {
    lane,
    started,
    ends,
    advance: (ms: number) => {
      now += ms;
    },
    /** Sends work number `id`; its outcome is kept, never an unhandled rejection. */
    send(id: number, withinMs?: number) {
      const caller = new AbortController();
      const deadline = withinMs === undefined ? undefined : new Date(now + withinMs);
      const outcome = { value: 'pending' as unknown };
      const done = lane
        .run({ deadline, signal: caller.signal }, () => {
          started.push(id);
          return new Promise<number>((resolve, reject) => {
            ends.set(id, { end: () => resolve(id), fail: reject });
          });
        })
        .then(
          (value) => {
            outcome.value = value;
          },
          (error: unknown) => {
            outcome.value = error;
          },
        );
      return { caller, outcome, done };
    },
    async end(id: number, tookMs = 100) {
      now += tookMs;
      ends.get(id)?.end();
      ends.delete(id);
      await settled();
    },
  };
}

export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

export const OVERLOADED = expect.objectContaining({ reason: 'OVERLOADED' });
