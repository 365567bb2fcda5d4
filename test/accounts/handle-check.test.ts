import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { banner } from '../../src/cli/banner.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { PASSWORD } from '../support/people.js';
import { type Member, member, signsInTo } from './changes.js';
import { delivered, type House, messagesTo, openHouse, refusalOf } from './house.js';

/** The unique indexes behind sign-in, as a migration makes them. */
const WHOLE = {
  identifiers_holder:
    "create unique index identifiers_holder on identifiers (type, value) where state in ('verified', 'lapsed')",
  identifiers_handle:
    'create unique index identifiers_handle on identifiers (type, value) where sign_in_enabled',
} as const;
type Index = keyof typeof WHOLE;

/** What may have become of one by the time that a process starts; undefined: it is gone. */
const damages: readonly (readonly [Index, string, string | undefined])[] = [
  ['identifiers_handle', 'is missing', undefined],
  ['identifiers_holder', 'is missing', undefined],
  ['identifiers_handle', 'is not unique', WHOLE.identifiers_handle.replace('unique', '')],
  ['identifiers_handle', 'leaves rows out', `${WHOLE.identifiers_handle} and type = 'phone'`],
  [
    'identifiers_holder',
    'has one column more',
    WHOLE.identifiers_holder.replace('value)', 'value, account_id)'),
  ],
  [
    'identifiers_holder',
    'is not valid',
    `${WHOLE.identifiers_holder};
      update pg_index set indisvalid = false where indexrelid = 'identifiers_holder'::regclass`,
  ],
];

eachDatabase('the unique indexes behind sign-in, at the start of a process', (database) => {
  let house: House;
  let person: Member;
  beforeAll(async () => {
    house = await openHouse(database());
  });
  beforeEach(async () => {
    person = await member(house.app);
    await delivered(house.app);
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const run = async (statements: string) => {
    for (const statement of statements.split(';')) await sql.raw(statement).execute(house.app.db);
  };
  afterEach(async () => {
    for (const [name, statement] of Object.entries(WHOLE))
      await run(`drop index if exists ${name}; ${statement}`);
  });

  /** A process that starts now, and what it warns of. */
  const start = async () => {
    const warnings: unknown[] = [];
    const warn = (fields: object, text: string) => void warnings.push({ ...fields, text });
    return { app: await house.open({}, { log: { ...silentLog, warn } }), warnings };
  };

  it.each(damages)(
    '%s %s: nobody signs in by email or phone, and a warning names it',
    async (index, _, made) => {
      await run(`drop index ${index}`);
      if (made !== undefined) await run(made);
      const { app, warnings } = await start();
      expect(app.app.missingIndexes).toEqual([index]);
      expect(banner(app.config, app.app)).toContain(
        `by username alone: ${index} missing or not valid`,
      );
      expect(warnings).toContainEqual({
        missing: [index],
        text: 'nobody signs in by email or phone: a unique index is missing',
      });
      for (const identifier of [person.email, person.phone])
        expect((await refusalOf(app.auth.signIn({ identifier, password: PASSWORD }))).reason).toBe(
          'CREDENTIALS_INVALID',
        );
      expect(await signsInTo(app, person.username)).toBe(person.accountId);
      // As with PHONE_SIGN_IN=off: the answer is as ever, and no code comes.
      const before = await messagesTo(app, person.phone);
      app.clock.advance({ seconds: 61 });
      const { challenge } = await app.auth.requestPhoneSignIn({ phoneNumber: person.phone });
      expect(challenge?.challengeId).not.toBe('');
      expect(await messagesTo(app, person.phone)).toEqual(before);
    },
  );

  it('are not missed where they are: everybody signs in, and nothing is said', async () => {
    const { app, warnings } = await start();
    expect(app.app.missingIndexes).toEqual([]);
    expect(banner(app.config, app.app)).not.toContain('by username alone');
    expect(warnings).toEqual([]);
    for (const identifier of [person.username, person.email, person.phone])
      expect(await signsInTo(app, identifier)).toBe(person.accountId);
    app.clock.advance({ seconds: 61 });
    await app.auth.requestPhoneSignIn({ phoneNumber: person.phone });
    expect(await messagesTo(app, person.phone)).toHaveLength(2);
  });

  it('close a phone sign-in that was begun before: its code opens nothing', async () => {
    house.app.clock.advance({ minutes: 2 });
    const { challenge } = await house.app.auth.requestPhoneSignIn({ phoneNumber: person.phone });
    await delivered(house.app);
    const code = house.app.mailbox.codeFor(person.phone);
    await run('drop index identifiers_handle');
    const { app } = await start();
    const complete = app.auth.completePhoneSignIn({
      challengeId: challenge?.challengeId ?? '',
      code,
    });
    expect((await refusalOf(complete)).reason).toBe('CREDENTIALS_INVALID');
  });
});
