import { insideTransaction } from './call-scope.js';
import type { Db, Tx } from './database.js';

/**
 * Runs `fn` in one transaction (read committed): committed when it resolves, rolled back when it
 * rejects. It rejects too when the database had already given the transaction up and `fn` did not
 * notice. The plain handle refuses to work inside `fn`.
 */
export function inTransaction<T>(db: Db, fn: (tx: Tx) => Promise<T>): Promise<T> {
  return db.transaction().execute((tx) => insideTransaction(() => fn(tx)));
}
