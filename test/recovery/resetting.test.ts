import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressesOf, codeFor, delivered, type House, openHouse } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  ask,
  changesOf,
  channelOf,
  heldBy,
  NEW_PASSWORD,
  otherCaller,
  recover,
  setStatus,
  textsSince,
  tokenFor,
  withBoth,
} from './recovering.js';

eachDatabase('resetting a password', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const reset = (resetToken: string, newPassword = NEW_PASSWORD, auth = app.auth) =>
    outcomeOf(auth.resetPassword({ resetToken, newPassword }));
  const signIn = (identifier: string, password: string) =>
    outcomeOf(app.auth.signIn({ identifier, password }));
  const passwordOf = async (accountId: string) => {
    const { rows } = await sql<{ password_hash: string | null }>`
      select password_hash from accounts where account_id = ${accountId}::uuid`.execute(app.db);
    return rows[0]?.password_hash;
  };

  it.each([channelOf.email, channelOf.sms])(
    'sets the new one, by $channel, and signs nobody in (R1)',
    async (on) => {
      const person = await heldBy(app, on);
      const resetToken = await tokenFor(app, person.address);
      const sessions = () =>
        sql`select session_id from sessions where account_id = ${person.accountId}`
          .execute(app.db)
          .then(({ rows }) => rows.length);
      const before = await sessions();
      expect(await app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD })).toEqual({});
      expect(await sessions()).toBe(before);
      expect(await signIn(person.username, PASSWORD)).toBe('CREDENTIALS_INVALID');
      expect(await signIn(person.username, NEW_PASSWORD)).toBe('OK');
      expect(await signIn(person.address, NEW_PASSWORD)).toBe('OK');
    },
  );

  it('sets the first one of an account that has none', async () => {
    const person = await heldBy(app, channelOf.sms);
    await sql`update accounts set password_hash = null, password_pepper = null
      where account_id = ${person.accountId}`.execute(app.db);
    expect(await signIn(person.username, PASSWORD)).toBe('CREDENTIALS_INVALID');
    await recover(app, person.address);
    expect(await signIn(person.username, NEW_PASSWORD)).toBe('OK');
  });

  describe('a token', () => {
    it('works once', async () => {
      const { address } = await heldBy(app, channelOf.email);
      const token = await tokenFor(app, address);
      expect(await reset(token)).toBe('OK');
      expect(await reset(token, 'yet another phrase')).toBe('CODE_EXPIRED');
    });

    it('works for ten minutes', async () => {
      const [early, late] = [
        await heldBy(app, channelOf.email),
        await heldBy(app, channelOf.email),
      ];
      const tokens = [await tokenFor(app, early.address), await tokenFor(app, late.address)];
      app.clock.advance({ seconds: 590 });
      expect(await reset(tokens[0] ?? '')).toBe('OK');
      app.clock.advance({ seconds: 11 });
      expect(await reset(tokens[1] ?? '')).toBe('CODE_EXPIRED');
      expect(await signIn(late.username, PASSWORD)).toBe('OK');
    });

    it('works through the calling service that got it, and no other', async () => {
      const { address } = await heldBy(app, channelOf.email);
      const token = await tokenFor(app, address);
      const stranger = await otherCaller(app);
      expect(await reset(token, NEW_PASSWORD, stranger)).toBe('CODE_EXPIRED');
      expect(await reset(token)).toBe('OK');
    });

    it('is refused where it never was one, with another secret, and with another flow’s', async () => {
      const [one, two] = [await heldBy(app, channelOf.email), await heldBy(app, channelOf.email)];
      const [first, second] = [await tokenFor(app, one.address), await tokenFor(app, two.address)];
      const bytes = (token: string) => Buffer.from(token.slice(4), 'base64url');
      const mixed = Buffer.concat([bytes(first).subarray(0, 16), bytes(second).subarray(16)]);
      const before = { ...app.hasher.counts };
      for (const token of ['', 'garbage', `cpr_${mixed.toString('base64url')}`, 'a'.repeat(10_000)])
        expect(await reset(token)).toBe('CODE_EXPIRED');
      // Nothing was hashed: there is nothing to hide behind a decoy.
      expect(app.hasher.counts).toEqual(before);
      expect([await reset(first), await reset(second)]).toEqual(['OK', 'OK']);
    });

    it('is not guessed from a dump: what is stored opens nothing', async () => {
      const { address } = await heldBy(app, channelOf.email);
      const token = await tokenFor(app, address);
      const { rows } = await sql<{ reset_token_hash: Buffer; challenge_id: string }>`
        select reset_token_hash, challenge_id from challenges where reset_token_hash is not null
        order by issued_at desc limit 1`.execute(app.db);
      const id = Buffer.from((rows[0]?.challenge_id ?? '').replaceAll('-', ''), 'hex');
      const forged = Buffer.concat([id, rows[0]?.reset_token_hash ?? Buffer.alloc(0)]);
      expect(await reset(`cpr_${forged.toString('base64url')}`)).toBe('CODE_EXPIRED');
      expect(await reset(token)).toBe('OK');
    });

    type Person = Awaited<ReturnType<typeof heldBy>> & { challengeId: string };
    const deaths: readonly [string, (person: Person) => Promise<unknown>][] = [
      ['the account was blocked', ({ accountId }) => setStatus(app, accountId, 'blocked')],
      [
        'the account is not active, whatever its epoch',
        ({ accountId }) =>
          sql`update accounts set status = 'blocked' where account_id = ${accountId}`.execute(
            app.db,
          ),
      ],
      [
        'every code of the account died',
        ({ accountId }) =>
          sql`update accounts set proof_epoch = proof_epoch + 1 where account_id = ${accountId}`.execute(
            app.db,
          ),
      ],
      [
        'the password was reset by another flow',
        ({ address }) => recover(app, address, 'by another flow'),
      ],
      [
        'the flow goes on',
        ({ address, challengeId }) => {
          app.clock.advance({ seconds: 61 });
          return ask(app, address, challengeId);
        },
      ],
      [
        'the address lapsed',
        ({ accountId }) =>
          sql`update identifiers set state = 'lapsed' where account_id = ${accountId} and type = 'email'`.execute(
            app.db,
          ),
      ],
      [
        'the address was removed',
        ({ accountId }) =>
          sql`delete from identifiers where account_id = ${accountId} and type = 'email'`.execute(
            app.db,
          ),
      ],
    ];
    it.each(deaths)('is dead when %s', async (death, happen) => {
      const person = await heldBy(app, channelOf.email);
      const { challengeId } = await ask(app, person.address);
      const code = await codeFor(app, person.address);
      const { resetToken } = await app.auth.verifyPasswordResetCode({ challengeId, code });
      await happen({ ...person, challengeId });
      const before = await passwordOf(person.accountId);
      const { hashes } = app.hasher.counts;
      expect(await reset(resetToken)).toBe('CODE_EXPIRED');
      // Of the token itself it is known before anything is hashed; of the address, under the lock alone.
      expect(app.hasher.counts.hashes - hashes).toBe(death.startsWith('the address') ? 1 : 0);
      expect(await passwordOf(person.accountId)).toBe(before);
    });
  });

  describe('a password that the policy refuses (rule 14)', () => {
    it.each([
      ['too short', 'short', 'PASSWORD_TOO_SHORT'],
      ['too long', 'x'.repeat(257), 'PASSWORD_TOO_LONG'],
      ['common', 'password123', 'PASSWORD_TOO_COMMON'],
      ['broken', 'with a \0 in it', 'FIELD_INVALID'],
    ])('%s: is not hashed, and the token still works', async (_, password, reason) => {
      const { address } = await heldBy(app, channelOf.email);
      const token = await tokenFor(app, address);
      const before = { ...app.hasher.counts };
      expect(await reset(token, password)).toBe(reason);
      expect(app.hasher.counts).toEqual(before);
      expect(await reset(token)).toBe('OK');
    });

    it('the person’s own username, address, claim or name: the same', async () => {
      const claimed = unique.phone();
      const person = await heldBy(app, channelOf.email);
      await sql`update profiles set display_name = 'Thanh Nguyen Van'
        where account_id = ${person.accountId}`.execute(app.db);
      await app.auth.sendPhoneVerificationCode({ phoneNumber: claimed }, person.session);
      const token = await tokenFor(app, person.address);
      const before = { ...app.hasher.counts };
      for (const own of [person.username, person.address, claimed, 'thanh nguyen van'])
        expect([own, await reset(token, own)]).toEqual([own, 'PASSWORD_TOO_COMMON']);
      expect(app.hasher.counts).toEqual(before);
      expect(await reset(token)).toBe('OK');
    });
  });

  describe('ends what there was (rule 16)', () => {
    it('every session: refresh, changes, reads; and introspection within two seconds', async () => {
      const person = await heldBy(app, channelOf.email);
      const other = await app.auth.signIn({ identifier: person.username, password: PASSWORD });
      await recover(app, person.address);
      for (const refreshToken of [person.refreshToken, other.tokens?.refreshToken ?? ''])
        expect(await outcomeOf(app.auth.refreshSession({ refreshToken }))).toBe(
          'REFRESH_TOKEN_INVALID',
        );
      for (const accessToken of [person.accessToken, other.tokens?.accessToken ?? '']) {
        const signedIn = { accessToken };
        expect(await outcomeOf(app.auth.getAccount({}, signedIn))).toBe('ACCESS_TOKEN_INVALID');
        const send = app.auth.sendPhoneVerificationCode({ phoneNumber: unique.phone() }, signedIn);
        expect(await outcomeOf(send)).toBe('ACCESS_TOKEN_INVALID');
        await expect
          .poll(async () => (await app.auth.introspectToken({ accessToken })).active, {
            timeout: 2_500,
          })
          .toBe(false);
      }
      const again = await app.auth.signIn({ identifier: person.username, password: NEW_PASSWORD });
      const accessToken = again.tokens?.accessToken ?? '';
      expect((await app.auth.introspectToken({ accessToken })).active).toBe(true);
      await app.auth.getAccount({}, { accessToken });
    });

    it('every pending change, and every live code', async () => {
      const person = await heldBy(app, channelOf.email);
      const [phone, email] = [unique.phone(), unique.email()];
      app.clock.advance({ seconds: 61 });
      const pending = await app.auth.sendEmailVerificationCode({ email }, person.session);
      const linking = await app.auth.sendPhoneVerificationCode(
        { phoneNumber: phone },
        person.session,
      );
      const rival = await ask(app, person.address);
      const rivalCode = await codeFor(app, person.address);
      await recover(app, person.address);
      expect((await addressesOf(app, person.accountId)).map(({ value }) => value)).toEqual([
        person.address,
      ]);
      const confirmEmail = {
        challengeId: pending.challenge?.challengeId ?? '',
        code: await codeFor(app, email),
      };
      const confirmPhone = {
        challengeId: linking.challenge?.challengeId ?? '',
        code: await codeFor(app, phone),
      };
      expect(await outcomeOf(app.auth.confirmEmail(confirmEmail))).toBe('CODE_EXPIRED');
      expect(await outcomeOf(app.auth.confirmPhoneNumber(confirmPhone))).toBe('CODE_EXPIRED');
      const verify = { challengeId: rival.challengeId, code: rivalCode };
      expect(await outcomeOf(app.auth.verifyPasswordResetCode(verify))).toBe('CODE_EXPIRED');
    });
  });

  it('tells every channel verified before, once an hour, whatever was demoted', async () => {
    const person = await withBoth(app, 5);
    await delivered(app);
    const before = app.mailbox.messages.length;
    const notices = async (to: string) =>
      (await textsSince(app, before, to)).filter((text) => /was reset/.test(text)).length;
    await recover(app, person.email);
    expect([await notices(person.email), await notices(person.phone)]).toEqual([1, 1]);
    app.clock.advance({ minutes: 30 });
    await recover(app, person.email, 'a second new phrase');
    expect([await notices(person.email), await notices(person.phone)]).toEqual([1, 1]);
    app.clock.advance({ minutes: 31 });
    await recover(app, person.email, 'a third new phrase');
    // The phone lapsed with the first reset, and is verified no more.
    expect([await notices(person.email), await notices(person.phone)]).toEqual([2, 1]);
  });

  it('leaves a change event without a secret, and an access event (T6)', async () => {
    const person = await heldBy(app, channelOf.sms);
    await recover(app, person.address);
    expect((await changesOf(app, person.accountId)).at(-1)).toEqual({
      action: 'password_reset',
      outcome: 'ok',
      detail: { channel: 'sms' },
    });
    await expect
      .poll(async () => {
        const { rows } = await sql<{ action: string }>`select action from audit_events
          where kind = 'access' and account_id = ${person.accountId}::uuid order by occurred_at`.execute(
          app.db,
        );
        return rows.at(-1)?.action;
      })
      .toMatch(/ResetPassword/);
  });

  it('raises both epochs and the revision by one, all in one statement', async () => {
    const person = await heldBy(app, channelOf.email);
    const account = async () => {
      const { rows } = await sql<{
        proof: number;
        session: number;
        revision: number;
        recorded: number;
      }>`
        select a.proof_epoch as proof, a.session_epoch as session, a.revision,
          (select session_epoch from session_epochs e where e.account_id = a.account_id) as recorded
        from accounts a where account_id = ${person.accountId}`.execute(app.db);
      return rows[0] ?? { proof: 0, session: 0, revision: 0, recorded: 0 };
    };
    const { proof, session, revision } = await account();
    await recover(app, person.address);
    expect(await account()).toEqual({
      proof: proof + 1,
      session: session + 1,
      revision: revision + 1,
      recorded: session + 1,
    });
  });

  it('does nothing to another account', async () => {
    const [person, bystander] = [await withBoth(app, 1), await signUp(app)];
    const rows = () =>
      sql`select a.*, i.type, i.state, i.sign_in_enabled from accounts a join identifiers i using (account_id)
        where account_id <> ${person.accountId} order by account_id, i.type, i.value`.execute(
        app.db,
      );
    const before = (await rows()).rows;
    await recover(app, person.phone);
    expect((await rows()).rows).toEqual(before);
    await app.auth.getAccount({}, { accessToken: bystander.accessToken });
  });
});
