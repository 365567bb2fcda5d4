import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const START_TIMEOUT_MS = 60_000;

export interface TourServer extends AsyncDisposable {
  readonly address: string;
  readonly jwksUrl: string;
}

/** A real server process on free ports, with its embedded database and its messages in `folder`. */
export async function startServer(folder: string, messageFile: string): Promise<TourServer> {
  const program = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url));
  const child = spawn(process.execPath, [program, 'serve'], {
    // Only what the tour chooses: settings of the shell it is started from must not leak in.
    env: {
      PATH: process.env['PATH'] ?? '',
      DATA_DIR: folder,
      LISTEN_ADDRESS: '127.0.0.1:0',
      HTTP_ADDRESS: '127.0.0.1:0',
      MAIL_TRANSPORT: `file:${messageFile}`,
      SMS_TRANSPORT: `file:${messageFile}`,
      LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const found = await withTimeout(readAddresses(child));
  return { ...found, [Symbol.asyncDispose]: () => stop(child) };
}

async function readAddresses(child: ChildProcess) {
  if (child.stdout === null) throw new Error('the server has no output');
  let jwksUrl = '';
  for await (const line of createInterface({ input: child.stdout })) {
    jwksUrl = /http\S+jwks\.json/.exec(line)?.[0] ?? jwksUrl;
    const address = /^listening on (\S+)$/.exec(line)?.[1];
    if (address !== undefined) {
      child.stdout.resume();
      return { address, jwksUrl };
    }
  }
  throw new Error('the server ended before it listened');
}

async function withTimeout<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error('the server did not start in time')),
      START_TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}
