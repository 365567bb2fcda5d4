import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { migrations } from '../../migrations/index.js';
import { type Db, migrate } from '../../src/db/index.js';
import { emptyDatabase } from '../resilience/empty-database.js';
import { runProgram, startServer, temporaryFolder } from '../resilience/process.js';
import { anotherPool } from '../support/test-app.js';

const PROCESSES = 7;
const POOLS = 13;

const appliedLines = (stdout: string): readonly string[] =>
  stdout.split('\n').filter((line) => line.startsWith('applied '));

async function figures(db: Db) {
  const { rows } = await sql<{ keys: number; secrets: number; migrations: number }>`
    select (select count(*)::int from signing_keys) as keys, (select count(*)::int from secrets) as secrets,
      (select count(*)::int from schema_migrations) as migrations`.execute(db);
  return rows[0];
}

describe.skipIf(process.env['TEST_DATABASE_URL'] === undefined)(
  'migrate',
  { timeout: 90_000 },
  () => {
    it('applies everything once, and says when there is nothing to do', async () => {
      await using database = await emptyDatabase();
      const env = { DATABASE_URL: database.url };
      const first = await runProgram(['migrate'], env);
      expect(first).toMatchObject({ code: 0, stderr: '' });
      expect(appliedLines(first.stdout)).toEqual(migrations.map(({ name }) => `applied   ${name}`));
      expect(first.stdout).toMatch(/^database {2}PostgreSQL .*\n(applied .*\n)+done\n$/);
      const second = await runProgram(['migrate'], env);
      expect(second).toMatchObject({ code: 0, stderr: '' });
      expect(appliedLines(second.stdout)).toEqual([]);
      expect(second.stdout).toContain('nothing to do');
    });

    it('is safe when 20 processes and pools start at once on a new database', async () => {
      await using database = await emptyDatabase();
      const pools = await Promise.all(
        Array.from({ length: POOLS }, () => anotherPool(database.url)),
      );
      const processes = Array.from({ length: PROCESSES }, () =>
        runProgram(['migrate'], { DATABASE_URL: database.url }),
      );
      // Processes take a moment to start: the pools go when the first of them is about to.
      const [byPools, byProcesses] = await Promise.all([
        Promise.all(
          pools.map(async ({ db }, index) => {
            await new Promise((resolve) => {
              setTimeout(resolve, index * 50);
            });
            return migrate(db, migrations);
          }),
        ),
        Promise.all(processes),
      ]);
      for (const { code, stderr } of byProcesses)
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const applied = [...byPools, ...byProcesses.map(({ stdout }) => appliedLines(stdout))];
      expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
      const [first] = pools;
      if (first === undefined) throw new Error('no pool');
      expect(await figures(first.db)).toMatchObject({ migrations: migrations.length });
      for (const pool of pools) await pool[Symbol.asyncDispose]();
    });

    it('leaves servers that start at once on a new database with one signing key and one secret', async () => {
      await using database = await emptyDatabase();
      await using folder = await temporaryFolder();
      const env = { DATABASE_URL: database.url, DATA_DIR: folder.path };
      await runProgram(['migrate'], env);
      const servers = await Promise.all(Array.from({ length: 5 }, () => startServer(env)));
      try {
        const sets = await Promise.all(
          servers.map(async ({ httpAddress }) =>
            (await fetch(`http://${httpAddress}/.well-known/jwks.json`)).text(),
          ),
        );
        expect(new Set(sets).size).toBe(1);
        await using pool = await anotherPool(database.url);
        expect(await figures(pool.db)).toMatchObject({ keys: 1, secrets: 1 });
      } finally {
        for (const server of servers) await server[Symbol.asyncDispose]();
      }
    });

    it('is asked for by a server and by `caller` on a database without a schema; neither makes one', async () => {
      await using database = await emptyDatabase();
      await using folder = await temporaryFolder();
      for (const args of [['serve'], ['caller', 'list']]) {
        const { code, stdout, stderr } = await runProgram(args, {
          DATABASE_URL: database.url,
          DATA_DIR: folder.path,
        });
        expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
        expect(stderr).toContain('npm run migrate');
        expect(stderr).not.toMatch(/^ {4}at /m);
      }
      await using pool = await anotherPool(database.url);
      const { rows } = await sql`select from pg_tables where schemaname = 'public'`.execute(
        pool.db,
      );
      expect(rows).toEqual([]);
    });

    it.each([
      [
        'a newer build has migrated it',
        sql`insert into schema_migrations values ('9999-later', 'abc', now())`,
        /9999-later, which this build does not know: it was migrated by a newer build/,
      ],
      [
        'a migration is not the one that was applied',
        sql`update schema_migrations set checksum = 'abc'`,
        /released migrations are frozen/,
      ],
    ])('refuses, as does the server, where %s', async (_what, statement, complaint) => {
      await using database = await emptyDatabase();
      await using folder = await temporaryFolder();
      await using pool = await anotherPool(database.url);
      await migrate(pool.db, migrations);
      await statement.execute(pool.db);
      for (const command of ['serve', 'migrate']) {
        const env = { DATABASE_URL: database.url, DATA_DIR: folder.path };
        const { code, stderr } = await runProgram([command], env);
        expect(code).toBe(1);
        expect(stderr).toMatch(complaint);
        expect(stderr).not.toMatch(/^ {4}at /m);
      }
    });
  },
);
