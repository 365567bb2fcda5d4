import type { Kysely, Transaction } from 'kysely';

/**
 * The house's handle on the database. It knows no tables: hot statements are written with kysely's
 * `sql` template and name their row type (``sql<Row>`…`.execute(db)``); a store that wants the query
 * builder narrows the handle to its own slice's row types with kysely's
 * `db.withTables<ChallengeTables>()`. One global table interface was rejected, because it would let
 * every slice write into every other slice's tables.
 */
export type Db = Kysely<unknown>;

/** Connections of this process. The embedded database has one. */
export interface PoolFigures {
  readonly open: number;
  /** Of the open ones, those that are lent to nobody. */
  readonly idle: number;
  readonly max: number;
  /** Callers that wait for one. */
  readonly waiting: number;
}

/** What a driver gives to `openDatabase`. */
export interface OpenedPool {
  readonly db: Db;
  pool(): PoolFigures;
}

/**
 * A handle inside a transaction. Every `Tx` is a `Db`, and no `Db` is a `Tx`: a writer that asks for
 * `Tx` does not compile with a plain handle.
 */
export type Tx = Transaction<unknown>;
