import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely';

/** A connection of either driver: kysely's, and what the house asks of one besides. */
export abstract class StatementConnection implements DatabaseConnection {
  /** Stops when `signal` aborts, and rejects with its reason; one that has aborted starts nothing. */
  abstract executeQuery<R>(query: CompiledQuery, signal?: AbortSignal): Promise<QueryResult<R>>;

  /** Lifts the limit on the time of one statement, until the connection is given back. */
  abstract unhurried(): void;

  streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('statements are not streamed');
  }
}

/** Kysely hands back what our drivers gave it, under a type of its own. */
export function own(connection: DatabaseConnection): StatementConnection {
  if (connection instanceof StatementConnection) return connection;
  throw new Error('a connection of another driver');
}
