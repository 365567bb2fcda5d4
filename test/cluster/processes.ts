import { execFile } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { CountersignError, createCountersignClient } from '../../src/client/index.js';
import { GENEROUS } from '../resilience/crash-rounds.js';
import { eventually } from '../resilience/eventually.js';
import { startServer } from '../resilience/process.js';

/** Pids of the processes that `pid` has started and that have not ended. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,stat=']);
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, parent, state]) => Number(parent) === pid && state?.startsWith('Z') !== true)
    .map(([child]) => Number(child));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export async function allGone(pids: readonly number[]): Promise<void> {
  await eventually('every process has ended', async () => !pids.some(isAlive));
}

/** A primary and its workers; disposing of it takes them all along. */
export async function startCluster(
  workers: number,
  { url, folder }: { readonly url: string; readonly folder: string },
) {
  const server = await startServer({
    ...GENEROUS,
    WORKERS: String(workers),
    ALLOW_MEMORY_LIMITS: 'true',
    DATABASE_URL: url,
    DATA_DIR: folder,
    MAIL_TRANSPORT: `file:${folder}/messages.jsonl`,
    SMS_TRANSPORT: `file:${folder}/messages.jsonl`,
  });
  const seen = new Set<number>();
  const workerPids = async (): Promise<readonly number[]> => {
    const pids = await childrenOf(server.pid);
    for (const pid of pids) seen.add(pid);
    return pids;
  };
  return {
    server,
    workerPids,
    async [Symbol.asyncDispose]() {
      await workerPids();
      await server[Symbol.asyncDispose]();
      for (const pid of [...seen].filter(isAlive)) process.kill(pid, 'SIGKILL');
    },
  };
}

/**
 * Bare connections, to see by whom they were taken: those of a killed worker close. Each is served
 * before the next begins: of many at once the faster worker would take more.
 */
export async function connections(address: string, count: number) {
  const port = Number(address.split(':').at(-1));
  const sockets: Socket[] = [];
  const closed = new Set<Socket>();
  for (let i = 0; i < count; i += 1) {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {}).once('close', () => closed.add(socket));
    sockets.push(socket);
    await new Promise((resolve) => socket.once('data', resolve));
  }
  return { closed: () => closed.size, end: () => sockets.forEach((s) => void s.destroy()) };
}

/** Somebody who calls all the time over one connection, and writes down how each call ended. */
export function busyClient(address: string, name: string) {
  const client = createCountersignClient({ address, userAgent: name, deadlineMs: 10_000 });
  const outcomes: string[] = [];
  let stopped = false;
  const loop = (async () => {
    while (!stopped) {
      outcomes.push(
        await client.auth.getJsonWebKeySet({}).then(
          () => 'OK',
          (error: unknown) => (error instanceof CountersignError ? error.codeName : 'OTHER'),
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  return {
    auth: client.auth,
    outcomes,
    async stop() {
      stopped = true;
      await loop;
      client.close();
    },
  };
}
