import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import type { Logger } from '../core/logger.js';
import type { Db } from './database.js';
import { inTransaction } from './in-transaction.js';
import { unhurried } from './statement-target.js';

/** One step of the schema. Frozen once released: a later change is a later migration. */
export interface Migration {
  /** `NNNN-slug`; the order of names is the order of application. */
  readonly name: string;
  readonly sql: string;
}

export type SchemaCheck =
  | { readonly fits: true }
  | { readonly fits: false; readonly problem: string };

/** The database has a history that this build cannot continue. Nothing was changed. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

interface AppliedRow {
  readonly name: string;
  readonly checksum: string;
}

/** Any constant will do, if nobody else in the same database takes it. */
const LOCK_KEY = 7_305_823_410_918;

/**
 * Brings the schema up to date, and answers the names of what it applied. All or nothing: one
 * transaction, behind a lock that ends with it, so that any number of processes may start at once,
 * behind a transaction pooler too. Rejects with `MigrationError` when the history does not fit.
 */
export async function migrate(
  db: Db,
  migrations: readonly Migration[],
  { log }: { readonly log?: Logger } = {},
): Promise<readonly string[]> {
  const applied = await inTransaction(db, async (tx) => {
    await unhurried(tx);
    // First of all: whoever comes second reads what the first has committed.
    await sql`select pg_advisory_xact_lock(${LOCK_KEY}::bigint)`.execute(tx);
    await createHistory(tx);
    const history = await readHistory(tx);
    const problem = historyProblem(history, migrations);
    if (problem !== undefined) throw new MigrationError(problem);
    const pending = migrations.slice(history.length);
    for (const migration of pending) {
      await sql.raw(migration.sql).execute(tx);
      await sql`
        insert into schema_migrations (name, checksum, applied_at)
        values (${migration.name}, ${checksum(migration)}, clock_timestamp())`.execute(tx);
    }
    return pending.map(({ name }) => name);
  });
  if (applied.length > 0) log?.info({ migrations: applied }, 'the database schema was migrated');
  return applied;
}

/** Reads only. For a server that must not start on a schema it does not fit. */
export async function checkSchema(db: Db, migrations: readonly Migration[]): Promise<SchemaCheck> {
  const found = await sql<{ exists: boolean }>`
    select to_regclass('schema_migrations') is not null as exists`.execute(db);
  const history = found.rows[0]?.exists === true ? await readHistory(db) : [];
  const problem = historyProblem(history, migrations);
  if (problem !== undefined) return { fits: false, problem };
  const pending = migrations.slice(history.length).map(({ name }) => name);
  if (pending.length === 0) return { fits: true };
  const state =
    history.length === 0
      ? 'The database has no schema yet'
      : `The database lacks ${pending.join(', ')}`;
  return { fits: false, problem: `${state}: run \`npm run migrate\`.` };
}

/** What identifies a state of the schema, for caches of migrated databases. */
export function migrationsChecksum(migrations: readonly Migration[]): string {
  return sha256(migrations.map((m) => `${m.name}:${checksum(m)}`).join('\n'));
}

async function createHistory(db: Db): Promise<void> {
  await sql`
    create table if not exists schema_migrations (
      name text primary key,
      checksum text not null,
      applied_at timestamptz not null
    )`.execute(db);
}

async function readHistory(db: Db): Promise<readonly AppliedRow[]> {
  const { rows } = await sql<AppliedRow>`
    select name, checksum from schema_migrations order by name collate "C"`.execute(db);
  return rows;
}

/** The history must be a beginning of the list: same names, same order, same contents. */
function historyProblem(
  history: readonly AppliedRow[],
  migrations: readonly Migration[],
): string | undefined {
  migrations.forEach(({ name }, index) => {
    const previous = migrations[index - 1];
    if (previous !== undefined && previous.name >= name) {
      throw new Error(`migrations are out of order: ${previous.name}, ${name}`);
    }
  });
  const byName = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const [index, row] of history.entries()) {
    const migration = byName.get(row.name);
    if (migration === undefined) {
      return `The database has migration ${row.name}, which this build does not know: it was migrated by a newer build. Run that build, or restore a backup from before it.`;
    }
    if (checksum(migration) !== row.checksum) {
      return `Migration ${row.name} is not the one that was applied to the database: released migrations are frozen. Put its text back and write a new migration.`;
    }
    const expected = migrations[index];
    if (expected !== migration) {
      return `Migration ${expected?.name} sorts before ${row.name}, which is applied already: give it a later number.`;
    }
  }
  return undefined;
}

function checksum(migration: Migration): string {
  // A checkout with other line ends is still the same migration.
  return sha256(migration.sql.replaceAll('\r\n', '\n'));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
