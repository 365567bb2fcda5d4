import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { type Db, inTransaction } from '../../src/db/index.js';
import { eachDatabase, testDatabase } from '../support/databases.js';

const prepared = sql<{ statement: string }>`
  select statement from pg_prepared_statements where statement like '%prepared here%'`;

eachDatabase('prepared statements', (_, profile) => {
  it('are made of what has parameters, and used again', async () => {
    await using one = await testDatabase({ profile, maxConnections: 1 });
    for (const n of [1, 2, 3]) {
      const { rows } = await sql`select ${n}::int as n -- prepared here`.execute(one.db);
      expect(rows).toEqual([{ n }]);
    }
    expect((await prepared.execute(one.db)).rows).toHaveLength(1);
  });

  it('are made by a run that fails too, and are there for the next one', async () => {
    await using one = await testDatabase({ profile, maxConnections: 1 });
    const divide = (by: number, db: Db = one.db) =>
      sql`select 6 / ${by}::int as n -- prepared here`.execute(db);
    for (let n = 0; n < 2; n += 1) await expect(divide(0)).rejects.toThrow('division by zero');
    await expect(inTransaction(one.db, (tx) => divide(0, tx))).rejects.toThrow('division by zero');
    expect((await divide(3)).rows).toEqual([{ n: 2 }]);
    expect((await prepared.execute(one.db)).rows).toHaveLength(1);
  });

  it('are not made where a pooler cannot keep them', async () => {
    await using one = await testDatabase({
      profile,
      maxConnections: 1,
      prepareStatements: false,
    });
    await sql`select ${1}::int as n -- prepared here`.execute(one.db);
    expect((await prepared.execute(one.db)).rows).toEqual([]);
  });

  it('are limited in number, since a server keeps them all', async () => {
    await using one = await testDatabase({ profile, maxConnections: 1 });
    for (let n = 0; n < 520; n += 1) {
      await sql`select ${n}::int as ${sql.ref(`prepared here ${n}`)}`.execute(one.db);
    }
    const { rows } = await sql<{ n: number }>`
      select count(*) as n from pg_prepared_statements`.execute(one.db);
    expect(rows).toEqual([{ n: 500 }]);
  });

  it('are given up for what a migration has changed, and fail nobody outside a transaction', async () => {
    await using one = await testDatabase({ profile, maxConnections: 1 });
    await sql.raw('create table grown (a int); insert into grown values (1)').execute(one.db);
    const read = (): Promise<{ rows: unknown[] }> =>
      sql`select * from grown where a = ${1}`.execute(one.db);
    await read();
    await sql.raw('alter table grown add column b int').execute(one.db);
    for (let n = 0; n < 2; n += 1) expect((await read()).rows).toEqual([{ a: 1, b: null }]);
  });

  it('fail a transaction that meets one, since it is lost with what it did before', async () => {
    await using one = await testDatabase({ profile, maxConnections: 1 });
    await sql.raw('create table grown (a int); insert into grown values (1)').execute(one.db);
    const read = (db: Db) => sql`select * from grown where a = ${1}`.execute(db);
    await read(one.db);
    await sql.raw('alter table grown add column b int').execute(one.db);
    await expect(inTransaction(one.db, read)).rejects.toThrow('cached plan');
    await expect(inTransaction(one.db, read)).resolves.toBeDefined();
  });
});
