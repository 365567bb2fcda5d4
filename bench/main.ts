/** `npm run bench`: measures, keeps the results, writes docs/performance.md from all of them. */
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { pageIsCurrent, renderFiles } from './report.js';
import { suites } from './suites.js';
import { ROOT } from './support/program.js';
import { readResults, writeResult } from './support/results.js';
import type { Suite } from './support/suite.js';

const HELP = `Usage: npm run bench -- [suite ...] [options]

Suites: ${suites.map(({ name, byDefault }) => (byDefault ? name : `${name} (only when named)`)).join(', ')}

  --seconds N     length of one round (5)
  --rounds N      rounds of each side (7)
  --seed N        of whatever is drawn at random (1)
  --program PATH  another build instead of dist/src/main.js
  --dry           measure and print, write nothing
  --report        write docs/performance.md from the committed results, measure nothing
  --check         fail where docs/performance.md is not what the results say
  --help

PostgreSQL and Redis: TEST_DATABASE_URL and TEST_REDIS_URL, or the local defaults.
Exit code: 0 done, 1 a suite failed or the page is not current, 2 wrong arguments.
`;

interface Arguments {
  readonly suites: readonly Suite[];
  readonly seconds: number;
  readonly rounds: number;
  readonly seed: number;
  readonly program: string | undefined;
  readonly mode: 'measure' | 'dry' | 'report' | 'check' | 'help';
}

/** Throws an Error with a text for people. */
function readArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '7' },
      seed: { type: 'string', default: '1' },
      program: { type: 'string' },
      dry: { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.find((name) => suites.every((suite) => suite.name !== name));
  if (unknown !== undefined) throw new Error(`there is no suite ${unknown}`);
  const mode = (['help', 'check', 'report', 'dry'] as const).find((name) => values[name]);
  return {
    suites: suites.filter(({ name, byDefault }) =>
      positionals.length === 0 ? byDefault : positionals.includes(name),
    ),
    seconds: positive('seconds', values.seconds),
    rounds: positive('rounds', values.rounds),
    seed: positive('seed', values.seed),
    program: values.program,
    mode: mode ?? 'measure',
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`--${name} must be a number above 0`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function measure(suite: Suite, options: Arguments): Promise<boolean> {
  const begun = performance.now();
  say(`▸ ${suite.name}`);
  try {
    const data = await suite.run({ ...options, say: (text) => say(`  ${text}`) });
    const { seconds, rounds, seed } = options;
    const command = `npm run bench -- ${suite.name} --seconds ${seconds} --rounds ${rounds} --seed ${seed}`;
    if (options.mode === 'dry') say(suite.section(data));
    else await writeResult(suite.name, data, { command, seed });
    say(`  done, ${((performance.now() - begun) / 1_000).toFixed(0)} s`);
    return true;
  } catch (error) {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return false;
  }
}

async function run(options: Arguments): Promise<number> {
  if (options.mode === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  if (options.mode === 'check') {
    if (await pageIsCurrent()) return 0;
    process.stderr.write(
      'docs/performance.md is not what the results say: npm run bench -- --report\n',
    );
    return 1;
  }
  let failed = 0;
  if (options.mode !== 'report') {
    if (options.program === undefined) build();
    for (const suite of options.suites) if (!(await measure(suite, options))) failed += 1;
  }
  if (options.mode !== 'dry') {
    for (const [path, text] of renderFiles(await readResults())) await writeFile(path, text);
  }
  return failed === 0 ? 0 : 1;
}

function build(): void {
  const { status } = spawnSync('npm', ['run', '--silent', 'build'], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('the build failed');
}

let options: Arguments | undefined;
try {
  options = readArguments(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
  process.exitCode = 2;
}
if (options !== undefined) process.exitCode = await run(options);
