import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { type Database, inTransaction, openDatabase } from '../../src/db/index.js';
import { postgresUrl, silentLog } from '../support/databases.js';
import { describePooled, startPrivatePgbouncer } from '../support/private-pgbouncer.js';
import { pooledDatabase } from './pooled.js';

/** More than there are server connections, so that each statement meets every one of them. */
async function manyAtOnce(database: Database): Promise<void> {
  const results = await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      sql<{ n: number }>`select ${n}::int as n, pg_sleep(${0.002})`.execute(database.db),
    ),
  );
  expect(results.map(({ rows }) => rows[0]?.n)).toEqual(Array.from({ length: 60 }, (_, n) => n));
}

function listeningLog() {
  const errors: string[] = [];
  return {
    errors,
    log: { ...silentLog, error: (_: object, text: string) => void errors.push(text) },
  };
}

describePooled('prepared statements behind PgBouncer', {}, () => {
  it.each([
    { kept: '500', prepareStatements: true },
    { kept: '500', prepareStatements: false },
    { kept: '0', prepareStatements: false },
  ])(
    'meet no failure: max_prepared_statements=$kept, prepared: $prepareStatements',
    async ({ kept, prepareStatements }) => {
      await using pooler = await startPrivatePgbouncer(postgresUrl(), {
        max_prepared_statements: kept,
      });
      const { errors, log } = listeningLog();
      const url = pooler.through(postgresUrl());
      await using database = await openDatabase({ url }, { log, prepareStatements });
      await manyAtOnce(database);
      expect(errors).toEqual([]);
    },
  );

  it('that the pooler loses are said once, with the setting to change, and fail no statement', async () => {
    await using pooler = await startPrivatePgbouncer(postgresUrl(), {
      max_prepared_statements: '0',
    });
    const { errors, log } = listeningLog();
    const url = pooler.through(postgresUrl());
    await using first = await openDatabase({ url }, { log });
    await manyAtOnce(first);
    expect(errors).toEqual([expect.stringContaining('DATABASE_PREPARED_STATEMENTS=off')]);
    // A transaction cannot be begun anew from here; none after the first loss meets one.
    await inTransaction(first.db, (tx) => sql`select ${1}::int`.execute(tx));
  });

  it('go on after a migration has changed what they return, though the pooler still knows them', async () => {
    await using place = await pooledDatabase();
    const { errors, log } = listeningLog();
    await sql
      .raw('create table grown (a int); insert into grown values (1)')
      .execute(place.direct.db);
    await using old = await openDatabase({ url: place.pooled.url }, { log });
    const read = async (database: Database): Promise<unknown> =>
      (await sql`select * from grown where a = ${1}`.execute(database.db)).rows;
    await read(old);
    await sql.raw('alter table grown add column b int').execute(place.direct.db);
    expect(await read(old)).toEqual([{ a: 1, b: null }]);
    await using young = await openDatabase({ url: place.pooled.url }, { log });
    for (let n = 0; n < 5; n += 1) expect(await read(young)).toEqual([{ a: 1, b: null }]);
    expect(errors).toEqual([]);
  });
});
