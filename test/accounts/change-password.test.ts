import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { changes } from '../sessions/fixtures.js';
import { signInByPhone } from '../sign-in/phone-house.js';
import { describePostgres, eachDatabase } from '../support/databases.js';
import { PASSWORD, type Signup, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  claimant,
  delivered,
  email,
  type House,
  holder,
  messagesTo,
  openHouse,
  present,
  refusalOf,
  sms,
} from './house.js';

const NEXT = 'a rather different passphrase';
const WRONG = { reason: 'CREDENTIALS_INVALID' };
const GONE = { reason: 'ACCESS_TOKEN_INVALID' };

type Session = { readonly accessToken: string };
const change = (
  { auth }: Pick<TestApp, 'auth'>,
  { accessToken }: Session,
  newPassword = NEXT,
  currentPassword = PASSWORD,
) => auth.changePassword({ currentPassword, newPassword }, { accessToken });

const signIn = async (
  { auth }: Pick<TestApp, 'auth'>,
  { username }: Pick<Signup, 'username'>,
  password = PASSWORD,
) => present((await auth.signIn({ identifier: username, password })).tokens);

async function row({ db }: Pick<TestApp, 'db'>, accountId: string) {
  const { rows } = await sql<{
    password_hash: string;
    proof_epoch: number;
    session_epoch: number;
  }>`select password_hash, proof_epoch, session_epoch from accounts where account_id = ${accountId}`.execute(
    db,
  );
  return present(rows[0]);
}

async function budget({ db }: TestApp, accountId: string, lane: 'session' | 'anonymous') {
  const { rows } = await sql<{
    failures: number;
    window_failures: number;
    locked: boolean;
  }>`select failures, window_failures, locked_until is not null as locked from guess_budgets
    where subject = uuid_send(${accountId}::uuid) and channel = 'password' and lane = ${lane}`.execute(
    db,
  );
  return rows[0];
}

