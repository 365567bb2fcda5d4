/** `bench/results/<suite>.json`, committed: what `docs/performance.md` is written from. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Machine, machine } from './machine.js';
import { ROOT } from './program.js';

export const RESULTS = join(ROOT, 'bench', 'results');

export interface Result<Data = unknown> {
  readonly suite: string;
  /** Day of the run. */
  readonly date: string;
  /** As it would be typed. */
  readonly command: string;
  readonly seed: number;
  readonly machine: Machine;
  readonly data: Data;
}

export interface RunOf {
  readonly command: string;
  readonly seed: number;
}

/** Writes a suite's result; `data` is the suite's own, read back by its section of the report. */
export async function writeResult<Data>(
  suite: string,
  data: Data,
  { command, seed }: RunOf,
): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  const result: Result<Data> = { suite, date, command, seed, machine: await machine(), data };
  await mkdir(RESULTS, { recursive: true });
  await writeFile(join(RESULTS, `${suite}.json`), `${JSON.stringify(result, null, 2)}\n`);
}

/** By the name of the suite; one that has never run is missing. */
export async function readResults(folder = RESULTS): Promise<ReadonlyMap<string, Result>> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'));
  const results = await Promise.all(
    names.map(
      async (name): Promise<Result> => JSON.parse(await readFile(join(folder, name), 'utf8')),
    ),
  );
  return new Map(results.map((result) => [result.suite, result]));
}
