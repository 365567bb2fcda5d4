import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AccountStatus } from '../../generated/countersign/v1/account.js';
import { changes } from '../sessions/fixtures.js';
import { signInByPhone } from '../sign-in/phone-house.js';
import { describePostgres, eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp } from '../support/people.js';
import { ROUNDS_IN_TURN, race } from '../support/race.js';
import type { TestApp } from '../support/test-app.js';
import {
  channels,
  claimant,
  codeFor,
  email,
  type House,
  holder,
  messagesTo,
  openHouse,
  present,
  refusalOf,
  sms,
} from './house.js';

const GONE = { reason: 'ACCESS_TOKEN_INVALID' };

/** All that an account has in its own row and beside it. */
async function left({ db }: Pick<TestApp, 'db'>, accountId: string) {
  const { rows } = await sql<{
    status: string;
    password_hash: string | null;
    proof_epoch: number;
    session_epoch: number;
    identifiers: number;
    roles: number;
  }>`select a.status, a.password_hash, a.proof_epoch, a.session_epoch,
      (select count(*)::int from identifiers i where i.account_id = a.account_id) as identifiers,
      (select count(*)::int from role_assignments r where r.account_id = a.account_id) as roles
    from accounts a where a.account_id = ${accountId}`.execute(db);
  return present(rows[0]);
}

eachDatabase('CloseAccount', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  it('closes the account for good, and answers with what is left', async () => {
    const person = await holder(app, email, email.address(), {
      phoneNumber: sms.address(),
      displayName: 'Bảy',
    });
    const before = present((await app.auth.getAccount({}, person.session)).account);
    app.clock.advance({ minutes: 1 });
    const account = present((await app.auth.closeAccount({}, person.session)).account);
    expect(account).toMatchObject({
      accountId: person.accountId,
      status: AccountStatus.CLOSED,
      profile: { displayName: 'Bảy', username: '' },
      identifiers: [],
      createTime: before.createTime,
    });
    expect(account.etag).not.toBe(before.etag);
    expect(await left(app, person.accountId)).toEqual({
      status: 'closed',
      password_hash: null,
      proof_epoch: 1,
      session_epoch: 1,
      identifiers: 0,
      roles: 1,
    });
    expect((await changes(app.db, person.accountId)).map(({ action }) => action)).toEqual([
      'account_created',
      'identifier_proven',
      'account_closed',
    ]);
  });

  it('ends every session at once, and nobody signs in any more', async () => {
    const person = await holder(app, email);
    const other = present(
      (await app.auth.signIn({ identifier: person.username, password: PASSWORD })).tokens,
    );
    await app.auth.closeAccount({}, person.session);
    for (const { accessToken, refreshToken } of [person, other]) {
      expect((await app.auth.introspectToken({ accessToken })).active).toBe(false);
      expect(await refusalOf(app.auth.refreshSession({ refreshToken }))).toMatchObject({
        reason: 'REFRESH_TOKEN_INVALID',
      });
      expect(await refusalOf(app.auth.closeAccount({}, { accessToken }))).toMatchObject(GONE);
    }
    for (const identifier of [person.username, person.address]) {
      const signIn = app.auth.signIn({ identifier, password: PASSWORD });
      expect(await refusalOf(signIn)).toMatchObject({ reason: 'CREDENTIALS_INVALID' });
    }
  });

  it.each(channels)('kills the code that waits on the $channel channel (rule 6)', async (on) => {
    const person = await claimant(app, on);
    await app.auth.closeAccount({}, person.session);
    expect(await refusalOf(on.confirm(app, person))).toMatchObject({ reason: 'CODE_EXPIRED' });
    expect((await left(app, person.accountId)).identifiers).toBe(0);
  });

  it('frees username, email and phone for others at once', async () => {
    const first = await signInByPhone(app);
    await app.auth.closeAccount({}, first.session);
    const second = await signInByPhone(app, first.phone);
    expect(second.isFirstSignIn).toBe(true);
    expect(second.accountId).not.toBe(first.accountId);
    const held = await holder(app, email);
    await app.auth.closeAccount({}, held.session);
    app.clock.advance({ minutes: 2 });
    const heir = await holder(app, email, held.address, { username: held.username });
    const { accountId } = await app.auth.signIn({ identifier: held.address, password: PASSWORD });
    expect(accountId).toBe(heir.accountId);
  });

  it('tells the channels that it had: the verified ones', async () => {
    const phoneNumber = sms.address();
    const person = await holder(app, email, email.address(), { phoneNumber, locale: 'vi' });
    await codeFor(app, phoneNumber);
    await app.auth.closeAccount({}, person.session);
    const told = (await messagesTo(app, person.address)).slice(1);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ locale: 'vi' });
    expect(await messagesTo(app, phoneNumber)).toHaveLength(1);
  });

  it('needs an authentication of the last ten minutes; signing in again is how to get one', async () => {
    const person = await holder(app, email);
    app.clock.advance({ minutes: 11 });
    const { tokens } = await app.auth.refreshSession(person);
    const refusal = await refusalOf(app.auth.closeAccount({}, present(tokens)));
    expect(refusal).toMatchObject({ reason: 'REAUTHENTICATION_REQUIRED' });
    expect(await left(app, person.accountId)).toMatchObject({ status: 'active', identifiers: 2 });
    const again = await app.auth.signIn({ identifier: person.username, password: PASSWORD });
    await app.auth.closeAccount({}, present(again.tokens));
    expect(await left(app, person.accountId)).toMatchObject({ status: 'closed' });
  });

  it('is no power of an ended session', async () => {
    const person = await signUp(app);
    await sql`update sessions set ended_at = created_at, end_reason = 'revoked'
      where account_id = ${person.accountId}`.execute(app.db);
    expect(await refusalOf(app.auth.closeAccount({}, person))).toMatchObject(GONE);
    expect(await left(app, person.accountId)).toMatchObject({ status: 'active', identifiers: 1 });
  });

  it('keeps the role of the last owner, by which nobody acts', async () => {
    const person = await signUp(app, { organizationName: 'Phở 24' });
    await app.auth.closeAccount({}, person);
    expect(await left(app, person.accountId)).toMatchObject({ roles: 1 });
  });
});