eachDatabase('ChangePassword', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const active = async (accessToken: string) =>
    (await app.auth.introspectToken({ accessToken })).active;

  it('replaces the password, by one verification and one hash (A5)', async () => {
    const person = await signUp(app);
    const before = await row(app, person.accountId);
    const counts = { ...app.hasher.counts };
    await change(app, person);
    expect(app.hasher.counts).toEqual({
      ...counts,
      hashes: counts.hashes + 1,
      verifications: counts.verifications + 1,
    });
    const after = await row(app, person.accountId);
    expect(after).toMatchObject({
      proof_epoch: before.proof_epoch + 1,
      session_epoch: before.session_epoch + 1,
    });
    expect(after.password_hash).not.toBe(before.password_hash);
    expect(await refusalOf(signIn(app, person))).toMatchObject(WRONG);
    await signIn(app, person, NEXT);
    expect((await changes(app.db, person.accountId)).map(({ action }) => action)).toContain(
      'password_changed',
    );
  });

  it('ends every other session at once and keeps this one, its tokens unchanged', async () => {
    const person = await signUp(app);
    // Older than the change by more than a token's second.
    app.clock.advance({ seconds: 90 });
    const other = await signIn(app, person);
    const { accessToken, refreshToken } = person;
    await change(app, person);
    expect(await active(other.accessToken)).toBe(false);
    expect(await refusalOf(app.auth.refreshSession(other))).toMatchObject({
      reason: 'REFRESH_TOKEN_INVALID',
    });
    expect(await active(accessToken)).toBe(true);
    const { sessions } = await app.auth.listSessions({}, { accessToken });
    expect(sessions.map(({ current }) => current)).toEqual([true]);
    const refreshed = present((await app.auth.refreshSession({ refreshToken })).tokens);
    expect(await active(refreshed.accessToken)).toBe(true);
    // And a session that begins now, in the same second as it may be.
    expect(await active((await signIn(app, person, NEXT)).accessToken)).toBe(true);
  });

  it('carries the session over for other processes too, however old its sign-in is', async () => {
    const person = await signUp(app);
    app.clock.advance({ minutes: 20 });
    const other = await signIn(app, person);
    await change(app, person);
    const late = await house.open({});
    expect((await late.auth.introspectToken(person)).active).toBe(true);
    expect((await late.auth.introspectToken(other)).active).toBe(false);
    // Until everything is revoked after all.
    await app.auth.signOutEverywhere({}, person);
    expect(await active(person.accessToken)).toBe(false);
    const later = await house.open({});
    expect((await later.auth.introspectToken(person)).active).toBe(false);
  });

  it('kills every code that waits (rule 6)', async () => {
    const person = await claimant(app, email);
    await change(app, person);
    expect(await refusalOf(email.confirm(app, person))).toMatchObject({ reason: 'CODE_EXPIRED' });
  });

  it('tells every verified channel, and nobody else', async () => {
    const address = sms.address();
    const person = await holder(app, email, email.address(), { phoneNumber: address });
    const before = (await messagesTo(app, person.address)).length;
    const claimed = (await messagesTo(app, address)).length;
    await change(app, person);
    const told = (await messagesTo(app, person.address)).slice(before);
    expect(told).toHaveLength(1);
    expect(told[0]?.text).not.toContain(NEXT);
    expect(await messagesTo(app, address)).toHaveLength(claimed);
    // At most one of a kind and hour.
    await change(app, person, PASSWORD, NEXT);
    expect(await messagesTo(app, person.address)).toHaveLength(before + 1);
  });

  it('counts a wrong password in the person’s own lane, and a right one clears the count', async () => {
    const person = await signUp(app);
    expect(await refusalOf(change(app, person, NEXT, 'wrong password'))).toMatchObject(WRONG);
    expect(await budget(app, person.accountId, 'session')).toMatchObject({ failures: 1 });
    expect(await budget(app, person.accountId, 'anonymous')).toBeUndefined();
    await change(app, person);
    expect(await budget(app, person.accountId, 'session')).toEqual({
      failures: 0,
      window_failures: 1,
      locked: false,
    });
  });

  it('locks after five, for waits that grow, without a hash; sign-in goes on (T2)', async () => {
    const person = await signUp(app);
    const guess = () => refusalOf(change(app, person, NEXT, 'wrong password'));
    for (let n = 1; n <= 5; n += 1) expect(await guess()).toMatchObject(WRONG);
    const counts = { ...app.hasher.counts };
    const locked = await refusalOf(change(app, person));
    expect(locked).toMatchObject({ reason: 'SIGN_IN_LOCKED' });
    expect(locked.retryAfter).toBeGreaterThan(14 * 60);
    expect(locked.retryAfter).toBeLessThanOrEqual(15 * 60);
    expect(app.hasher.counts).toEqual(counts);
    await signIn(app, person);
    app.clock.advance({ minutes: 16 });
    for (let n = 1; n <= 5; n += 1) expect(await guess()).toMatchObject(WRONG);
    expect((await guess()).retryAfter).toBeGreaterThan(29 * 60);
    app.clock.advance({ minutes: 31 });
    await change(app, person);
    expect(await budget(app, person.accountId, 'session')).toMatchObject({ locked: false });
  });

  it('stops for good after 100 in 30 days where another way back exists, and nowhere else', async () => {
    const [proven, bare] = [await holder(app, email), await signUp(app)];
    for (const person of [proven, bare]) {
      await refusalOf(change(app, person, NEXT, 'wrong password'));
      await sql`update guess_budgets set window_failures = 100
        where subject = uuid_send(${person.accountId}::uuid) and channel = 'password'`.execute(
        app.db,
      );
    }
    const refusal = await refusalOf(change(app, proven));
    expect(refusal).toMatchObject({ reason: 'SIGN_IN_LOCKED' });
    expect(refusal.retryAfter).toBeGreaterThan(29 * 24 * 3600);
    await change(app, bare);
  });

  it('lifts what strangers brought upon the sign-in, as a sign-in does', async () => {
    const person = await signUp(app);
    for (let n = 0; n < 5; n += 1) await refusalOf(signIn(app, person, 'wrong password'));
    expect(await budget(app, person.accountId, 'anonymous')).toMatchObject({ locked: true });
    await change(app, person);
    expect(await budget(app, person.accountId, 'anonymous')).toEqual({
      failures: 0,
      window_failures: 5,
      locked: false,
    });
  });

  it('verifies a decoy where there is no password; the first one is set by recovery', async () => {
    const person = await signInByPhone(app);
    const counts = { ...app.hasher.counts };
    expect(await refusalOf(change(app, person.session))).toMatchObject(WRONG);
    expect(app.hasher.counts).toEqual({ ...counts, decoys: counts.decoys + 1 });
    expect(await budget(app, person.accountId, 'session')).toMatchObject({ failures: 1 });
  });

  it('judges the new password before anything is charged, by its owner’s names after (rule 14)', async () => {
    const person = await holder(app, email, `${unique.username()}.long@example.com`, {
      displayName: 'Trần Thị Bảy Mươi',
    });
    const before = await row(app, person.accountId);
    const counts = { ...app.hasher.counts };
    const personal = [person.username, person.address, 'Trần Thị Bảy Mươi'];
    for (const [password, reason] of [
      ['short', 'PASSWORD_TOO_SHORT'],
      ['x'.repeat(257), 'PASSWORD_TOO_LONG'],
      ['password1', 'PASSWORD_TOO_COMMON'],
      ...personal.map((name) => [name, 'PASSWORD_TOO_COMMON'] as const),
    ] as const) {
      const refusal = await refusalOf(change(app, person, password));
      expect(refusal).toMatchObject({ reason, metadata: { field: 'new_password' } });
    }
    expect(await budget(app, person.accountId, 'session')).toMatchObject({
      failures: 0,
      window_failures: 0,
    });
    expect(app.hasher.counts).toEqual(counts);
    expect(await row(app, person.accountId)).toEqual(before);
  });

  it('takes the same password again: nothing is refused beyond the policy', async () => {
    const person = await signUp(app);
    await change(app, person, PASSWORD);
    await signIn(app, person);
  });

  it('counts nothing and changes nothing for a session that has ended', async () => {
    const person = await signUp(app);
    await sql`update sessions set ended_at = created_at, end_reason = 'revoked'
      where account_id = ${person.accountId}`.execute(app.db);
    const before = await row(app, person.accountId);
    expect(await refusalOf(change(app, person))).toMatchObject(GONE);
    expect(await budget(app, person.accountId, 'session')).toBeUndefined();
    expect(await row(app, person.accountId)).toEqual(before);
  });

  it('asks for no recent authentication: the password is one', async () => {
    const person = await signUp(app);
    app.clock.advance({ minutes: 11 });
    await change(app, person);
  });

  it('leaves no password in any row, and none in the answer', async () => {
    const person = await holder(app, email);
    const secret = `pass phrase ${systemRandom.digits(12)}`;
    expect(await change(app, person, secret)).toEqual({});
    await delivered(app);
    const { rows } = await sql<{ found: string }>`
      select a::text as found from accounts a union all select e::text from audit_events e
      union all select o::text from outbox o`.execute(app.db);
    expect(rows.filter(({ found }) => found.includes(secret))).toEqual([]);
  });
});

