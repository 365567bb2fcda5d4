import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import {
  checkSchema,
  type Database,
  type Migration,
  MigrationError,
  migrate,
  openDatabase,
} from '../../src/db/index.js';
import { describePostgres, silentLog, testDatabase } from '../support/databases.js';

const run = promisify(execFile);

const first: Migration = {
  name: '0001-first',
  sql: 'create table first (n int); insert into first values (1)',
};
const second: Migration = { name: '0002-second', sql: 'create table second (n int)' };
const third: Migration = { name: '0003-third', sql: 'create table third (n int)' };

const empty = (): Promise<Database> => openDatabase({ dataDir: 'memory:' }, { log: silentLog });

describe('migrate', () => {
  it('applies what is missing, in order, once', async () => {
    await using database = await empty();
    expect(await checkSchema(database.db, [first])).toEqual({
      fits: false,
      problem: 'The database has no schema yet: run `npm run migrate`.',
    });
    expect(await migrate(database.db, [first])).toEqual(['0001-first']);
    expect(await checkSchema(database.db, [first])).toEqual({ fits: true });
    expect(await checkSchema(database.db, [first, second])).toEqual({
      fits: false,
      problem: 'The database lacks 0002-second: run `npm run migrate`.',
    });
    expect(await migrate(database.db, [first, second])).toEqual(['0002-second']);
    expect(await migrate(database.db, [first, second])).toEqual([]);
  });

  it('refuses a released migration whose text has changed', async () => {
    await using database = await empty();
    await migrate(database.db, [first]);
    const edited = { ...first, sql: `${first.sql};` };
    await expect(migrate(database.db, [edited, second])).rejects.toThrow(MigrationError);
    await expect(migrate(database.db, [edited])).rejects.toThrow('0001-first is not the one');
    expect(await checkSchema(database.db, [edited])).toMatchObject({ fits: false });
    const crlf = { ...second, sql: 'create table second\n(n int)' };
    await migrate(database.db, [first, crlf]);
    const checkedOut = { ...crlf, sql: crlf.sql.replace('\n', '\r\n') };
    expect(await checkSchema(database.db, [first, checkedOut])).toEqual({ fits: true });
  });

  it('refuses a database that a newer build has migrated', async () => {
    await using database = await empty();
    await migrate(database.db, [first, second]);
    await expect(migrate(database.db, [first])).rejects.toThrow(
      '0002-second, which this build does not know',
    );
    const check = await checkSchema(database.db, [first]);
    expect(check).toMatchObject({ fits: false, problem: expect.stringContaining('newer build') });
  });

  it('refuses a migration that slips in before an applied one, and a list out of order', async () => {
    await using database = await empty();
    await migrate(database.db, [first, third]);
    await expect(migrate(database.db, [first, second, third])).rejects.toThrow('later number');
    await expect(migrate(database.db, [second, first])).rejects.toThrow('out of order');
  });

  it('leaves nothing of a run that fails half way', async () => {
    await using database = await empty();
    const broken = { name: '0002-broken', sql: 'create table partly (n int); select 1/0' };
    await expect(migrate(database.db, [first, broken])).rejects.toThrow('division by zero');
    const { rows } = await sql`
      select relname from pg_class where relnamespace = 'public'::regnamespace`.execute(
      database.db,
    );
    expect(rows).toEqual([]);
  });
});

describePostgres('many processes that migrate at once', (database) => {
  it('apply everything exactly once, 6 processes with 20 connections', async () => {
    const { db, url } = database();
    await sql.raw('drop schema public cascade; create schema public').execute(db);
    const module = new URL('../../src/db/index.ts', import.meta.url).href;
    const slow = [first, second, { ...third, sql: `${third.sql}; select pg_sleep(0.3)` }];
    const program = `
      import { migrate, openDatabase } from ${JSON.stringify(module)};
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      const run = async () => {
        const database = await openDatabase({ url: ${JSON.stringify(url)} }, { log });
        const applied = await migrate(database.db, ${JSON.stringify(slow)});
        await database[Symbol.asyncDispose]();
        return applied;
      };
      const applied = await Promise.all([run(), run(), run(), ...(process.argv[1] === 'more' ? [run()] : [])]);
      process.stdout.write(JSON.stringify(applied.flat()));`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', program];
    const outputs = await Promise.all(
      Array.from({ length: 6 }, (_, n) => run(process.execPath, [...args, n < 2 ? 'more' : 'no'])),
    );
    const applied = outputs.flatMap(({ stdout }) => JSON.parse(stdout) as string[]);
    expect(applied.sort()).toEqual(['0001-first', '0002-second', '0003-third']);
    expect((await sql`select n from first`.execute(db)).rows).toEqual([{ n: 1 }]);
    expect(await checkSchema(db, slow)).toEqual({ fits: true });
  });

  it('may take longer than a statement may', async () => {
    await using hasty = await testDatabase({ profile: 'postgres', statementTimeoutMs: 100 });
    await sql.raw('drop schema public cascade; create schema public').execute(hasty.db);
    const long = { name: '0001-long', sql: 'select pg_sleep(0.4)' };
    expect(await migrate(hasty.db, [long])).toEqual(['0001-long']);
  });
});
