import { describe, expect, it } from 'vitest';
import { createMemoryThrottle, resolveLimits } from '../../src/throttling/index.js';
import { createKnownSources, KNOWN_SECONDS } from '../../src/throttling/known-sources.js';
import { createWindowCounters } from '../../src/throttling/window-counters.js';
import { movableClock, throttlingContract } from '../contracts/throttling.contract.js';

throttlingContract('memory', async () => {
  const clock = movableClock();
  return {
    open: (overrides, observer) =>
      createMemoryThrottle({ limits: resolveLimits(overrides), clock, observer }),
    elapse: async (seconds) => clock.advance(seconds),
    dispose: async () => undefined,
  };
});

describe('known sources in memory', () => {
  it('stay bounded, and forget what would end first', () => {
    const sources = createKnownSources(1_000);
    for (let i = 0; i < 5_000; i += 1) sources.add(`address ${i}`, 's', i);
    expect(sources.size).toBe(1_000);
    expect(sources.has('address 3999', 's', 5_000)).toBe(false);
    expect(sources.has('address 4000', 's', 5_000)).toBe(true);
  });

  it('are the newest eight of an address: one that signs in from everywhere drives out no other', () => {
    const sources = createKnownSources(2);
    sources.add('owner', 'home', 0);
    for (let i = 0; i < 50; i += 1) sources.add('traveller', `s ${i}`, i);
    expect(sources.has('owner', 'home', 50)).toBe(true);
    const known = [41, 42, 49].map((i) => sources.has('traveller', `s ${i}`, 50));
    expect(known).toEqual([false, true, true]);
  });

  it('last from the last time that they proved themselves', () => {
    const sources = createKnownSources(2);
    sources.add('a', 's', 0);
    sources.add('b', 's', 1);
    sources.add('a', 's', 2);
    sources.add('c', 's', 3);
    expect(['a', 'b', 'c'].map((address) => sources.has(address, 's', 4))).toEqual([
      true,
      false,
      true,
    ]);
    expect(sources.has('a', 's', 2 + KNOWN_SECONDS * 1_000 - 1)).toBe(true);
    expect(sources.has('a', 's', 2 + KNOWN_SECONDS * 1_000)).toBe(false);
  });
});

describe('counters in memory', () => {
  it('never track more keys than allowed, and forget the window that would end first', () => {
    const counters = createWindowCounters(60_000, 3);
    for (const [i, id] of ['a', 'b', 'c', 'd'].entries()) counters.add(id, i);
    expect(counters.size).toBe(3);
    expect(counters.add('b', 10).count).toBe(2);
    expect(counters.add('a', 10).count).toBe(1);
  });

  it('stay bounded under 200,000 invented keys', () => {
    const counters = createWindowCounters(60_000, 1_000);
    for (let i = 0; i < 200_000; i += 1) counters.add(`source ${i}`, 0);
    expect(counters.size).toBe(1_000);
  });

  it('let ended windows go', () => {
    const counters = createWindowCounters(60_000, 1_000);
    for (let i = 0; i < 500; i += 1) counters.add(`early ${i}`, 0);
    counters.add('late', 60_001);
    expect(counters.size).toBe(1);
  });

  it('never go below zero when charges are given back', () => {
    const counters = createWindowCounters(60_000, 10);
    counters.add('a', 0);
    counters.takeBack('a', 0);
    counters.takeBack('a', 0);
    counters.takeBack('unknown', 0);
    expect(counters.add('a', 0).count).toBe(1);
  });

  it('never wait longer than a window, also when the clock is set back', () => {
    const counters = createWindowCounters(60_000, 10);
    counters.add('a', 10_000_000);
    expect(counters.add('a', 0).msLeft).toBe(60_000);
  });
});
