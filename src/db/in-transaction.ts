import type { Db, Tx } from './database.js';

/**
 * Runs `fn` in one transaction (read committed): committed when it resolves, rolled back when it
 * rejects. It rejects too when the database had already given the transaction up and `fn` did not
 * notice. Nothing inside `fn` uses the plain handle: it would wait for a second connection while it keeps
 * the first.
 */
export function inTransaction<T>(db: Db, fn: (tx: Tx) => Promise<T>): Promise<T> {
  return db.transaction().execute(fn);
}
