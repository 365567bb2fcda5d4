import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { migrations } from '../migrations/index.js';
import { type DatabaseLocation, dumpSchema, migrate, openDatabase } from '../src/db/index.js';

/**
 * Writes `migrations/schema.sql`: what the migrations make of an empty database.
 *
 *     tsx scripts/dump-schema.ts [--check] [postgres://… of an empty or migrated database]
 *
 * `--check` writes nothing, and fails when the committed file is another.
 */
const FILE = fileURLToPath(new URL('../migrations/schema.sql', import.meta.url));
const silent = { debug() {}, info() {}, warn() {}, error() {} };

async function dump(location: DatabaseLocation): Promise<string> {
  await using database = await openDatabase(location, { log: silent });
  await migrate(database.db, migrations);
  return await dumpSchema(database.db);
}

function difference(committed: string, made: string): string {
  const [before, after] = [committed.split('\n'), made.split('\n')];
  const lines = [
    ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
  ];
  return lines.length === 0 ? 'the same lines in another order' : lines.join('\n');
}

const args = process.argv.slice(2);
const url = args.find((arg) => !arg.startsWith('--'));
const made = await dump(url === undefined ? { dataDir: 'memory:' } : { url });

if (args.includes('--check')) {
  const committed = await readFile(FILE, 'utf8').catch(() => '');
  if (committed !== made) {
    process.stderr.write(
      `migrations/schema.sql is not what the migrations make:\n${difference(committed, made)}\n`,
    );
    process.exitCode = 1;
  }
} else {
  await writeFile(FILE, made);
}
