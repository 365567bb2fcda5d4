import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHashLane } from '../../src/passwords/index.js';

const START = Date.UTC(2026, 0, 1);

/** A lane, a clock that only the test moves, and works that end when the test says so. */
function rig(given: { concurrency?: number; queueLimit?: number; estimateMs?: number } = {}) {
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

function gone(): AbortSignal {
  return AbortSignal.abort(new Error('left'));
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

const OVERLOADED = expect.objectContaining({ reason: 'OVERLOADED' });

describe('the hash lane (rule 15)', () => {
  it('runs 100 parallel works at most `concurrency` at a time, all of them, in order', async () => {
    const { lane, started, end, send } = rig({ concurrency: 3 });
    const sent = Array.from({ length: 100 }, (_, id) => send(id));
    expect(lane.depth).toEqual({ running: 3, queued: 97 });
    for (let id = 0; id < 100; id += 1) {
      expect(lane.depth.running).toBe(Math.min(3, 100 - id));
      await end(id);
    }
    await Promise.all(sent.map(({ done }) => done));
    expect(sent.map(({ outcome }) => outcome.value)).toEqual(started);
    expect(started).toEqual(Array.from({ length: 100 }, (_, id) => id));
    expect(lane.depth).toEqual({ running: 0, queued: 0 });
  });

  it('sheds beyond the queue with OVERLOADED and the seconds to wait, work not begun', async () => {
    const { lane, started, end, send } = rig({ queueLimit: 25 });
    for (let id = 0; id < 26; id += 1) send(id);
    const extra = send(26);
    await extra.done;
    // 25 queued and 1 running at 100 ms each.
    expect(extra.outcome.value).toMatchObject({ reason: 'OVERLOADED', retryAfterSeconds: 3 });
    expect(lane.depth).toEqual({ running: 1, queued: 25 });
    await end(0);
    send(27);
    expect(lane.depth).toEqual({ running: 1, queued: 25 });
    for (let id = 1; id < 28; id += 1) await end(id);
    expect(started).not.toContain(26);
    expect(started).toContain(27);
  });

  it('never asks to wait less than a second or more than a minute', async () => {
    const brief = rig({ queueLimit: 0, estimateMs: 5 });
    const slow = rig({ queueLimit: 100, estimateMs: 5_000 });
    brief.send(0);
    const refusedSoon = brief.send(1);
    for (let id = 0; id < 101; id += 1) slow.send(id);
    const refusedLate = slow.send(101);
    await settled();
    expect(refusedSoon.outcome.value).toMatchObject({ retryAfterSeconds: 1 });
    expect(refusedLate.outcome.value).toMatchObject({ retryAfterSeconds: 60 });
  });

  it('refuses on arrival what its place in the queue would serve too late', async () => {
    const { lane, started, send } = rig({ concurrency: 2, estimateMs: 100 });
    for (let id = 0; id < 4; id += 1) send(id);
    // Third in the queue: 3 × 100 / 2 to wait and 100 to run.
    const late = send(4, 249);
    const inTime = send(5, 250);
    await settled();
    expect(late.outcome.value).toEqual(OVERLOADED);
    expect(inTime.outcome.value).toBe('pending');
    expect(lane.depth).toEqual({ running: 2, queued: 3 });
    expect(started).toEqual([0, 1]);
  });

  it('sheds at the head of the queue what can no longer be met, and begins the next', async () => {
    const { lane, started, end, send } = rig();
    send(0);
    const hurried = send(1, 300);
    const patient = send(2);
    await end(0, 250);
    expect(hurried.outcome.value).toEqual(OVERLOADED);
    expect(patient.outcome.value).toBe('pending');
    expect(started).toEqual([0, 2]);
    expect(lane.depth).toEqual({ running: 1, queued: 0 });
  });

  it('refuses what is already over its deadline, also when idle', async () => {
    const { started, send } = rig();
    const late = send(0, 0);
    await late.done;
    expect(late.outcome.value).toEqual(OVERLOADED);
    expect(started).toEqual([]);
  });

  it('refuses what a free permit would still serve too late, while others run', async () => {
    const { started, send } = rig({ concurrency: 2, estimateMs: 100 });
    send(0);
    const late = send(1, 99);
    const inTime = send(2, 100);
    await settled();
    expect(late.outcome.value).toEqual(OVERLOADED);
    expect(inTime.outcome.value).toBe('pending');
    expect(started).toEqual([0, 2]);
  });

  it('learns what a hash costs', async () => {
    const { send, end } = rig({ estimateMs: 100 });
    for (let id = 0; id < 40; id += 1) {
      send(id);
      await end(id, 10);
    }
    send(40);
    const tight = send(41, 25);
    const tooTight = send(42, 25);
    await settled();
    expect(tight.outcome.value).toBe('pending');
    expect(tooTight.outcome.value).toEqual(OVERLOADED);
  });

  it('recovers from an estimate gone wrong: an idle lane always tries', async () => {
    const { started, send, end } = rig({ estimateMs: 100 });
    send(0);
    await end(0, 3_600_000);
    for (let id = 1; id < 40; id += 1) {
      send(id, 1_000);
      await end(id, 10);
    }
    expect(started).toHaveLength(40);
    send(40);
    const queued = send(41, 1_000);
    await settled();
    expect(queued.outcome.value).toBe('pending');
  });

  it('survives a clock that steps back while a hash runs', async () => {
    const { send, end } = rig();
    send(0);
    await end(0, -3_600_000);
    send(1);
    const queued = send(2, 1_000);
    // A hash that seemed to take no time at all lowers 100 ms to 80 and no further.
    const tooTight = send(3, 200);
    await settled();
    expect(queued.outcome.value).toBe('pending');
    expect(tooTight.outcome.value).toEqual(OVERLOADED);
  });

  it('frees the place of a queued caller who leaves, at once and with their reason', async () => {
    const { lane, started, end, send } = rig({ queueLimit: 2 });
    send(0);
    const leaver = send(1);
    send(2);
    const gone = new Error('gone');
    leaver.caller.abort(gone);
    expect(lane.depth).toEqual({ running: 1, queued: 1 });
    await leaver.done;
    expect(leaver.outcome.value).toBe(gone);
    send(3);
    await end(0);
    await end(2);
    await end(3);
    expect(started).toEqual([0, 2, 3]);
  });

  it('holds the permit of a running caller who leaves until the hash ends', async () => {
    const { lane, started, end, send } = rig();
    const leaver = send(0);
    send(1);
    leaver.caller.abort(new Error('gone'));
    await leaver.done;
    expect(leaver.outcome.value).toMatchObject({ message: 'gone' });
    expect(lane.depth).toEqual({ running: 1, queued: 1 });
    expect(started).toEqual([0]);
    await end(0);
    expect(started).toEqual([0, 1]);
  });

  it('does nothing for a caller who has left already', async () => {
    const { lane } = rig();
    const signal = AbortSignal.abort(new Error('gone'));
    await expect(
      lane.run({ deadline: undefined, signal }, () => Promise.reject(new Error('begun'))),
    ).rejects.toThrow('gone');
  });

  it('passes failures on, thrown or rejected, and gives the permit back', async () => {
    const { lane, started, ends, send } = rig();
    const context = { deadline: undefined, signal: new AbortController().signal };
    const thrown = lane.run(context, () => {
      throw new Error('thrown');
    });
    const next = send(1);
    await expect(thrown).rejects.toThrow('thrown');
    expect(started).toEqual([1]);
    ends.get(1)?.fail(new Error('rejected'));
    await next.done;
    expect(next.outcome.value).toMatchObject({ message: 'rejected' });
    expect(lane.depth).toEqual({ running: 0, queued: 0 });
  });

  it('leaves no listener behind, whatever the outcome', async () => {
    const { send, end } = rig({ queueLimit: 3 });
    const calls = [send(0), send(1), send(2, 300), send(3), send(4)];
    calls[1]?.caller.abort(new Error('gone'));
    await end(0, 290);
    await end(3);
    await settled();
    expect(calls.map(({ outcome }) => outcome.value)).toEqual([
      0,
      expect.objectContaining({ message: 'gone' }),
      OVERLOADED,
      3,
      OVERLOADED,
    ]);
    for (const { caller } of calls) {
      expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
    }
  });

  it.each([
    [{ concurrency: 0, queueLimit: 1 }],
    [{ concurrency: 1.5, queueLimit: 1 }],
    [{ concurrency: 1, queueLimit: -1 }],
    [{ concurrency: 1, queueLimit: Number.POSITIVE_INFINITY }],
  ])('is not made without bounds: %o', (options) => {
    expect(() => rig(options)).toThrow(RangeError);
  });
});

describe('the lane under any sequence of events (rule 15)', () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('send' as const),
      withinMs: fc.option(fc.integer({ min: 0, max: 2_000 }), { nil: undefined }),
    }),
    fc.record({ kind: fc.constant('end' as const), which: fc.nat(), tookMs: fc.nat(200) }),
    fc.record({ kind: fc.constant('abort' as const), which: fc.nat() }),
  );

  it('keeps its bounds, its order and its promises', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 6 }),
        fc.array(event, { maxLength: 60 }),
        async (concurrency, queueLimit, events) => {
          const { lane, started, ends, send, end } = rig({ concurrency, queueLimit });
          const calls: ReturnType<typeof send>[] = [];
          for (const next of events) {
            if (next.kind === 'send') calls.push(send(calls.length, next.withinMs));
            if (next.kind === 'abort') calls[next.which % calls.length]?.caller.abort(new Error());
            const open = [...ends.keys()];
            const ending = next.kind === 'end' ? open[next.which % open.length] : undefined;
            if (next.kind === 'end' && ending !== undefined) await end(ending, next.tookMs);
            expect(lane.depth.running).toBe(ends.size);
            expect(lane.depth.running).toBeLessThanOrEqual(concurrency);
            expect(lane.depth.queued).toBeLessThanOrEqual(queueLimit);
            // Nobody waits while a permit is free.
            if (lane.depth.queued > 0) expect(lane.depth.running).toBe(concurrency);
          }
          while (ends.size > 0) await end([...ends.keys()][0] ?? 0);
          await Promise.all(calls.map(({ done }) => done));
          expect(lane.depth).toEqual({ running: 0, queued: 0 });
          expect(started).toEqual([...new Set(started)].sort((a, b) => a - b));
          calls.forEach(({ outcome, caller }, id) => {
            const begun = started.includes(id);
            if (outcome.value === id) expect(begun).toBe(true);
            else if (!caller.signal.aborted)
              expect([begun, outcome.value]).toEqual([false, OVERLOADED]);
            expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
          });
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('places that are kept in the lane (rule 15)', () => {
  const call = (lane: ReturnType<typeof rig>['lane'], withinMs?: number) => {
    const caller = new AbortController();
    const deadline = withinMs === undefined ? undefined : new Date(START + withinMs);
    return { caller, context: { deadline, signal: caller.signal }, lane };
  };

  it('are no more than the queue and the permits together, so that nobody is let in for nothing', async () => {
    const { lane, send, end } = rig({ concurrency: 2, queueLimit: 3 });
    send(0);
    const calls = Array.from({ length: 4 }, () => call(lane));
    const places = calls.map(({ context }) => lane.admit(context));
    expect(() => lane.admit(call(lane).context)).toThrow('too many passwords');
    // Nor does one that comes without a place take one of theirs.
    const late = send(1);
    await settled();
    expect(late.outcome.value).toEqual(OVERLOADED);
    // Those that were let in are served, however full the rest is.
    const done = calls.map(({ context }, i) => lane.run(context, async () => i));
    await end(0);
    expect(await Promise.all(done)).toEqual([0, 1, 2, 3]);
    for (const place of places) place[Symbol.dispose]();
    expect(lane.depth).toEqual({ running: 0, queued: 0 });
  });

  it('are given back by those who do not need them, and by those who leave, once', () => {
    const { lane, send } = rig({ concurrency: 1, queueLimit: 1 });
    send(0);
    const [first, second, third] = [call(lane), call(lane), call(lane)];
    const place = lane.admit(first.context);
    expect(() => lane.admit(second.context)).toThrow('too many passwords');
    place[Symbol.dispose]();
    place[Symbol.dispose]();
    lane.admit(second.context);
    expect(() => lane.admit(third.context)).toThrow('too many passwords');
    second.caller.abort(new Error('left'));
    lane.admit(third.context)[Symbol.dispose]();
    for (const { caller } of [first, second]) {
      expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
    }
    expect(() => lane.admit(second.context)).toThrow('left');
  });

  it('are one for each call, which does not stand in its own way', async () => {
    const { lane } = rig({ concurrency: 1, queueLimit: 1 });
    const only = call(lane, 100);
    lane.admit(only.context);
    lane.admit(only.context);
    const other = call(lane);
    lane.admit(other.context);
    expect(await lane.run(only.context, async () => 'hashed')).toBe('hashed');
    // The place is used up: a second hash of the same call stands in line like any other.
    const third = call(lane);
    lane.admit(third.context);
    await expect(lane.run(only.context, async () => 'again')).rejects.toEqual(OVERLOADED);
  });

  it('are for those whose hash can be done in half of their time, counting the places before', () => {
    const { lane, send } = rig({ concurrency: 1, estimateMs: 100 });
    send(0);
    lane.admit(call(lane).context);
    // 100 for each of the two before it, and 100 to run.
    expect(() => lane.admit(call(lane, 599).context)).toThrow('too many passwords');
    lane.admit(call(lane, 600).context);
  });

  describe('whose turn is not near yet', () => {
    const NEAR = 5;

    it('wait before their trips, in order, five calls near for each permit', async () => {
      const { lane, send, end } = rig({ concurrency: 1 });
      send(0);
      const calls = Array.from({ length: 7 }, () => call(lane));
      const places = calls.map(({ context }) => lane.admit(context));
      expect(places.map(({ near }) => near === undefined)).toEqual(
        calls.map((_, i) => i < NEAR - 1),
      );
      expect(lane.depth).toEqual({ running: 1, queued: 3 });
      const near: number[] = [];
      places.forEach((place, i) => void place.near?.then(() => near.push(i)));
      await settled();
      expect(near).toEqual([]);
      // One that turns out to need no hash lets the next one near; so does a hash that ends.
      places[1]?.[Symbol.dispose]();
      await settled();
      expect(near).toEqual([4]);
      await end(0);
      expect(near).toEqual([4, 5]);
      // On its way into the queue and to its permit nobody comes nearer.
      const done = lane.run(
        calls[0]?.context ?? { deadline: undefined, signal: gone() },
        async () => 0,
      );
      expect(await done).toBe(0);
      await settled();
      expect(near).toEqual([4, 5, 6]);
      for (const place of places) place[Symbol.dispose]();
      expect(lane.depth).toEqual({ running: 0, queued: 0 });
    });

    it('leave with their reason, and are refused where their turn comes too late', async () => {
      const { lane, send, end, advance } = rig({ concurrency: 1, estimateMs: 1 });
      send(0);
      for (let i = 1; i < NEAR; i += 1) lane.admit(call(lane).context);
      const [leaver, late, last] = [call(lane), call(lane, 50), call(lane)];
      const [left, refused, near] = [leaver, late, last].map(({ context }) =>
        lane.admit(context).near?.catch((error: unknown) => error),
      );
      leaver.caller.abort(new Error('left'));
      expect(await left).toEqual(new Error('left'));
      advance(60);
      await end(0);
      expect(await refused).toEqual(OVERLOADED);
      // It took nobody's turn.
      expect(await near).toBeUndefined();
      for (const { caller } of [leaver, late]) {
        expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
      }
    });
  });

  it('all fall at once, however many, where their turn comes too late', async () => {
    const { lane, send, end, advance } = rig({ queueLimit: 10_000, estimateMs: 1 });
    send(0);
    for (let i = 1; i < 5; i += 1) lane.admit(call(lane).context);
    const late = Array.from({ length: 4_000 }, () => call(lane, 50_000));
    const near = late.map(({ context }) => lane.admit(context).near?.catch((error) => error));
    advance(60_000);
    await end(0);
    for (const outcome of await Promise.all(near)) expect(outcome).toEqual(OVERLOADED);
    expect(lane.depth).toEqual({ running: 0, queued: 0 });
  });

  it('do not judge by a figure gone wrong where nothing is before them', () => {
    const { lane } = rig({ estimateMs: 1_000_000 });
    const place = lane.admit(call(lane, 100).context);
    expect(place.near).toBeUndefined();
    // It is kept all the same: the next one is judged behind it.
    expect(() => lane.admit(call(lane, 100).context)).toThrow('too many passwords');
  });

  it('do not stand before a hash that a call makes besides', async () => {
    const { lane, send, end } = rig({ queueLimit: 20, estimateMs: 1 });
    send(0);
    const all = Array.from({ length: 20 }, () => call(lane));
    const places = all.map(({ context }) => lane.admit(context));
    const second = send(1);
    await end(0);
    await end(1);
    expect(second.outcome.value).toBe(1);
    for (const place of places) place[Symbol.dispose]();
  });

  it('tell beforehand whether there is one, and change nothing by telling', () => {
    const { lane, send } = rig({ concurrency: 1, queueLimit: 1, estimateMs: 100 });
    expect(lane.refuses(200)).toBeUndefined();
    send(0);
    expect(lane.refuses(399)).toEqual(OVERLOADED);
    expect(lane.refuses(400)).toBeUndefined();
    expect(lane.depth).toEqual({ running: 1, queued: 0 });
    lane.admit(call(lane).context);
    expect(lane.refuses(1_000_000)).toEqual(OVERLOADED);
  });
});