describePostgres('CloseAccount beside a proof', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = await house.open({ LIMIT_SIGN_UPS_PER_SOURCE: '100000/1m' });
  });
  afterAll(() => house[Symbol.asyncDispose]());

  it('leaves no identifier, whichever came first (60 rounds)', async () => {
    const seen = { proven: 0, expired: 0 };
    for (let round = 0; round < 60 + ROUNDS_IN_TURN; round += 1) {
      const on = round % 2 === 0 ? email : sms;
      const person = await claimant(app, on);
      const [closed, confirmed] = await race(
        round,
        () => app.auth.closeAccount({}, person.session),
        () => on.confirm(app, person),
      );
      expect(closed.status).toBe('fulfilled');
      expect(await left(app, person.accountId)).toMatchObject({ status: 'closed', identifiers: 0 });
      if (confirmed.status === 'fulfilled') seen.proven += 1;
      else {
        expect(confirmed.reason).toMatchObject({ reason: 'CODE_EXPIRED' });
        seen.expired += 1;
      }
    }
    expect(seen.proven).toBeGreaterThan(0);
    expect(seen.expired).toBeGreaterThan(0);
  });

  it('leaves no claim that a send makes at the same time (60 rounds)', async () => {
    for (let round = 0; round < 60; round += 1) {
      const person = await signUp(app);
      const [closed] = await Promise.allSettled([
        app.auth.closeAccount({}, person),
        email.send(app, person, email.address()),
      ]);
      expect(closed.status).toBe('fulfilled');
      expect(await left(app, person.accountId)).toMatchObject({ identifiers: 0 });
    }
  });
});
