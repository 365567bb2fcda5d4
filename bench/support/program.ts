/** Processes that a run starts: servers under test, floors. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const START_MS = 60_000;
const STOP_MS = 45_000;

export interface Program extends AsyncDisposable {
  readonly pid: number;
  /** `host:port`, as announced by `listening on …`. */
  readonly address: string;
  readonly output: () => string;
  /** Asks it to end, and says how it did. */
  stop(): Promise<number | string>;
}

export interface ProgramOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly nodeArgs?: readonly string[];
}

/** A folder that goes with the run. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/**
 * Runs a script until it says where it listens. Its output goes to files, as under a supervisor: a pipe
 * would cost this process time that the measured ones need. Nothing of the environment is inherited.
 */
export async function startProgram(
  script: readonly string[],
  { env, nodeArgs = [] }: ProgramOptions,
): Promise<Program> {
  const folder = temporaryFolder();
  const files = ['stdout', 'stderr'].map((name) => join(folder.path, name));
  const [stdout, stderr] = files.map((file) => openSync(file, 'a'));
  const child = spawn(process.execPath, [...nodeArgs, ...script], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', stdout, stderr],
  });
  for (const file of [stdout, stderr]) if (file !== undefined) closeSync(file);
  const abandon = (): void => void child.kill('SIGKILL');
  process.once('exit', abandon);
  const exited = once(child, 'exit').then(([code, signal]): number | string => {
    process.removeListener('exit', abandon);
    return code ?? signal;
  });
  const output = (): string =>
    files.map((file) => readFileSync(file, 'utf8').slice(-8_000)).join('\n');
  const stop = (): Promise<number | string> => stopChild(child, exited);
  const address = await announced(child, files[0] ?? '', output);
  return {
    pid: child.pid ?? 0,
    address,
    output,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      folder[Symbol.dispose]();
    },
  };
}

async function announced(child: ChildProcess, file: string, output: () => string): Promise<string> {
  for (const until = Date.now() + START_MS; Date.now() < until; await delay(2)) {
    const address = /^listening on (\S+)$/m.exec(readFileSync(file, 'utf8'))?.[1];
    if (address !== undefined) return address;
    if (child.exitCode !== null || child.signalCode !== null) break;
  }
  child.kill('SIGKILL');
  throw new Error(`a program does not listen:\n${output()}`);
}

async function stopChild(
  child: ChildProcess,
  exited: Promise<number | string>,
): Promise<number | string> {
  if (child.exitCode !== null || child.signalCode !== null) return exited;
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  const code = await exited;
  clearTimeout(impatience);
  return code;
}
