import fc from 'fast-check';
import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { formatArray, parseArray } from '../../src/db/array-text.js';
import { inTransaction, isCancelled, isUnavailable, uniqueViolation } from '../../src/db/index.js';
import { eachDatabase, testDatabase } from '../support/databases.js';

const MOMENT = new Date('2026-02-03T04:05:06.789Z');
const ID = '0190a5a0-0000-7000-8000-000000000001';

/** [type, parameter, what must come back]: the one table that both drivers answer alike. */
const ROUND_TRIPS: readonly (readonly [type: string, sent: unknown, back: unknown])[] = [
  ['int2', 7, 7],
  ['int4', -2_147_483_648, -2_147_483_648],
  ['int8', Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ['int8', 12n, 12],
  ['float8', 0.1, 0.1],
  ['bool', true, true],
  ['bool', false, false],
  ['text', 'it\'s "ṣụ̀" \\ 👍\n', 'it\'s "ṣụ̀" \\ 👍\n'],
  ['text', '', ''],
  ['text', null, null],
  ['uuid', ID, ID],
  ['bytea', Buffer.from([0, 1, 92, 255]), Buffer.from([0, 1, 92, 255])],
  ['bytea', new Uint8Array([9, 8]), Buffer.from([9, 8])],
  ['bytea', Buffer.alloc(0), Buffer.alloc(0)],
  ['timestamptz', MOMENT, MOMENT],
  ['timestamptz', new Date('1969-12-31T23:59:59.001Z'), new Date('1969-12-31T23:59:59.001Z')],
  ['jsonb', '{"a": [1, null, "x"]}', { a: [1, null, 'x'] }],
  ['jsonb', '"text"', 'text'],
  [
    'text[]',
    ['a', 'b,c', '"', '\\', '', 'null', '{}', null],
    ['a', 'b,c', '"', '\\', '', 'null', '{}', null],
  ],
  ['text[]', [], []],
  ['uuid[]', [ID], [ID]],
  ['int8[]', [1, 2], [1, 2]],
  ['bool[]', [true, false], [true, false]],
  ['bytea[]', [Buffer.from([1]), Buffer.from([255, 0])], [Buffer.from([1]), Buffer.from([255, 0])]],
  ['timestamptz[]', [MOMENT], [MOMENT]],
  ['numeric', '1.50', '1.50'],
  ['date', '2026-02-03', '2026-02-03'],
];

eachDatabase('values and errors', (database, profile) => {
  it.each(ROUND_TRIPS)('carries %s there and back', async (type, sent, back) => {
    const { db } = database();
    const { rows } = await sql<{ value: unknown }>`
      select ${sent}::${sql.raw(type)} as value`.execute(db);
    expect(rows).toEqual([{ value: back }]);
    expect(Buffer.isBuffer(rows[0]?.value)).toBe(Buffer.isBuffer(back));
  });

  it('carries any text, except the NUL that PostgreSQL refuses', async () => {
    const { db } = database();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme' }), async (text) => {
        const { rows } = await sql<{ value: string }>`select ${text}::text as value`.execute(db);
        expect(rows[0]?.value).toBe(text);
      }),
      { numRuns: 60 },
    );
    await expect(sql`select ${'a\0b'}::text`.execute(db)).rejects.toThrow(/0x00|null/i);
  });

  it('refuses a number that int8 holds and a number does not', async () => {
    const { db } = database();
    await expect(sql`select 9007199254740993::int8 as n`.execute(db)).rejects.toThrow(RangeError);
    await expect(sql`select 'infinity'::timestamptz as t`.execute(db)).rejects.toThrow(/range/);
    expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
  });

  it.each([[undefined], [{ a: 1 }], [Number.NaN], [Symbol('s')]])(
    'refuses %s as a parameter',
    async (value) => {
      await expect(sql`select ${value}`.execute(database().db)).rejects.toThrow(TypeError);
    },
  );

  it('counts the rows of a writing statement, and answers the last of several', async () => {
    const { db } = database();
    await sql
      .raw('create table counted (n int); insert into counted values (1), (2), (3)')
      .execute(db);
    const updated = await sql`update counted set n = n + ${1} where n > ${1}`.execute(db);
    expect(updated.numAffectedRows).toBe(2n);
    const last = await sql.raw('select 1 as a; select 2 as b').execute(db);
    expect(last.rows).toEqual([{ b: 2 }]);
    const none = await sql`select n from counted where n > 100`.execute(db);
    expect([none.numAffectedRows, none.rows]).toEqual([undefined, []]);
  });

  it('names the violated constraint, and keeps the values out of the error (rule 22)', async () => {
    const { db } = database();
    await sql.raw('create table once (v text constraint once_v unique)').execute(db);
    const insert = (): Promise<unknown> =>
      sql`insert into once values (${'+84900000001'})`.execute(db);
    await insert();
    const error = await insert().catch((e: unknown) => e);
    expect(uniqueViolation(error)).toBe('once_v');
    expect(isUnavailable(error)).toBe(false);
    expect(isCancelled(error)).toBe(false);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('84900000001');
    expect(
      uniqueViolation(await sql`select 1/0`.execute(db).catch((e: unknown) => e)),
    ).toBeUndefined();
  });

  it('rolls back what a thrown error leaves, and goes on', async () => {
    const { db } = database();
    await sql.raw('create table kept (n int)').execute(db);
    const failed = inTransaction(db, async (tx) => {
      await sql`insert into kept values (${1})`.execute(tx);
      throw new Error('half way');
    });
    await expect(failed).rejects.toThrow('half way');
    await inTransaction(db, (tx) => sql`insert into kept values (${2})`.execute(tx));
    expect((await sql`select n from kept`.execute(db)).rows).toEqual([{ n: 2 }]);
  });

  it('says so when a swallowed error has undone the transaction', async () => {
    const { db } = database();
    const swallowed = inTransaction(db, async (tx) => {
      await sql`select 1/0`.execute(tx).catch(() => {});
    });
    await expect(swallowed).rejects.toThrow('nothing was committed');
    expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
  });

  it('does not wait for ever for a connection that a caller keeps from itself', async () => {
    await using small = await testDatabase({ profile, maxConnections: 1, connectTimeoutMs: 50 });
    const { db } = small;
    const inside = inTransaction(db, () => sql`select 1`.execute(db));
    const error = await inside.catch((e: unknown) => e);
    expect(isUnavailable(error)).toBe(true);
    expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
  });

  it('serves many callers at once, transactions among them', async () => {
    const { db } = database();
    await sql.raw('create table sums (n int); insert into sums values (0)').execute(db);
    await Promise.all(
      Array.from({ length: 40 }, () =>
        inTransaction(db, async (tx) => {
          await sql`update sums set n = n + ${1}`.execute(tx);
          await sql`update sums set n = n + ${1}`.execute(tx);
        }),
      ),
    );
    expect((await sql`select n from sums`.execute(db)).rows).toEqual([{ n: 80 }]);
  });

  it('refuses at once when too many wait, and calls it unavailable', async () => {
    await using small = await testDatabase({ profile, maxWaiting: 1, maxConnections: 1 });
    let leave: () => void = () => {};
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    let busy: Promise<void> = Promise.resolve();
    await new Promise<void>((entered) => {
      busy = inTransaction(small.db, () => {
        entered();
        return left;
      });
    });
    const calls = Array.from({ length: 3 }, () => sql`select 1`.execute(small.db));
    setTimeout(leave, 50);
    const outcomes = await Promise.allSettled(calls);
    await busy;
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(2);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(isUnavailable(outcome.reason)).toBe(true);
    }
  });
});

it('does not compile with a plain handle where a transaction is required', async () => {
  await using database = await testDatabase({ profile: 'embedded' });
  const writer = async (tx: import('../../src/db/index.js').Tx): Promise<boolean> =>
    tx.isTransaction;
  // @ts-expect-error a Db is not a Tx
  expect(await writer(database.db)).toBe(false);
  expect(await inTransaction(database.db, writer)).toBe(true);
});

it('writes array literals that it reads back unchanged', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.string({ unit: 'binary' }))), (elements) => {
      expect(parseArray(formatArray(elements), (text) => text)).toEqual(elements);
    }),
  );
  expect(() => parseArray('{{1},{2}}', Number)).toThrow('dimension');
  expect(() => parseArray('[2:3]={1,2}', Number)).toThrow('bounds');
});
