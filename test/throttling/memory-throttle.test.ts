import { describe, expect, it } from 'vitest';
import { createMemoryThrottle, resolveLimits } from '../../src/throttling/index.js';
import { createWindowCounters } from '../../src/throttling/window-counters.js';
import { movableClock, throttlingContract } from '../contracts/throttling.contract.js';

const key = Buffer.alloc(32, 7);

throttlingContract('memory', async () => {
  const clock = movableClock();
  return {
    open: (overrides) => createMemoryThrottle({ limits: resolveLimits(overrides), clock, key }),
    elapse: async (seconds) => clock.advance(seconds),
    dispose: async () => undefined,
  };
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
