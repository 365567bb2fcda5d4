import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import type { Logger } from '../core/logger.js';
import type { Db, PoolFigures } from './database.js';
import { lockFolder } from './folder-lock.js';
import { openPostgres, type PoolLimits } from './pg-dialect.js';
import { createStatementNames, noStatementNames, type StatementNames } from './statement-names.js';

/** PostgreSQL by URL, or the embedded database in `dataDir` (`memory:`, for tests, keeps nothing). */
export type DatabaseLocation =
  | { readonly url: string }
  | {
      readonly dataDir: string;
      /** A dump of an embedded database to begin with. */
      readonly loadDataDir?: Blob;
    };

export interface DatabaseOptions extends Partial<PoolLimits> {
  readonly log: Logger;
}

export interface Database extends AsyncDisposable {
  readonly db: Db;
  readonly kind: 'postgres' | 'embedded';
  /** For people: where the database is. Holds no password. */
  readonly describe: string;
  /** For the metrics. */
  pool(): PoolFigures;
}

const DEFAULT_LIMITS: PoolLimits = {
  maxConnections: 10,
  connectTimeoutMs: 5_000,
  idleTimeoutMs: 30_000,
  maxWaiting: 1_000,
  statementTimeoutMs: 10_000,
  cancelGraceMs: 2_000,
  prepareStatements: true,
};

/**
 * Opens the database. PostgreSQL is not asked anything yet: a server that is away shows at the first
 * statement. The embedded one takes its folder's lock and starts; rejects with `FolderLockedError`
 * when another process has it.
 */
export async function openDatabase(
  location: DatabaseLocation,
  { log, ...limits }: DatabaseOptions,
): Promise<Database> {
  const settings = { ...DEFAULT_LIMITS, ...limits };
  const names = settings.prepareStatements ? createStatementNames(log) : noStatementNames;
  if ('url' in location) {
    const { db, pool } = openPostgres(location.url, settings, { names, log });
    return {
      db,
      pool,
      kind: 'postgres',
      describe: describeUrl(location.url),
      [Symbol.asyncDispose]: () => db.destroy(),
    };
  }
  return openEmbedded(location, settings, names);
}

async function openEmbedded(
  { dataDir, loadDataDir }: Extract<DatabaseLocation, { readonly dataDir: string }>,
  limits: PoolLimits,
  names: StatementNames,
): Promise<Database> {
  const inMemory = dataDir === 'memory:';
  const folder = join(dataDir, 'db');
  const lock = inMemory ? undefined : await lockPrivately(dataDir, folder);
  try {
    // Loaded for who needs it: a process on PostgreSQL starts sooner without.
    const [{ PGlite }, { openPglite }] = await Promise.all([
      import('@electric-sql/pglite'),
      import('./pglite-dialect.js'),
    ]);
    const pglite = await PGlite.create({
      dataDir: inMemory ? 'memory://' : folder,
      ...(loadDataDir === undefined ? {} : { loadDataDir }),
    });
    const { db, pool } = openPglite(pglite, limits, names);
    // The driver closes what it was asked for at least once, and this one may never be asked.
    const close = async (): Promise<void> => {
      await db.destroy();
      if (!pglite.closed) await pglite.close();
      await lock?.[Symbol.asyncDispose]();
    };
    return {
      db,
      pool,
      kind: 'embedded',
      describe: inMemory ? 'embedded database in memory' : `embedded database in ${folder}`,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await lock?.[Symbol.asyncDispose]();
    throw error;
  }
}

async function lockPrivately(dataDir: string, folder: string): Promise<AsyncDisposable> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  // Beside the database's files, not among them: an embedded database starts only in an empty folder.
  const lock = await lockFolder(join(dataDir, 'db.lock'));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  return lock;
}

function describeUrl(url: string): string {
  // pg's own reading of the URL, so that what is shown is what is used; its password is left out.
  const { user, host, port, database } = new Client({ connectionString: url });
  return `PostgreSQL ${user ?? ''}@${host}:${port}/${database ?? ''}`;
}
