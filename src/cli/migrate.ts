import { migrations } from '../../migrations/index.js';
import type { Logger } from '../core/logger.js';
import {
  checkSchema,
  connectionRefusal,
  type Database,
  isSameDatabase,
  MigrationError,
  migrate,
  openDatabase,
} from '../db/index.js';
import { type Command, refuseArguments } from './usage.js';
import { withDatabase } from './with-database.js';

export const migrateCommand: Command = {
  summary: 'bring the database to the schema of this build',
  help: [
    'Usage: countersign migrate',
    '',
    'Applies the migrations that the database does not have yet, in one transaction. Safe to run any',
    'number of times, and from many places at once. Forward only: there is no way back but a backup.',
    '',
    'Uses DATABASE_DIRECT_URL where it is set, which must lead to the database of DATABASE_URL.',
  ].join('\n'),
  async run(args) {
    refuseArguments(args);
    await withDatabase(async (database, log, config) => {
      const { directUrl } = config.database;
      if (directUrl === undefined) return bringUpToDate(database, log);
      await using direct = await openDatabase({ url: directUrl }, { log });
      await requireSame(direct, database);
      await bringUpToDate(direct, log);
    });
  },
};

async function bringUpToDate({ db, describe }: Database, log: Logger): Promise<void> {
  process.stdout.write(`database  ${describe}\n`);
  const applied = await migrate(db, migrations, { log });
  for (const name of applied) process.stdout.write(`applied   ${name}\n`);
  process.stdout.write(applied.length === 0 ? 'nothing to do\n' : 'done\n');
}

/** Migrating some other database would be found out when the server refuses to start, or never. */
async function requireSame(direct: Database, pooled: Database): Promise<void> {
  await checkSchema(direct.db, migrations).catch((error: unknown) => {
    const refusal = connectionRefusal(error);
    if (refusal === undefined) throw error;
    throw new MigrationError(`the database of DATABASE_DIRECT_URL cannot be used: ${refusal}`);
  });
  const same = await isSameDatabase(direct.db, pooled.db);
  if (same) return;
  throw new MigrationError(
    `DATABASE_DIRECT_URL (${direct.describe}) and DATABASE_URL (${pooled.describe}) lead to different databases. Nothing was changed.`,
  );
}
