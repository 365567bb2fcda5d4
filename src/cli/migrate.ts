import { migrations } from '../../migrations/index.js';
import { migrate } from '../db/index.js';
import { type Command, refuseArguments } from './usage.js';
import { withDatabase } from './with-database.js';

export const migrateCommand: Command = {
  summary: 'bring the database to the schema of this build',
  help: [
    'Usage: countersign migrate',
    '',
    'Applies the migrations that the database does not have yet, in one transaction. Safe to run any',
    'number of times, and from many places at once. Forward only: there is no way back but a backup.',
  ].join('\n'),
  async run(args) {
    refuseArguments(args);
    await withDatabase(async (database, log) => {
      process.stdout.write(`database  ${database.describe}\n`);
      const applied = await migrate(database.db, migrations, { log });
      for (const name of applied) process.stdout.write(`applied   ${name}\n`);
      process.stdout.write(applied.length === 0 ? 'nothing to do\n' : 'done\n');
    });
  },
};
