import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A PostgreSQL server of a test's own, to be stopped and started at will. */
export interface PrivatePostgres extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  start(): Promise<void>;
  /** `fast` ends the sessions in order, `immediate` is a crash. */
  stop(mode: 'fast' | 'immediate'): Promise<void>;
  /** Its processes stand still until `thaw`: connections stay open, and nothing answers. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  restart(mode: 'fast' | 'immediate'): Promise<void>;
}

/** Initialises and starts a server in a temporary folder. Its superuser `postgres` needs no password. */
export async function startPrivatePostgres(
  settings: Readonly<Record<string, string>> = {},
): Promise<PrivatePostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-pg-'));
  const user = await serverUser();
  if (user !== undefined) {
    await chown(folder, user.uid, user.gid);
    await chmod(folder, 0o700);
  }
  const bin = await binaries();
  const port = await freePort();
  const data = join(folder, 'data');
  const command = (name: string, ...args: string[]): Promise<unknown> => {
    // The server must not inherit our pipes, or waiting for pg_ctl would wait for the server.
    return run(join(bin, name), args, { ...user, cwd: folder, timeout: 60_000 });
  };

  await command(
    'initdb',
    '-D',
    data,
    '-U',
    'postgres',
    '-A',
    'trust',
    '--no-sync',
    '-E',
    'UTF8',
    '--locale=C',
  );
  const all = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    fsync: 'off',
    ...settings,
  };
  const options = Object.entries(all)
    .map(([name, value]) => `-c ${name}='${value}'`)
    .join(' ');
  const log = join(folder, 'log');
  const start = async (): Promise<void> => {
    await command('pg_ctl', '-D', data, '-w', '-t', '30', '-l', log, '-o', options, 'start');
  };
  const stop = async (mode: 'fast' | 'immediate'): Promise<void> => {
    await command('pg_ctl', '-D', data, '-w', '-t', '30', '-m', mode, 'stop');
  };
  const signal = async (name: 'STOP' | 'CONT'): Promise<void> => {
    const [pid = ''] = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n');
    // The postmaster first, so that it makes no further process meanwhile.
    await run('kill', [`-${name}`, pid]);
    const { stdout } = await run('ps', ['-o', 'pid=', '--ppid', pid]);
    for (const child of stdout.split('\n').map((line) => line.trim())) {
      // One that has ended meanwhile stands still as well.
      if (child !== '') await run('kill', [`-${name}`, child]).catch(() => undefined);
    }
  };
  await start();
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    start,
    stop,
    freeze: () => signal('STOP'),
    thaw: () => signal('CONT'),
    async restart(mode) {
      await stop(mode);
      await start();
    },
    async [Symbol.asyncDispose]() {
      // It may be frozen, or stopped already.
      await signal('CONT').catch(() => {});
      await stop('immediate').catch(() => {});
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL and PgBouncer refuse to run as root: then it is `postgres` who does. */
export async function serverUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'postgres'])).stdout)),
  );
  if (uid === undefined || gid === undefined) throw new Error('there is no user postgres');
  return { uid, gid };
}

async function binaries(): Promise<string> {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? await readdir(debian) : [];
  const newest = versions.map(Number).sort((a, b) => b - a)[0];
  if (newest !== undefined) return join(debian, String(newest), 'bin');
  const { stdout } = await run('pg_config', ['--bindir']);
  return stdout.trim();
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address !== null
          ? resolve(address.port)
          : reject(new Error('no port')),
      );
    });
  });
}