describePostgres('ChangePassword at once', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = await house.open({
      LIMIT_SIGN_INS_PER_SOURCE: '100000/1m',
      LIMIT_SIGN_UPS_PER_SOURCE: '100000/1m',
    });
  });
  afterAll(() => house[Symbol.asyncDispose]());

  it.each(['one session', 'two sessions'])(
    'with one present password, from %s: one is made (30 rounds)',
    async (from) => {
      for (let round = 0; round < 30; round += 1) {
        const person = await signUp(app);
        const other = from === 'one session' ? person : await signIn(app, person);
        const words = [`${NEXT} one`, `${NEXT} two`];
        const results = await Promise.allSettled([
          change(app, person, words[0]),
          change(app, other, words[1]),
        ]);
        const won = results.findIndex(({ status }) => status === 'fulfilled');
        expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
        const [lost] = results.flatMap((result) =>
          result.status === 'rejected' ? [result.reason.reason] : [],
        );
        expect(['CREDENTIALS_INVALID', 'ACCESS_TOKEN_INVALID']).toContain(lost);
        await signIn(app, person, words[won]);
        expect(await row(app, person.accountId)).toMatchObject({
          proof_epoch: 1,
          session_epoch: 1,
        });
      }
    },
  );

  it('beside a refresh of its own session: the session lives, with whichever token (50 rounds)', async () => {
    const person = await signUp(app);
    let { accessToken, refreshToken } = person;
    for (let round = 0; round < 50; round += 1) {
      const [, refreshed] = await Promise.all([
        change(app, { accessToken }, PASSWORD),
        app.auth.refreshSession({ refreshToken }),
      ]);
      ({ accessToken, refreshToken } = present(refreshed.tokens));
      expect((await app.auth.introspectToken({ accessToken })).active).toBe(true);
    }
  });

  it('beside a sign-in with the old password: no session of it lives on (50 rounds)', async () => {
    for (let round = 0; round < 50; round += 1) {
      const person = await signUp(app);
      const [, signedIn] = await Promise.allSettled([change(app, person), signIn(app, person)]);
      if (signedIn.status === 'rejected') {
        expect(signedIn.reason).toMatchObject(WRONG);
        continue;
      }
      expect(await refusalOf(app.auth.refreshSession(signedIn.value))).toMatchObject({
        reason: 'REFRESH_TOKEN_INVALID',
      });
    }
  });

  it('judges exactly five of twenty wrong ones at once (rule 2)', async () => {
    const person = await signUp(app);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => change(app, person, NEXT, 'wrong password')),
    );
    const reasons = results.map((result) =>
      result.status === 'rejected' ? result.reason.reason : 'OK',
    );
    expect(reasons.filter((reason) => reason === 'CREDENTIALS_INVALID')).toHaveLength(5);
    expect(reasons.filter((reason) => reason === 'SIGN_IN_LOCKED')).toHaveLength(15);
  });
});
