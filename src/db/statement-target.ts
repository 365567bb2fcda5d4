import type { ConnectionProvider, QueryExecutorProvider } from 'kysely';
import type { Db } from './database.js';
import { own } from './statement-connection.js';

/** What a statement runs on: a handle, a transaction, or either of them for as long as a call lasts. */
export type StatementTarget = QueryExecutorProvider;

/**
 * `db` for statements that nobody needs once `signal` has aborted: a running one is interrupted, one that
 * still waits for a connection is not sent. They reject with the signal's reason.
 *
 * Without it a statement is carried out although the caller has left, as one must be that counts
 * something (rule 2). A write may stop where the client can ask for all of it again: a send, a refresh.
 */
export function untilAborted(signal: AbortSignal, db: Db): StatementTarget {
  const executor = db.getExecutor();
  const provider: ConnectionProvider = {
    async provideConnection(consume) {
      signal.throwIfAborted();
      return await executor.provideConnection((connection) =>
        consume({
          executeQuery: (query) => own(connection).executeQuery(query, signal),
          streamQuery: (query, size) => connection.streamQuery(query, size),
        }),
      );
    },
  };
  return { getExecutor: () => executor.withConnectionProvider(provider) };
}

/**
 * Lets statements take as long as they need, on the one connection that `held` has: a transaction, or a
 * handle of `db.connection()`. Ends when the connection is given back. Migrations build indexes.
 */
export function unhurried(held: Db): Promise<void> {
  return held.getExecutor().provideConnection(async (connection) => own(connection).unhurried());
}
