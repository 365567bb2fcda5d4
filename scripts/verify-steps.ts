import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const STEP_LIMIT_MS = 14 * 60_000;
const SHOWN_OUTPUT = 60_000;

export interface Tally {
  passed: number;
  failed: number;
}

/** What went wrong, as the step said it; `counted` is how many of its tests it failed, if it has any. */
class StepError extends Error {
  override readonly name = 'StepError';
}

/** Runs one step, with a line before and after it, and counts it. Later steps run all the same. */
export async function step(
  tally: Tally,
  name: string,
  work: () => Promise<string | undefined>,
): Promise<void> {
  const begun = performance.now();
  process.stdout.write(`▸ ${name}\n`);
  const seconds = (): string => ((performance.now() - begun) / 1_000).toFixed(1);
  try {
    const note = await work();
    tally.passed += 1;
    process.stdout.write(`  ok, ${seconds()} s${note === undefined ? '' : ` (${note})`}\n`);
  } catch (error) {
    tally.failed += 1;
    const text = error instanceof StepError ? error.message : describe(error);
    process.stdout.write(`${text.slice(-SHOWN_OUTPUT)}\n  FAILED, ${seconds()} s\n`);
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined
    ? error.message
    : `${error.message}\n  because: ${describe(error.cause)}`;
}

/** Runs one of the package's scripts; its output is shown only where it fails. */
export async function npm(script: string, ...args: readonly string[]): Promise<undefined> {
  await run('npm', ['run', '--silent', script, '--', ...args]);
}

/** Nothing that is generated may differ from what is committed, new files included. */
export async function requireCommitted(...paths: readonly string[]): Promise<undefined> {
  await run('git', ['diff', '--exit-code', '--stat', 'HEAD', '--', ...paths]);
  const untracked = await run('git', [
    'ls-files',
    '--others',
    '--exclude-standard',
    '--',
    ...paths,
  ]);
  if (untracked.trim() !== '') throw new StepError(`generated and not committed:\n${untracked}`);
}

/** Runs all tests under an environment and adds their numbers to the tally. */
export async function tests(tally: Tally, env: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-verify-'));
  const report = join(folder, 'report.json');
  const args = ['vitest', 'run', '--reporter=default', '--reporter=json'];
  try {
    const failure = await run('npx', ['--no-install', ...args, `--outputFile.json=${report}`], env)
      .then(() => undefined)
      .catch((error: unknown) => error);
    const counts = readCounts(await readFile(report, 'utf8').catch(() => ''));
    tally.passed += counts.passed;
    tally.failed += counts.failed;
    if (failure !== undefined) throw failure;
    return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function readCounts(report: string): Tally & { readonly skipped: number } {
  if (report === '') return { passed: 0, failed: 0, skipped: 0 };
  const fields = new Map<string, unknown>(Object.entries(JSON.parse(report)));
  const count = (name: string): number => Number(fields.get(name) ?? 0);
  return {
    passed: count('numPassedTests'),
    failed: count('numFailedTests'),
    skipped: count('numPendingTests') + count('numTodoTests'),
  };
}

function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: STEP_LIMIT_MS,
    });
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => output.push(chunk));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const text = Buffer.concat(output).toString('utf8');
      if (code === 0) resolve(text);
      else reject(new StepError(signal === null ? text : `${text}\nended by ${signal}`));
    });
  });
}
