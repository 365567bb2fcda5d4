import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressesOf, codeFor, delivered, type House, openHouse } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  ask,
  channelOf,
  heldBy,
  lastInOutbox,
  NEW_PASSWORD,
  proven,
  type Recoverer,
  recover,
  tokenFor,
  withBoth,
} from './recovering.js';

eachDatabase('what a reset does to the ways into the account', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const identifiers = (
    { accountId }: { accountId: string },
    type: string,
    change: ReturnType<typeof sql>,
  ) =>
    sql`update identifiers set ${change} where account_id = ${accountId}::uuid and type = ${type}`.execute(
      app.db,
    );
  const shown = async (person: { accountId: string }) =>
    Object.fromEntries(
      (await addressesOf(app, person.accountId)).map((row) => [
        row.type,
        `${row.state}${row.sign_in_enabled ? ', signs in' : ''}`,
      ]),
    );
  const usernameSignsIn = async ({ accountId }: { accountId: string }) => {
    const { rows } = await sql<{ sign_in_enabled: boolean; kept_demoted: boolean }>`
      select sign_in_enabled, kept_demoted from identifiers
      where account_id = ${accountId}::uuid and type = 'username'`.execute(app.db);
    return rows[0];
  };
  const signIn = (identifier: string, password = NEW_PASSWORD) =>
    outcomeOf(app.auth.signIn({ identifier, password }));

  /** `by` is how the reset is done; the other channel is looked at. */
  describe.each([
    { by: 'email', other: 'phone' },
    { by: 'phone', other: 'email' },
  ] as const)('by $by, to the $other', ({ by, other }) => {
    const cases: readonly [string, string | undefined, (person: Recoverer) => Promise<unknown>][] =
      [
        [
          'proven 29 days ago: lapses',
          'lapsed',
          ({ accountId }) => proven(app, accountId, { daysAgo: 29, type: other }),
        ],
        ['proven 31 days ago: stays', 'verified, signs in', async () => undefined],
        [
          'vouched for by an operator: lapses, however long ago',
          'lapsed',
          ({ accountId }) => proven(app, accountId, { daysAgo: 400, by: 'operator', type: other }),
        ],
        [
          'a fresh contact: falls, since it holds nothing against others',
          undefined,
          async (person) => {
            await proven(app, person.accountId, { daysAgo: 1, type: other });
            await identifiers(person, other, sql`state = 'contact', sign_in_enabled = false`);
          },
        ],
        [
          'an old contact: stays',
          'contact',
          (person) => identifiers(person, other, sql`state = 'contact', sign_in_enabled = false`),
        ],
        [
          'lapsed, fresh, and still marked for signing in: the mark goes',
          'lapsed',
          async (person) => {
            await proven(app, person.accountId, { daysAgo: 1, type: other });
            await identifiers(person, other, sql`state = 'lapsed'`);
          },
        ],
      ];
    it.each(cases)('%s', async (_, state, prepare) => {
      const person = await withBoth(app);
      await prepare(person);
      await recover(app, person[by]);
      const after = await shown(person);
      expect(after[other]).toBe(state);
      expect(after[by]).toBe('verified, signs in');
      const works = state === 'verified, signs in';
      expect(await signIn(person[other])).toBe(works ? 'OK' : 'CREDENTIALS_INVALID');
      await ask(app, person[other]);
      const recovers = works || state === 'contact';
      expect((await lastInOutbox(app))?.state).toBe(recovers ? 'sent' : 'dropped');
      expect(await usernameSignsIn(person)).toMatchObject({ sign_in_enabled: true });
    });

    it('the channel that the code went to stays, however fresh', async () => {
      const person = await withBoth(app, 1);
      await recover(app, person[by]);
      expect(await shown(person)).toEqual({ [by]: 'verified, signs in', [other]: 'lapsed' });
    });

    it('one that lapsed is proven again by its owner, and then signs in and recovers', async () => {
      const person = await withBoth(app, 1);
      await recover(app, person[by]);
      const again = await app.auth.signIn({ identifier: person.username, password: NEW_PASSWORD });
      const session = { accessToken: again.tokens?.accessToken ?? '' };
      app.clock.advance({ seconds: 61 });
      const on = other === 'email' ? channelOf.email : channelOf.sms;
      const { challengeId } = await on.send(app, session, person[other]);
      await on.confirm(app, { challengeId, code: await codeFor(app, person[other]) }, session);
      expect((await shown(person))[other]).toBe('verified, signs in');
      expect(await signIn(person[other])).toBe('OK');
    });
  });

  it('enables the username again, if nothing else would sign in', async () => {
    const person = await heldBy(app, channelOf.email);
    await identifiers(person, 'email', sql`sign_in_enabled = false, kept_demoted = true`);
    await proven(app, person.accountId, { daysAgo: 1 });
    await identifiers(person, 'username', sql`sign_in_enabled = false, kept_demoted = true`);
    await recover(app, person.address);
    expect(await usernameSignsIn(person)).toEqual({ sign_in_enabled: true, kept_demoted: false });
    expect(await signIn(person.username)).toBe('OK');
    expect(await signIn(person.address)).toBe('CREDENTIALS_INVALID');
  });

  it('leaves a username that was switched off, where another way in is left', async () => {
    const person = await heldBy(app, channelOf.email);
    await identifiers(person, 'username', sql`sign_in_enabled = false, kept_demoted = true`);
    await recover(app, person.address);
    expect(await usernameSignsIn(person)).toEqual({ sign_in_enabled: false, kept_demoted: true });
    expect(await signIn(person.address)).toBe('OK');
    expect(await signIn(person.username)).toBe('CREDENTIALS_INVALID');
  });

  it('enables the username where the only other way in lapses', async () => {
    const person = await withBoth(app, 1);
    await identifiers(person, 'username', sql`sign_in_enabled = false, kept_demoted = true`);
    await identifiers(person, 'email', sql`sign_in_enabled = false`);
    await recover(app, person.email);
    expect(await usernameSignsIn(person)).toMatchObject({ sign_in_enabled: true });
  });

  describe('lifts the locks of the account (rule 16)', () => {
    const wrong = async (identifier: string, times = 5) => {
      for (let tries = 0; tries < times; tries += 1) await signIn(identifier, 'not the password');
    };

    it('so that whoever was locked out signs in at once, by each of their identifiers', async () => {
      const person = await withBoth(app);
      for (const identifier of [person.username, person.email, person.phone])
        await wrong(identifier);
      expect(await signIn(person.username, PASSWORD)).toBe('SIGN_IN_LOCKED');
      await recover(app, person.email);
      for (const identifier of [person.username, person.email, person.phone])
        expect(await signIn(identifier)).toBe('OK');
    });

    it('and the hard stop of a hundred wrong passwords', async () => {
      const person = await heldBy(app, channelOf.email);
      await wrong(person.username, 1);
      await sql`update guess_budgets set window_failures = 100
        where subject = uuid_send(${person.accountId}::uuid) and channel = 'password'`.execute(
        app.db,
      );
      expect(await signIn(person.username, PASSWORD)).toBe('CREDENTIALS_INVALID');
      await recover(app, person.address);
      expect(await signIn(person.username)).toBe('OK');
    });

    it('and of codes the locks, but not the long window: no proof refills it (rule 3)', async () => {
      const person = await heldBy(app, channelOf.email);
      const resetToken = await tokenFor(app, person.address);
      for (const [channel, lane] of [
        ['sms', 'session'],
        ['sms', 'anonymous'],
        ['email', 'session'],
      ])
        await sql`insert into guess_budgets values (uuid_send(${person.accountId}::uuid), ${channel}, ${lane},
          5, 1, clock_timestamp(), clock_timestamp() + interval '1 day', 37, clock_timestamp())
          on conflict (subject, channel, lane) do update set failures = excluded.failures,
            locks = excluded.locks, locked_until = excluded.locked_until,
            window_failures = excluded.window_failures`.execute(app.db);
      await app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD });
      const { rows } =
        await sql`select failures, locks, locked_until, window_failures from guess_budgets
        where subject = uuid_send(${person.accountId}::uuid) and window_failures > 0`.execute(
          app.db,
        );
      const open = { failures: 0, locks: 0, locked_until: null, window_failures: 37 };
      expect(rows).toEqual([open, open, open]);
    });

    it('and of an address that the account only claims, nothing: its lock protects somebody else', async () => {
      const victim = await heldBy(app, channelOf.email);
      const thief = await heldBy(app, channelOf.sms);
      await delivered(app);
      await app.auth.sendEmailVerificationCode({ email: victim.address }, thief.session);
      await wrong(victim.address);
      await recover(app, thief.address);
      expect(await signIn(victim.address, PASSWORD)).toBe('SIGN_IN_LOCKED');
    });
  });

  it('leaves a stranger’s account with nothing of an address that it only claimed', async () => {
    const claimed = unique.email();
    const person = await heldBy(app, channelOf.sms);
    const rival = await signUp(app, { email: claimed });
    await app.auth.sendEmailVerificationCode({ email: claimed }, person.session);
    await recover(app, person.address);
    expect(await shown(person)).toEqual({ phone: 'verified, signs in' });
    expect(await shown(rival)).toEqual({ email: 'claimed' });
  });
});
