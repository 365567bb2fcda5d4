import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeFor, failuresOf, type House, openHouse, refusalOf } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  ask,
  changesOf,
  channelOf,
  type Held,
  heldBy,
  NEW_PASSWORD,
  otherCaller,
  recover,
  setStatus,
} from './recovering.js';

const anonymous = (channel: 'email' | 'sms') => ({ channel, lane: 'anonymous' }) as const;

eachDatabase('verifying the code of a password reset', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  async function asked(
    on = channelOf.email,
  ): Promise<Held & { resetId: string; resetCode: string }> {
    const person = await heldBy(app, on);
    const { challengeId } = await ask(app, person.address);
    return { ...person, resetId: challengeId, resetCode: await codeFor(app, person.address) };
  }
  type Asked = Awaited<ReturnType<typeof asked>>;
  const verify = ({ resetId, resetCode }: Asked, code = resetCode, auth = app.auth) =>
    auth.verifyPasswordResetCode({ challengeId: resetId, code });

  describe.each([channelOf.email, channelOf.sms])('by $channel', (on) => {
    it('trades it for a token of which only a hash is kept, and gives no session', async () => {
      const person = await asked(on);
      const { resetToken, ...rest } = await verify(person);
      expect(rest).toEqual({});
      expect(resetToken).toMatch(/^cpr_[A-Za-z0-9_-]{64}$/);
      const secret = Buffer.from(resetToken.slice(4), 'base64url').subarray(16);
      const { rows } = await sql<{ found: boolean; expires_in: number; shown: boolean }>`
        select reset_token_hash = sha256(${secret}::bytea) as found, used_at is not null as used,
          round(extract(epoch from reset_expires_at - used_at))::int as expires_in
        from challenges where challenge_id = ${person.resetId}::uuid`.execute(app.db);
      expect(rows).toEqual([{ found: true, used: true, expires_in: 600 }]);
    });

    it('counts each wrong guess in both rows, then locks; a code sent before the lock is dead (T2)', async () => {
      const person = await asked(on);
      const wrong = wrongCode(person.resetCode);
      const left: (string | undefined)[] = [];
      for (let tries = 0; tries < 5; tries += 1) {
        const { reason, metadata } = await refusalOf(verify(person, wrong));
        expect(reason).toBe('CODE_INVALID');
        left.push(metadata['attempts_left']);
      }
      expect(left).toEqual(['4', '3', '2', '1', '0']);
      expect(await failuresOf(app, person.accountId, anonymous(on.channel))).toMatchObject({
        failures: 5,
        window_failures: 5,
      });
      expect(await outcomeOf(verify(person))).toBe('VERIFICATION_LOCKED');
      app.clock.advance({ minutes: 3 });
      expect(await outcomeOf(verify(person))).toBe('VERIFICATION_LOCKED');
      // The person under attack asks once more, gets a long code, and is in.
      const again = await ask(app, person.address, person.resetId);
      const long = await codeFor(app, person.address);
      expect(long).toHaveLength(20);
      const { resetToken } = await verify({ ...person, resetId: again.challengeId }, long);
      await app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD });
    });
  });

  it('clears the count at the right code, and refunds its own charge alone', async () => {
    const person = await asked();
    await outcomeOf(verify(person, wrongCode(person.resetCode)));
    await verify(person);
    expect(await failuresOf(app, person.accountId, anonymous('email'))).toMatchObject({
      failures: 0,
      window_failures: 1,
    });
  });

  it.each(['', '12345', '12345a', '１２３４５６'])(
    'refuses %j as no code, and counts nothing',
    async (code) => {
      const person = await asked();
      expect(await outcomeOf(verify(person, code))).toBe('CODE_MALFORMED');
      expect(await failuresOf(app, person.accountId, anonymous('email'))).toBeUndefined();
    },
  );

  it('works once', async () => {
    const person = await asked();
    await verify(person);
    expect(await outcomeOf(verify(person))).toBe('CODE_EXPIRED');
  });

  it('expires with CODE_TTL', async () => {
    const person = await asked();
    app.clock.advance({ seconds: 299 });
    const other = await asked();
    expect(await outcomeOf(verify(person, wrongCode(person.resetCode)))).toBe('CODE_INVALID');
    app.clock.advance({ seconds: 2 });
    expect(await outcomeOf(verify(person))).toBe('CODE_EXPIRED');
    expect(await outcomeOf(verify(other))).toBe('OK');
  });

  it('is of use to the calling service that asked, and to no other', async () => {
    const person = await asked();
    const auth = await otherCaller(app);
    expect(await outcomeOf(verify(person, person.resetCode, auth))).toBe('CODE_EXPIRED');
    expect(await outcomeOf(verify(person))).toBe('OK');
  });

  it('takes no code of another purpose, and its code is good for none (rule 4)', async () => {
    const person = await asked();
    app.clock.advance({ seconds: 61 });
    const sent = await person.on.send(app, person.session, person.on.address());
    const wrong = { challengeId: sent.challengeId, code: person.resetCode };
    expect(await outcomeOf(app.auth.verifyPasswordResetCode(wrong))).toBe('CODE_EXPIRED');
    const confirm = { challengeId: person.resetId, code: person.resetCode };
    expect(await outcomeOf(app.auth.confirmEmail(confirm))).toBe('CODE_EXPIRED');
    expect(await outcomeOf(verify(person))).toBe('OK');
  });

  /**
   * Rule 6. A stranger who guesses at the flow sees no difference: a wrong code is as wrong as before, so that
   * nobody can tell that there is an account, nor that something happened to it.
   */
  const deaths: readonly [string, (person: Asked) => Promise<unknown>][] = [
    ['the account was blocked', ({ accountId }) => setStatus(app, accountId, 'blocked')],
    ['the account was deactivated', ({ accountId }) => setStatus(app, accountId, 'deactivated')],
    [
      'the account is not active, whatever its epoch',
      ({ accountId }) =>
        sql`update accounts set status = 'blocked' where account_id = ${accountId}`.execute(app.db),
    ],
    [
      'every code of the account died',
      ({ accountId }) =>
        sql`update accounts set proof_epoch = proof_epoch + 1 where account_id = ${accountId}`.execute(
          app.db,
        ),
    ],
    ['the password was reset by another flow', ({ address }) => recover(app, address)],
    ['the address was removed', (person) => identifier(person, sql`delete from identifiers`)],
    [
      'the address lapsed',
      (person) => identifier(person, sql`update identifiers set state = 'lapsed'`),
    ],
    [
      'the address is disputed',
      (person) =>
        identifier(person, sql`update identifiers set state = 'disputed', sign_in_enabled = false`),
    ],
    [
      'the address was changed',
      async (person) => {
        app.clock.advance({ seconds: 61 });
        const address = person.on.address();
        const { challengeId } = await person.on.send(app, person.session, address);
        const code = await codeFor(app, address);
        await person.on.confirm(app, { challengeId, code }, person.session);
      },
    ],
  ];
  const identifier = ({ accountId, address }: Asked, change: ReturnType<typeof sql>) =>
    sql`${change} where account_id = ${accountId}::uuid and value = ${address}`.execute(app.db);
  it.each(deaths)('is dead when %s, and a wrong code looks as before', async (_, happen) => {
    const person = await asked();
    await happen(person);
    expect(await outcomeOf(verify(person, wrongCode(person.resetCode)))).toBe('CODE_INVALID');
    expect(await outcomeOf(verify(person))).toBe('CODE_EXPIRED');
    const { rows } = await sql`select reset_token_hash from challenges
      where challenge_id = ${person.resetId}::uuid`.execute(app.db);
    expect(rows).toEqual([{ reset_token_hash: null }]);
  });

  it('leaves a change event and an access event of the account (T6)', async () => {
    const person = await asked();
    await verify(person);
    const changes = await changesOf(app, person.accountId);
    expect(changes.slice(-2)).toEqual([
      { action: 'code_sent', outcome: 'ok', detail: { channel: 'email', purpose: 'reset' } },
      { action: 'reset_code_redeemed', outcome: 'ok', detail: { channel: 'email' } },
    ]);
    await expect
      .poll(async () => {
        const { rows } = await sql<{ action: string }>`select action from audit_events
          where kind = 'access' and account_id = ${person.accountId}::uuid and outcome = 'OK'
          order by occurred_at`.execute(app.db);
        return rows.at(-1)?.action;
      })
      .toMatch(/VerifyPasswordResetCode/);
  });
});
