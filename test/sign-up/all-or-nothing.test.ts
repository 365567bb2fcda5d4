import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { delivered, type House, openHouse, refusalOf } from '../accounts/house.js';
import { grown, rowCounts } from '../accounts/rows.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

/** Each kind of row that the statement writes, by a condition on the new row. */
const faults: readonly (readonly [table: string, when: string])[] = [
  ['accounts', 'true'],
  ['profiles', 'true'],
  ['account_settings', 'true'],
  ['organizations', 'true'],
  ['role_assignments', 'true'],
  ['identifiers', "new.type = 'username'"],
  ['identifiers', "new.type = 'email'"],
  ['identifiers', "new.type = 'phone'"],
  ['challenges', "new.channel = 'email'"],
  ['challenges', "new.channel = 'sms'"],
  ['outbox', "new.channel = 'email'"],
  ['outbox', "new.channel = 'sms'"],
  ['sessions', 'true'],
  // Access events are written by themselves, and meant to tell of the failure.
  ['audit_events', "new.kind = 'change'"],
  ['idempotency_keys', 'true'],
];

const DETAIL = 'a fault that the test has put there';

eachDatabase('SignUp under a fault', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
    await sql`create function fail() returns trigger language plpgsql as
      ${sql.lit(`begin raise exception '${DETAIL}'; end`)}`.execute(app.db);
  });
  afterAll(() => house[Symbol.asyncDispose]());

  it('knows every table that a sign-up writes', async () => {
    const before = await rowCounts(app.db);
    await app.auth.signUp(everything());
    const written = Object.keys(grown(before, await rowCounts(app.db)));
    expect(written.sort()).toEqual([...new Set(faults.map(([table]) => table))].sort());
  });

  it.each(faults)('leaves nothing of any kind when %s fails (A1; %s)', async (table, when) => {
    await delivered(app);
    const before = await rowCounts(app.db);
    const sends = app.mailbox.attempts;
    const request = everything();
    const target = sql.table(table);
    await sql`create trigger fail before insert on ${target} for each row when (${sql.raw(when)})
      execute function fail()`.execute(app.db);
    try {
      const refused = await refusalOf(app.auth.signUp(request));
      expect(refused).toMatchObject({
        reason: 'INTERNAL',
        codeName: 'INTERNAL',
        violations: [],
        retryAfter: undefined,
      });
      expect(Object.keys(refused.metadata)).toEqual(['reference']);
      expect(refused.metadata['reference']).toMatch(/^[0-9a-f-]{36}$/);
      expect(`${refused.message} ${JSON.stringify(refused.metadata)}`).not.toMatch(
        /fault|trigger|insert|sql/i,
      );
    } finally {
      await sql`drop trigger fail on ${target}`.execute(app.db);
    }
    expect(grown(before, await rowCounts(app.db))).toEqual({});
    expect(app.mailbox.attempts).toBe(sends);
    // Neither the name nor the request id is spent: the same call, repeated, is a first one.
    const { account, challenges } = await app.auth.signUp(request);
    expect(account?.identifiers).toHaveLength(3);
    expect(challenges).toHaveLength(2);
  });
});

function everything() {
  return {
    username: unique.username(),
    password: PASSWORD,
    email: unique.email(),
    phoneNumber: unique.phone(),
    displayName: 'Lan',
    organizationName: 'Bánh mì',
    locale: 'vi',
    requestId: randomUUID(),
  };
}
