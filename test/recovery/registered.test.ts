import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import { codeFor, delivered, failuresOf, type House, openHouse } from '../accounts/house.js';
import { eachDatabase, testDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import {
  ask,
  lastInOutbox,
  NEW_PASSWORD,
  type Recoverer,
  setStatus,
  withBoth,
} from './recovering.js';

const COOLDOWN = { seconds: 61 };
const REGISTERED = { RECOVERY_DELIVERY: 'registered' };

eachDatabase('asking for a password reset, registered delivery', (database, profile) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = await house.open(REGISTERED);
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const identifiers = (
    person: Recoverer,
    type: 'email' | 'phone',
    change: ReturnType<typeof sql>,
  ) =>
    sql`update identifiers set ${change}
      where account_id = ${person.accountId}::uuid and type = ${type}`.execute(app.db);
  const remove = (person: Recoverer, type: 'email' | 'phone', at = app) =>
    sql`delete from identifiers where account_id = ${person.accountId}::uuid and type = ${type}`.execute(
      at.db,
    );
  /** Which of the account's addresses got the messages since. */
  const reached = async (person: Recoverer, work: () => Promise<unknown>, at = app) => {
    await delivered(at);
    const before = at.mailbox.messages.length;
    await work();
    await delivered(at);
    return at.mailbox.messages
      .slice(before)
      .map(({ to }) => ({ [person.email]: 'email', [person.phone]: 'phone' })[to] ?? to);
  };

  describe('takes the first channel that the account has proven (R3)', () => {
    const lapse = sql`state = 'lapsed'`;
    const contact = sql`state = 'contact', sign_in_enabled = false`;
    const dispute = sql`state = 'disputed', sign_in_enabled = false`;
    const demote = sql`sign_in_enabled = false, kept_demoted = true`;
    const cases: readonly [
      string,
      readonly string[],
      (person: Recoverer) => Promise<unknown>,
      Readonly<Record<string, string>>,
    ][] = [
      ['both', ['phone'], async () => undefined, {}],
      ['no phone', ['email'], (person) => remove(person, 'phone'), {}],
      ['a lapsed phone', ['email'], (person) => identifiers(person, 'phone', lapse), {}],
      ['a disputed phone', ['email'], (person) => identifiers(person, 'phone', dispute), {}],
      [
        'a phone that does not sign in',
        ['phone'],
        (person) => identifiers(person, 'phone', demote),
        {},
      ],
      [
        'a phone that is a contact',
        ['phone'],
        (person) => identifiers(person, 'phone', contact),
        {},
      ],
      [
        'both, email first',
        ['email'],
        async () => undefined,
        { RECOVERY_CHANNEL_ORDER: 'email,sms' },
      ],
      ['both, email alone', ['email'], async () => undefined, { RECOVERY_CHANNEL_ORDER: 'email' }],
      [
        'no phone, SMS alone',
        [],
        (person) => remove(person, 'phone'),
        { RECOVERY_CHANNEL_ORDER: 'sms' },
      ],
      [
        'neither',
        [],
        async (person) => {
          await remove(person, 'phone');
          await remove(person, 'email');
        },
        {},
      ],
    ];
    it.each(cases)('%s: by %j', async (_, channels, prepare, order) => {
      const at = await house.open({ ...REGISTERED, ...order });
      const person = await withBoth(app);
      await prepare(person);
      expect(await reached(person, () => ask(at, person.username), at)).toEqual(channels);
    });

    it.each(['email', 'phone'] as const)('whichever identifier was typed: %s', async (typed) => {
      const person = await withBoth(app);
      expect(await reached(person, () => ask(app, person[typed]))).toEqual(['phone']);
    });

    it('but nothing by an identifier that is only claimed, or has lapsed', async () => {
      const person = await withBoth(app);
      await identifiers(person, 'email', sql`state = 'lapsed'`);
      const claimed = unique.email();
      await signUp(app, { email: claimed });
      expect(await reached(person, () => ask(app, person.email))).toEqual([]);
      expect(await reached(person, () => ask(app, claimed))).toEqual([]);
    });

    it('and tells a blocked account there that its password cannot be reset', async () => {
      const person = await withBoth(app);
      await setStatus(app, person.accountId, 'blocked');
      expect(await reached(person, () => ask(app, person.username))).toEqual(['phone']);
      expect(app.mailbox.messages.at(-1)?.text).toContain('cannot be reset now');
    });
  });

  describe('chooses anew at each send', () => {
    it('so that a channel removed after a failed attempt gets nothing', async () => {
      // By itself: whichever replica takes the request up again must deliver by the same rule.
      await using own = await testDatabase({ profile });
      await using alone = await startTestApp({ database: own, env: REGISTERED });
      const person = await withBoth(alone);
      const lost = async () => {
        const { attempts } = alone.mailbox;
        alone.mailbox.failNext(1);
        await ask(alone, person.username);
        await vi.waitFor(() => expect(alone.mailbox.attempts).toBeGreaterThan(attempts));
        await remove(person, 'phone', alone);
      };
      expect(await reached(person, lost, alone)).toEqual(['email']);
      expect(await lastInOutbox(alone)).toMatchObject({ state: 'sent', attempts: 1 });
    });

    it('so that the same flow, asked again, goes to the channel that there is by then', async () => {
      const person = await withBoth(app);
      const { challengeId } = await ask(app, person.username);
      await codeFor(app, person.phone);
      await identifiers(person, 'phone', sql`state = 'lapsed'`);
      app.clock.advance(COOLDOWN);
      expect(await reached(person, () => ask(app, person.username, challengeId))).toEqual([
        'email',
      ]);
      const code = await codeFor(app, person.email);
      const { resetToken } = await app.auth.verifyPasswordResetCode({ challengeId, code });
      await app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD });
    });

    it('so that a code is dead when its channel is removed before it is typed', async () => {
      const person = await withBoth(app);
      const { challengeId } = await ask(app, person.username);
      const code = await codeFor(app, person.phone);
      await remove(person, 'phone');
      const verify = app.auth.verifyPasswordResetCode({ challengeId, code });
      expect(await outcomeOf(verify)).toBe('CODE_EXPIRED');
    });
  });

  it('recovers by the email that the code went to, and counts its guesses as everybody’s (R1)', async () => {
    const person = await withBoth(app);
    await remove(person, 'phone');
    const { challengeId } = await ask(app, person.username);
    const code = await codeFor(app, person.email);
    const verify = (text: string) =>
      outcomeOf(app.auth.verifyPasswordResetCode({ challengeId, code: text }));
    expect(await verify(code === '000000' ? '000001' : '000000')).toBe('CODE_INVALID');
    const anonymous = { channel: 'sms', lane: 'anonymous' } as const;
    expect(await failuresOf(app, person.accountId, anonymous)).toMatchObject({ failures: 1 });
    const { resetToken } = await app.auth.verifyPasswordResetCode({ challengeId, code });
    expect(await failuresOf(app, person.accountId, anonymous)).toMatchObject({ failures: 0 });
    await app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD });
    await app.auth.signIn({ identifier: person.username, password: NEW_PASSWORD });
  });

  it('answers the same for whatever is typed, and says neither channel nor destination (R4)', async () => {
    const person = await withBoth(app);
    const blocked = await withBoth(app);
    await setStatus(app, blocked.accountId, 'blocked');
    const bare = await signUp(app);
    const typed = [
      person.username,
      person.email,
      person.phone,
      blocked.username,
      bare.username,
      unique.username(),
      unique.email(),
      unique.phone(),
      'x\0y',
      'no such — 🙂',
      '@@',
      "' or 1 = 1",
      'a'.repeat(50_000),
    ];
    for (const identifier of typed) {
      const { challengeId, expireTime, resendTime, ...shown } = await ask(app, identifier);
      expect(shown).toEqual({
        channel: Channel.UNSPECIFIED,
        maskedDestination: '',
        retryAfter: undefined,
      });
      expect(challengeId).toMatch(/^[0-9a-f-]{36}$/);
      expect(Math.round((Number(expireTime) - Number(resendTime)) / 1_000)).toBe(240);
      const verify = app.auth.verifyPasswordResetCode({ challengeId, code: '000000' });
      await expect(verify).rejects.toMatchObject({
        reason: 'CODE_INVALID',
        metadata: { field: 'code', attempts_left: '4' },
      });
    }
    await delivered(app);
    expect(await outcomeOf(ask(app, ''))).toBe('FIELD_INVALID');
  });

  it('does not take what only resembles a username for it', async () => {
    const person = await withBoth(app);
    const near = [`${person.username} `, `${person.username}\0`, ` ${person.username}`];
    for (const identifier of near)
      expect(await reached(person, () => ask(app, identifier))).toEqual([]);
    expect(await reached(person, () => ask(app, person.username.toUpperCase()))).toEqual(['phone']);
  });
});
