import { expect, it } from 'vitest';
import { median, round } from '../../bench/support/statistics.js';
import {
  MEASURED_RPCS,
  type MeasuredRpc,
  measureRound,
  SERVER_SETTINGS,
  sizeOf,
  startSized,
} from '../growth/growth.js';
import { startPrivatePostgres } from '../support/private-postgres.js';

const SMALL = 10_000;
const LARGE = Number(process.env['GROWTH_ACCOUNTS'] ?? 10_000_000);
const ROUNDS = 7;
const CALLS = 100;
/** Database time of a call with ten million accounts, by that with ten thousand. */
const MOST = 1.2;

/** Loading alone takes a quarter of an hour on a quiet machine. */
const HOURS = 3 * 60 * 60_000;

const progress = (text: string): void => console.log(`growth: ${text}`);

it('takes as long in the database with ten million accounts as with ten thousand', {
  timeout: HOURS,
}, async () => {
  await using server = await startPrivatePostgres(SERVER_SETTINGS);
  await using small = await startSized(server, SMALL, progress);
  await using large = await startSized(server, LARGE, progress);
  const rounds: Awaited<ReturnType<typeof measureRound>>[] = [];
  // Not counted: it fills caches, and lets each connection choose its plans.
  await measureRound(small, large, CALLS);
  while (rounds.length < ROUNDS) {
    rounds.push(await measureRound(small, large, CALLS));
    progress(`round ${rounds.length} of ${ROUNDS}`);
  }
  const report = MEASURED_RPCS.map((rpc) => summary(rpc, rounds));
  const bytes = [await sizeOf(server, SMALL), await sizeOf(server, LARGE)];
  console.log(
    'growth',
    JSON.stringify({ accounts: [SMALL, LARGE], rounds: ROUNDS, calls: CALLS, bytes, report }),
  );
  for (const { rpc, ratio } of report) expect(ratio, rpc).toBeLessThanOrEqual(MOST);
});

function summary(rpc: MeasuredRpc, rounds: readonly Awaited<ReturnType<typeof measureRound>>[]) {
  const ratios = rounds.map(({ small, large }) => large[rpc].waited / small[rpc].waited);
  const executed = rounds.map(({ small, large }) => large[rpc].executed / small[rpc].executed);
  return {
    rpc,
    ratio: to3(median(ratios)),
    spread: [to3(Math.min(...ratios)), to3(Math.max(...ratios))],
    executedRatio: to3(median(executed)),
    ms: [
      to3(median(rounds.map(({ small }) => small[rpc].waited))),
      to3(median(rounds.map(({ large }) => large[rpc].waited))),
    ],
  };
}

function to3(value: number): number {
  return round(value, 3);
}
