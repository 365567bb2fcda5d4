/** Ten million accounts beside ten thousand: `test/long/growth.ts` loads and measures them, and asserts. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { table } from '../support/markdown.js';
import { ROOT } from '../support/program.js';
import type { Suite } from '../support/suite.js';

const run = promisify(execFile);

/** As the test prints it. */
interface Printed {
  readonly accounts: readonly [number, number];
  readonly rounds: number;
  readonly calls: number;
  readonly bytes: readonly [number, number];
  readonly report: readonly {
    readonly rpc: string;
    readonly ratio: number;
    readonly spread: readonly [number, number];
    readonly executedRatio: number;
    readonly ms: readonly [number, number];
  }[];
}

export interface GrowthData extends Printed {
  /** The highest of the ratios. */
  readonly worst: number;
}

export const growth: Suite<GrowthData> = {
  name: 'growth',
  title: 'Growth',
  byDefault: false,
  async run({ say }) {
    say(
      'loads ten million accounts into a PostgreSQL of its own: a quarter of an hour, 40 GB of disk',
    );
    const command = ['vitest', 'run', '--config', 'vitest.long.config.ts', 'test/long/growth.ts'];
    const { stdout } = await run('npx', command, { cwd: ROOT, maxBuffer: 1024 * 1024 });
    return read(stdout);
  },
  section: ({ accounts, rounds, calls, bytes, report }) =>
    [
      `Time in the database per call with ${million(accounts[1])} million accounts, by that with ${million(accounts[0])} million, on one`,
      `PostgreSQL of its own (\`shared_buffers=6GB\`, \`fsync=on\`; databases of ${gib(bytes[1])} and ${gib(bytes[0])} GiB): what the service waits for its statements, commits`,
      `included. Median of ${calls} calls in each of ${rounds} rounds, from call to call in turns; ids are random over the whole`,
      'table. People are visited once before they are measured, so that the work of the statements is compared and not the',
      'disk. The last column is what the server itself counts for planning and execution (`pg_stat_statements`), without the',
      'way there and back and the commit: the tables of the small side fit into a processor’s cache.',
      '',
      table(
        ['RPC', 'ratio', 'ms, small', 'ms, large', 'execution alone'],
        report.map(({ rpc, ratio, spread, ms, executedRatio }) => [
          rpc,
          `${ratio} (${spread[0]}–${spread[1]})`,
          String(ms[0]),
          String(ms[1]),
          String(executedRatio),
        ]),
      ),
    ].join('\n'),
};

export function read(output: string): GrowthData {
  const line = /^growth (\{.*\})$/m.exec(output)?.[1];
  if (line === undefined) throw new Error('test/long/growth.ts printed no figures');
  const printed: Printed = JSON.parse(line);
  return { ...printed, worst: Math.max(...printed.report.map(({ ratio }) => ratio)) };
}

function million(count: number): string {
  return String(count / 1_000_000);
}

function gib(bytes: number): string {
  return (bytes / 1024 ** 3).toFixed(2);
}
