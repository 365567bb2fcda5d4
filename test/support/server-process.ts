import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AuthClient, createCountersignClient } from '../../src/client/index.js';
import { compiledProgram } from './compiled-program.js';

export interface ServerProcessOptions {
  readonly databaseUrl: string;
  /** Holds the keys: processes that share it are replicas of one installation. */
  readonly dataDir: string;
  /** Where mail and SMS go, one JSON object a line; replicas may share it. */
  readonly messageFile: string;
  readonly redis?: { readonly url: string; readonly keyPrefix: string };
  /** Settings beside those above. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A real server process, as `countersign serve` runs it. */
export interface ServerProcess extends AsyncDisposable {
  readonly address: string;
  readonly pid: number;
  /** A typed client on a connection of its own; closed with the process. */
  readonly auth: AuthClient;
  readonly exited: Promise<Exit>;
  /** The last megabyte of each. */
  stdout(): string;
  stderr(): string;
  /** Sends a signal and waits for the end. */
  kill(signal: NodeJS.Signals): Promise<Exit>;
}

const START_MS = 60_000;
const STOP_MS = 30_000;
const KEPT_TEXT = 1024 * 1024;

/** Resolves when the process listens; rejects, with what it said, when it ends before that. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const child = spawn(process.execPath, [await compiledProgram(), 'serve'], {
    env: environment(options),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // A test run that ends early takes its servers along.
  const killWithUs = () => void child.kill('SIGKILL');
  process.once('exit', killWithUs);
  const exited = once(child, 'close').then(([code, signal]): Exit => {
    process.removeListener('exit', killWithUs);
    return { code, signal };
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const address = await listening(child, exited, stdout, stderr);
  const client = createCountersignClient({ address, deadlineMs: 60_000 });
  const kill = async (signal: NodeJS.Signals): Promise<Exit> => {
    child.kill(signal);
    return exited;
  };
  return {
    address,
    pid: child.pid ?? 0,
    auth: client.auth,
    exited,
    stdout: stdout.text,
    stderr: stderr.text,
    kill,
    async [Symbol.asyncDispose]() {
      client.close();
      const impatience = setTimeout(killWithUs, STOP_MS);
      await kill('SIGTERM');
      clearTimeout(impatience);
    },
  };
}

/** Nothing is inherited but what a program needs to run: a developer's own settings change no test. */
function environment(options: ServerProcessOptions): NodeJS.ProcessEnv {
  const inherited = ['PATH', 'HOME', 'TMPDIR'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(inherited),
    LISTEN_ADDRESS: '127.0.0.1:0',
    HTTP_ADDRESS: '127.0.0.1:0',
    LOG_LEVEL: 'warn',
    DATABASE_URL: options.databaseUrl,
    DATA_DIR: options.dataDir,
    MAIL_TRANSPORT: `file:${options.messageFile}`,
    SMS_TRANSPORT: `file:${options.messageFile}`,
    ...(options.redis === undefined
      ? {}
      : { REDIS_URL: options.redis.url, REDIS_KEY_PREFIX: options.redis.keyPrefix }),
    ...options.env,
  };
}

interface Collected {
  text(): string;
  /** Calls back with the whole text after every new piece. */
  onText(listener: (text: string) => void): void;
}

function collect(stream: NodeJS.ReadableStream): Collected {
  let text = '';
  const listeners: ((text: string) => void)[] = [];
  stream.setEncoding('utf8').on('data', (piece: string) => {
    text = (text + piece).slice(-KEPT_TEXT);
    for (const listener of listeners) listener(text);
  });
  return { text: () => text, onText: (listener) => void listeners.push(listener) };
}

async function listening(
  child: ChildProcess,
  exited: Promise<Exit>,
  stdout: Collected,
  stderr: Collected,
): Promise<string> {
  const said = () => `stdout:\n${stdout.text()}\nstderr:\n${stderr.text()}`;
  let timer: NodeJS.Timeout | undefined;
  const address = new Promise<string>((resolve, reject) => {
    stdout.onText((text) => {
      const found = /^listening on (\S+)\n/m.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
    timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`the server does not listen after ${START_MS} ms\n${said()}`));
    }, START_MS);
  });
  const ended = exited.then(({ code, signal }): never => {
    throw new Error(`the server ended at its start (${code ?? signal})\n${said()}`);
  });
  try {
    return await Promise.race([address, ended]);
  } finally {
    clearTimeout(timer);
    // Whichever lost may still reject, and nobody waits for it.
    address.catch(() => {});
    ended.catch(() => {});
  }
}
