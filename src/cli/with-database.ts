import { migrations } from '../../migrations/index.js';
import { openConfigured, SchemaError } from '../composition/index.js';
import { type Config, loadConfig, readEnv } from '../config/index.js';
import type { Logger } from '../core/logger.js';
import { checkSchema, type Database, type Db, migrate } from '../db/index.js';
import { createLogger } from '../logger.js';

/** Opens the configured database for one command, and closes it whatever happens. */
export async function withDatabase<T>(
  work: (database: Database, log: Logger, config: Config) => Promise<T>,
): Promise<T> {
  const config = loadConfig(readEnv());
  const log = createLogger(config.logLevel === 'info' ? 'warn' : config.logLevel);
  const database = await openConfigured(config, log);
  try {
    return await work(database, log, config);
  } finally {
    await database[Symbol.asyncDispose]();
  }
}

/**
 * The embedded database follows the build by itself, also when a command comes before the first start;
 * PostgreSQL has to fit already, as for the server.
 */
export function withMigratedDatabase<T>(work: (db: Db, config: Config) => Promise<T>): Promise<T> {
  return withDatabase(async (database, log, config) => {
    if (database.kind === 'embedded') await migrate(database.db, migrations, { log });
    const schema = await checkSchema(database.db, migrations);
    if (!schema.fits) throw new SchemaError(schema.problem);
    return await work(database.db, config);
  });
}
