import { expect, it } from 'vitest';
import { rollingDrain } from '../resilience/drain-rolling.js';
import { expectNothingRefused } from '../resilience/drain-verdict.js';
import { temporaryFolder } from '../resilience/process.js';
import { describePostgres } from '../support/databases.js';

const DRAINS = 100;

describePostgres(`two servers, one of which is stopped ${DRAINS} times under load`, (database) => {
  it('fail no call, say so first, and end with 0 (O6)', async () => {
    await using folder = await temporaryFolder();
    const told = await rollingDrain({ url: database().url, folder: folder.path }, DRAINS);
    const { people, raw, wires, exits, drainMs, health, refusedFirst } = told;
    const sorted = drainMs.toSorted((a, b) => a - b);
    const figures = {
      drains: exits.length,
      calls: people.calls + raw.calls,
      methods: { ...people.methods, ...raw.methods },
      failed: people.failures.length + raw.failures.length,
      neverSent: people.neverSent,
      wires: wires.map(({ lost, ...counts }) => ({ ...counts, lost: lost.length })),
      drainMs: { p50: at(sorted, 0.5), p99: at(sorted, 0.99), longest: at(sorted, 1) },
    };
    console.log('drain', JSON.stringify(figures));
    expect([...people.failures, ...raw.failures]).toEqual([]);
    expectNothingRefused(told);
    expect(exits).toEqual(Array.from({ length: DRAINS }, () => 0));
    expect(new Set(health)).toEqual(new Set(['serving, not serving']));
    expect(refusedFirst).toBe(0);
  });
});

/** The value below which that share of them lies. */
function at(sorted: readonly number[], share: number): number {
  return Math.round(sorted[Math.ceil(sorted.length * share) - 1] ?? 0);
}
