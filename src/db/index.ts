export type { Db, PoolFigures, Tx } from './database.js';
export { dumpSchema } from './dump-schema.js';
export { FolderLockedError } from './folder-lock.js';
export { inTransaction } from './in-transaction.js';
export {
  checkSchema,
  type Migration,
  MigrationError,
  migrate,
  migrationsChecksum,
  type SchemaCheck,
} from './migrate.js';
export { clockCte, sqlNow, sqlNowOnce, statementNow } from './now.js';
export { onceMore } from './once-more.js';
export {
  type Database,
  type DatabaseLocation,
  type DatabaseOptions,
  openDatabase,
} from './open-database.js';
export {
  connectionRefusal,
  DatabaseUnavailableError,
  isCancelled,
  isUnavailable,
  StatementTimeoutError,
  uniqueViolation,
} from './pg-errors.js';
export { isSameDatabase } from './same-database.js';
export { type StatementTarget, unhurried, untilAborted } from './statement-target.js';
