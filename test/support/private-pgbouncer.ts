import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from 'pg';
import { describe } from 'vitest';
import { freePort, type ServerUser, serverUser } from './private-postgres.js';

/** A PgBouncer of a test's own in transaction mode, before any database of one PostgreSQL server. */
export interface PrivatePgbouncer extends AsyncDisposable {
  readonly port: number;
  /** The same database, by way of the pooler. */
  through(url: string): string;
  /** A command of its admin console: `PAUSE`, `SHOW POOLS`. */
  admin(command: string): Promise<readonly Record<string, unknown>[]>;
  /** Ends at once, as a crash does, and starts anew. */
  restart(): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Few server connections for many clients, so that they are really shared and swapped. */
const SETTINGS = {
  pool_mode: 'transaction',
  default_pool_size: '3',
  max_client_conn: '500',
  max_prepared_statements: '500',
  auth_type: 'any',
  admin_users: 'pgbouncer',
  server_tls_sslmode: 'prefer',
  log_connections: '0',
  log_disconnections: '0',
};
const START_MS = 10_000;
const PROGRAM_PATH = `${process.env['PATH'] ?? ''}:/usr/local/bin:/usr/sbin`;

/** From this version on it keeps prepared statements in transaction mode. */
const OLDEST = [1, 21] as const;

function version(): readonly [number, number] | undefined {
  const { stdout } = spawnSync('pgbouncer', ['--version'], {
    env: { PATH: PROGRAM_PATH },
    encoding: 'utf8',
  });
  const found = /PgBouncer (\d+)\.(\d+)/.exec(stdout ?? '');
  return found === null ? undefined : [Number(found[1]), Number(found[2])];
}

/** Whether the tests behind a pooler can run. Missing under REQUIRE_SERVICES=1: a failure. */
function poolerHere(): boolean {
  const [major = 0, minor = 0] = version() ?? [];
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return true;
  if (process.env['REQUIRE_SERVICES'] === '1') {
    throw new Error(
      'REQUIRE_SERVICES=1, and there is no PgBouncer 1.21 or later: .ci/install-pgbouncer',
    );
  }
  return false;
}

/** For what needs a real PgBouncer and PostgreSQL; skipped, and said so, where one is missing. */
export function describePooled(
  name: string,
  options: { readonly timeout?: number },
  fn: () => void,
): void {
  const postgres = (process.env['TEST_DATABASE_URL'] ?? '') !== '';
  const here = postgres && poolerHere();
  describe.skipIf(!here)(
    here ? name : `${name} (needs PostgreSQL and PgBouncer 1.21)`,
    options,
    fn,
  );
}

/** Starts one before the server of `url`; `settings` replace ours. */
export async function startPrivatePgbouncer(
  url: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<PrivatePgbouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-pgbouncer-'));
  const user = await serverUser();
  if (user !== undefined) await chown(folder, user.uid, user.gid);
  const port = await freePort();
  const { hostname, port: upstream, username } = new URL(url);
  // `auth_type = any` forgets the client's role, so the server's is fixed here.
  const target = `host=${hostname} port=${upstream || '5432'} user=${username || 'postgres'}`;
  const all = {
    ...SETTINGS,
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    ...settings,
  };
  const file = join(folder, 'pgbouncer.ini');
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  await writeFile(file, ['[databases]', `* = ${target}`, '[pgbouncer]', ...lines, ''].join('\n'));
  let server: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    server = await launch(file, user);
  };
  const stop = async (): Promise<void> => {
    const running = server;
    server = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, 'exit');
    running.kill('SIGKILL');
    await exited;
  };
  await start();
  const admin = async (command: string): Promise<readonly Record<string, unknown>[]> => {
    const client = new Client({
      connectionString: `postgres://pgbouncer@127.0.0.1:${port}/pgbouncer`,
    });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(command)).rows;
    } finally {
      await client.end();
    }
  };
  return {
    port,
    through: (direct) => {
      const changed = new URL(direct);
      changed.hostname = '127.0.0.1';
      changed.port = String(port);
      return changed.href;
    },
    admin,
    start,
    stop,
    async restart() {
      await stop();
      await start();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function launch(file: string, user: ServerUser | undefined): Promise<ChildProcess> {
  const server = spawn('pgbouncer', [file], {
    ...user,
    env: { PATH: PROGRAM_PATH },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  // A test run that ends early takes its servers along.
  const kill = (): void => void server.kill('SIGKILL');
  process.once('exit', kill);
  server.once('exit', () => process.removeListener('exit', kill));
  const late = setTimeout(kill, START_MS);
  const lines: string[] = [];
  for await (const line of createInterface({ input: server.stderr })) {
    lines.push(line);
    if (!line.includes('process up')) continue;
    clearTimeout(late);
    server.stderr.resume();
    return server;
  }
  clearTimeout(late);
  throw new Error(`pgbouncer did not start:\n${lines.join('\n')}`);
}
