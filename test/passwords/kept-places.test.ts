import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { OVERLOADED, rig, START, settled } from './lane-rig.js';

function gone(): AbortSignal {
  return AbortSignal.abort(new Error('left'));
}

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
