import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compiledProgram } from '../support/compiled-program.js';

export interface RunningProgram {
  readonly pid: number;
  /** What it has written so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Exit code, or the name of the signal that ended it, once both streams are at their end. */
  readonly exited: Promise<number | string>;
  /** The match, once a pattern has appeared in the standard output. Rejects when the process ends. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
}

export type ProgramEnvironment = Readonly<Record<string, string>>;

/**
 * Starts the program as `npm start` does, in an environment that holds nothing but `env`: what
 * happens to be set around the tests changes nothing.
 */
export async function startProgram(
  args: readonly string[],
  env: ProgramEnvironment = {},
  cwd = tmpdir(),
): Promise<RunningProgram> {
  const child = spawn(process.execPath, [await compiledProgram(), ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // A test run that ends early takes its processes along.
  const abandon = (): void => void child.kill('SIGKILL');
  process.once('exit', abandon);
  const output = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
      for (const listener of listeners) listener();
    });
  }
  const exited = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => {
      process.removeListener('exit', abandon);
      resolve(code ?? signal ?? 'unknown');
    });
  });
  return {
    pid: child.pid ?? 0,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    exited,
    printed: (pattern) => appearance(pattern, output, listeners, exited),
    kill: (signal) => void kill(child, signal),
  };
}

function kill(child: ChildProcess, signal: NodeJS.Signals): boolean {
  return child.exitCode === null && child.signalCode === null && child.kill(signal);
}

function appearance(
  pattern: RegExp,
  output: { readonly stdout: string; readonly stderr: string },
  listeners: Set<() => void>,
  exited: Promise<number | string>,
): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const found = pattern.exec(output.stdout);
      if (found === null) return;
      listeners.delete(look);
      resolve(found);
    };
    listeners.add(look);
    look();
    void exited.then((code) => {
      reject(new Error(`ended with ${code} before it printed ${pattern}:\n${output.stderr}`));
    });
  });
}

export interface Finished {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command to its end. */
export async function runProgram(
  args: readonly string[],
  env: ProgramEnvironment = {},
  cwd?: string,
): Promise<Finished> {
  const running = await startProgram(args, env, cwd);
  const code = await running.exited;
  return { code, stdout: running.stdout, stderr: running.stderr };
}

export interface ServerProcess extends RunningProgram, AsyncDisposable {
  /** `host:port` of gRPC, as announced. */
  readonly address: string;
  readonly httpAddress: string;
}

/** A server on ports of its own. Resolves when it listens; disposing kills it. */
export async function startServer(env: ProgramEnvironment): Promise<ServerProcess> {
  const ports = { LISTEN_ADDRESS: '127.0.0.1:0', HTTP_ADDRESS: '127.0.0.1:0', LOG_LEVEL: 'warn' };
  const running = await startProgram(['serve'], { ...ports, ...env });
  const [, httpAddress = ''] = await running.printed(/http:\/\/([^/\s]+)\/\.well-known/);
  const [, address = ''] = await running.printed(/^listening on (\S+)$/m);
  // The getters have to stay getters.
  return Object.assign(running, {
    address,
    httpAddress,
    async [Symbol.asyncDispose]() {
      running.kill('SIGKILL');
      await running.exited;
    },
  });
}

/** A folder that goes when the test does: `await using`. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'countersign-process-'));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
