import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OVERLOADED, rig, settled } from './lane-rig.js';

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
