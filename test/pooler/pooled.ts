import { type DatabaseOptions, openDatabase } from '../../src/db/index.js';
import { postgresUrl, silentLog, type TestDatabase, testDatabase } from '../support/databases.js';
import { type PrivatePgbouncer, startPrivatePgbouncer } from '../support/private-pgbouncer.js';

export interface PooledDatabase extends AsyncDisposable {
  readonly pooler: PrivatePgbouncer;
  /** By way of the pooler. */
  readonly pooled: TestDatabase & { readonly url: string };
  /** The same database past it. */
  readonly direct: TestDatabase & { readonly url: string };
}

/** A migrated database of a test's own, and a PgBouncer of its own before it. */
export async function pooledDatabase(
  settings: Readonly<Record<string, string>> = {},
  options: Partial<DatabaseOptions> = {},
): Promise<PooledDatabase> {
  const { url, ...rest } = await testDatabase({ profile: 'postgres' });
  if (url === undefined) throw new Error('not on PostgreSQL');
  const pooler = await startPrivatePgbouncer(postgresUrl(), settings);
  const through = pooler.through(url);
  const opened = await openDatabase({ url: through }, { log: silentLog, ...options });
  return {
    pooler,
    pooled: { ...opened, url: through },
    direct: { ...rest, url },
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]();
      await pooler[Symbol.asyncDispose]();
      await rest[Symbol.asyncDispose]();
    },
  };
}
