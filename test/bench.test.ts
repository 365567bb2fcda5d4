import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { figureOf, goals, isMet } from '../bench/goals.js';
import { pageIsCurrent, renderPage } from '../bench/report.js';
import { suites } from '../bench/suites.js';
import { inRandomOrder, isSeen, pairedDifference } from '../bench/support/paired.js';
import {
  Histogram,
  median,
  percentiles,
  ratio,
  seeded,
  spread,
} from '../bench/support/statistics.js';

describe('statistics of the bench', () => {
  it('give percentiles within one per cent', () => {
    const histogram = new Histogram();
    for (let i = 1; i <= 10_000; i += 1) histogram.record(i / 10);
    const { p50, p99, p999 } = percentiles(histogram);
    for (const [got, exact] of [
      [p50, 500],
      [p99, 990],
      [p999, 999],
    ] as const) {
      expect(Math.abs(got / exact - 1)).toBeLessThanOrEqual(0.011);
    }
  });

  it('add up what several processes counted', () => {
    const [one, other] = [new Histogram(), new Histogram()];
    for (let i = 0; i < 90; i += 1) one.record(1);
    for (let i = 0; i < 10; i += 1) other.record(100);
    const both = Histogram.of(one.counts(), other.counts());
    expect(both.count).toBe(100);
    expect(both.percentile(0.9)).toBeCloseTo(1, 1);
    expect(both.percentile(0.91)).toBeGreaterThan(99);
  });

  it('form a ratio round by round, so that a slow minute counts for both sides', () => {
    expect(ratio([100, 50, 90], [100, 50, 100])).toEqual({ median: 1, low: 0.9, high: 1 });
    expect(spread([3, 1, 2])).toEqual({ median: 2, low: 1, high: 3 });
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('draw the same numbers for the same seed', () => {
    const draw = (seed: number) => Array.from({ length: 5 }, seeded(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(draw(1).every((value) => value >= 0 && value < 1)).toBe(true);
  });
});

describe('paired differences of the bench', () => {
  const noise = (count: number, seed: number) => {
    const random = seeded(seed);
    return Array.from({ length: count }, () => random() + random() - random() - random());
  };

  it('see nothing where there is nothing, and a shift of the size that they claim to see', () => {
    const nothing = pairedDifference(noise(800, 1), 1);
    expect(isSeen(nothing)).toBe(false);
    expect(nothing.low).toBeLessThan(nothing.median);
    expect(nothing.high).toBeGreaterThan(nothing.median);
    const shifts = Array.from({ length: 20 }, (_, seed) => {
      const shifted = noise(800, seed + 2).map((difference) => difference + nothing.smallest);
      return isSeen(pairedDifference(shifted, seed));
    });
    // Four of five, give or take.
    expect(shifts.filter(Boolean).length).toBeGreaterThanOrEqual(12);
  });

  it('see less with fewer pairs, and the same with the same seed', () => {
    const [few, many] = [noise(50, 3), noise(1_000, 3)].map((pairs) => pairedDifference(pairs, 4));
    expect(few?.smallest).toBeGreaterThan(2 * (many?.smallest ?? 0));
    expect(pairedDifference(noise(50, 3), 4)).toEqual(few);
  });

  it('are measured in every order', async () => {
    const random = seeded(5);
    const orders = new Set<string>();
    for (let round = 0; round < 50; round += 1) {
      const order: string[] = [];
      const turn = (name: string) => async () => order.push(name);
      await inRandomOrder({ a: turn('a'), b: turn('b'), c: turn('c') }, random);
      orders.add(order.join(''));
    }
    expect(orders.size).toBe(6);
  });
});

describe('docs/performance.md', () => {
  it('is what the committed results say', async () => {
    expect(await pageIsCurrent()).toBe(true);
  });

  it('says met, missed and not measured by the goals', () => {
    const [goal] = goals;
    if (goal?.atLeast === undefined) throw new Error('no goal to judge');
    expect(isMet(goal, goal.atLeast)).toBe(true);
    expect(isMet(goal, goal.atLeast - 0.001)).toBe(false);
    expect(figureOf(goal, {})).toBeUndefined();
    expect(figureOf({ ...goal, figure: 'a.median' }, { a: { median: 2 } })).toBe(2);
    expect(renderPage(new Map())).toContain('not measured');
  });

  it('judges suites that exist, by what the issues ask', () => {
    const names = suites.map(({ name }) => name);
    for (const { suite } of goals) expect(names).toContain(suite);
    const asked = goals.map(({ suite, atLeast }) => [suite, atLeast]);
    for (const one of [
      ['sign-in', 0.85],
      ['sign-in', 0.95],
      ['phone-code', 0.7],
      ['phone-sign-in', 0.7],
      ['recovery', 0.7],
      ['refresh', 0.7],
      ['introspection', 0.8],
    ]) {
      expect(asked).toContainEqual(one);
    }
  });
});

describe('npm run bench', () => {
  const bench = async (...args: readonly string[]) => {
    const command = ['--import', 'tsx', 'bench/main.ts', ...args];
    try {
      return { code: 0, ...(await promisify(execFile)(process.execPath, command)) };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, stdout, stderr };
    }
  };

  it('explains itself, and refuses what it does not know', async () => {
    const [help, unknown] = await Promise.all([bench('--help'), bench('no-such-suite')]);
    expect(help).toMatchObject({ code: 0 });
    for (const { name } of suites) expect(help.stdout).toContain(name);
    expect(unknown).toMatchObject({ code: 2, stdout: '' });
    expect(unknown.stderr).toContain('no-such-suite');
  });
});
