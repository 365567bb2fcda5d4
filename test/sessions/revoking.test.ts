import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { codeFor, type House, openHouse, present, refusalOf } from '../accounts/house.js';
import { describePostgres, eachDatabase } from '../support/databases.js';
import { PASSWORD, type Signup, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { changes, sessionRow } from './fixtures.js';

const GONE = { reason: 'ACCESS_TOKEN_INVALID' };
const DEAD = { reason: 'REFRESH_TOKEN_INVALID' };

async function signIn({ auth }: Pick<TestApp, 'auth'>, { username }: Signup) {
  const { tokens } = await auth.signIn({ identifier: username, password: PASSWORD });
  const { accessToken, refreshToken } = present(tokens);
  const { sessionId } = await auth.introspectToken({ accessToken });
  return { accessToken, refreshToken, sessionId };
}

/** Somebody with two sessions. */
async function person(app: Pick<TestApp, 'auth'>) {
  const made = await signUp(app);
  return { ...made, here: await signIn(app, made), there: await signIn(app, made) };
}

eachDatabase('ending sessions', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const active = async (accessToken: string) =>
    (await app.auth.introspectToken({ accessToken })).active;

  it('RevokeSession ends one session at once, tokens and all, and leaves the others', async () => {
    const { accountId, here, there } = await person(app);
    await app.auth.revokeSession({ sessionId: there.sessionId }, here);
    expect(await active(there.accessToken)).toBe(false);
    expect(await refusalOf(app.auth.refreshSession(there))).toMatchObject(DEAD);
    expect(await refusalOf(app.auth.getAccount({}, there))).toMatchObject(GONE);
    const row = await sessionRow(app.db, there.sessionId);
    expect(row).toMatchObject({ end_reason: 'revoked', successor_sealed: null });
    expect(await active(here.accessToken)).toBe(true);
    await app.auth.refreshSession(here);
    expect(await changes(app.db, accountId)).toContainEqual(
      expect.objectContaining({
        action: 'session_ended',
        outcome: 'revoked',
        detail: { sessionId: there.sessionId },
      }),
    );
  });

  it('RevokeSession ends the session that asks, too', async () => {
    const { here } = await person(app);
    await app.auth.revokeSession({ sessionId: here.sessionId }, here);
    expect(await active(here.accessToken)).toBe(false);
    expect(await refusalOf(app.auth.revokeSession(here, here))).toMatchObject(GONE);
  });

  it('RevokeSession answers the same for what has ended, and is audited once', async () => {
    const { accountId, here, there } = await person(app);
    await app.auth.revokeSession({ sessionId: there.sessionId }, here);
    const before = await sessionRow(app.db, there.sessionId);
    await app.auth.revokeSession({ sessionId: there.sessionId }, here);
    expect(await sessionRow(app.db, there.sessionId)).toEqual(before);
    const ended = (await changes(app.db, accountId)).filter(
      ({ action }) => action === 'session_ended',
    );
    expect(ended).toHaveLength(1);
  });

  it('RevokeSession cannot touch another account’s session, nor make this process believe so', async () => {
    const [mine, theirs] = [await person(app), await person(app)];
    await app.auth.revokeSession({ sessionId: theirs.here.sessionId }, mine.here);
    await app.auth.revokeSession({ sessionId: '00000000-0000-4000-8000-000000000000' }, mine.here);
    expect(await active(theirs.here.accessToken)).toBe(true);
    await app.auth.refreshSession(theirs.here);
    expect(await sessionRow(app.db, theirs.here.sessionId)).toMatchObject({ ended_at: null });
    const refusal = await refusalOf(app.auth.revokeSession({ sessionId: 'mine' }, mine.here));
    expect(refusal).toMatchObject({ reason: 'FIELD_INVALID', metadata: { field: 'session_id' } });
  });

  it('RevokeSession is no power of an ended session, though its access token lives on', async () => {
    const { here, there } = await person(app);
    await sql`update sessions set ended_at = created_at, end_reason = 'revoked'
      where session_id = ${here.sessionId}`.execute(app.db);
    const call = app.auth.revokeSession({ sessionId: there.sessionId }, here);
    expect(await refusalOf(call)).toMatchObject(GONE);
    expect(await sessionRow(app.db, there.sessionId)).toMatchObject({ ended_at: null });
  });

  it('SignOutEverywhere ends every session at once, this one too', async () => {
    const { accountId, here, there, ...first } = await person(app);
    await app.auth.signOutEverywhere({}, here);
    for (const { accessToken, refreshToken } of [first, here, there]) {
      expect(await active(accessToken)).toBe(false);
      expect(await refusalOf(app.auth.refreshSession({ refreshToken }))).toMatchObject(DEAD);
      expect(await refusalOf(app.auth.getAccount({}, { accessToken }))).toMatchObject(GONE);
    }
    const revoked = (await changes(app.db, accountId)).filter(
      ({ action }) => action === 'sessions_revoked',
    );
    expect(revoked).toHaveLength(1);
  });

  it('SignOutEverywhere leaves what begins after it, in the same second too', async () => {
    const { here, ...made } = await person(app);
    await app.auth.signOutEverywhere({}, here);
    const after = await signIn(app, made);
    expect(await active(after.accessToken)).toBe(true);
    expect((await app.auth.getAccount({}, after)).account?.accountId).toBe(made.accountId);
    const { sessions } = await app.auth.listSessions({}, after);
    expect(sessions.map(({ sessionId }) => sessionId)).toEqual([after.sessionId]);
  });

  it('SignOutEverywhere leaves other accounts, and codes that wait', async () => {
    const [stranger, email] = [await person(app), unique.email()];
    const made = await signUp(app, { email });
    const challengeId = present(made.challengeIds[0]);
    await app.auth.signOutEverywhere({}, made);
    expect(await active(stranger.here.accessToken)).toBe(true);
    const code = await codeFor(app, email);
    const { identifier } = await app.auth.confirmEmail({ challengeId, code });
    expect(identifier?.verified).toBe(true);
  });

  it('SignOutEverywhere is learnt by another process at its next poll', async () => {
    const { here, there, ...made } = await person(app);
    const other = await house.open({});
    await app.auth.signOutEverywhere({}, here);
    const after = await signIn(app, made);
    await expect
      .poll(async () => (await other.auth.introspectToken(there)).active, { timeout: 5_000 })
      .toBe(false);
    expect((await other.auth.introspectToken(after)).active).toBe(true);
  });
});

describePostgres('ending sessions while they are used', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = await house.open({ LIMIT_SIGN_INS_PER_SOURCE: '100000/1m' });
  });
  afterAll(() => house[Symbol.asyncDispose]());

  it('RevokeSession beside a refresh: the session is over, whichever came first (50 rounds)', async () => {
    const made = await signUp(app);
    for (let round = 0; round < 50; round += 1) {
      const there = await signIn(app, made);
      const [revoked, refreshed] = await Promise.allSettled([
        app.auth.revokeSession(there, made),
        app.auth.refreshSession(there),
      ]);
      expect(revoked.status).toBe('fulfilled');
      const tokens = refreshed.status === 'fulfilled' ? present(refreshed.value.tokens) : there;
      expect(await refusalOf(app.auth.refreshSession(tokens))).toMatchObject(DEAD);
      expect(await refusalOf(app.auth.getAccount({}, tokens))).toMatchObject(GONE);
    }
  });

  it('SignOutEverywhere beside a sign-in: wholly before or wholly after (50 rounds)', async () => {
    const made = await signUp(app);
    for (let round = 0; round < 50; round += 1) {
      const { accessToken } = await signIn(app, made);
      const [, signedIn] = await Promise.allSettled([
        app.auth.signOutEverywhere({}, { accessToken }),
        signIn(app, made),
      ]);
      // A sign-in that was overtaken between its two trips is refused.
      if (signedIn.status === 'rejected') {
        expect(signedIn.reason).toMatchObject({ reason: 'CREDENTIALS_INVALID' });
        continue;
      }
      const { rows } = await sql<{ alive: boolean }>`
        select s.session_epoch = a.session_epoch as alive from sessions s join accounts a using (account_id)
        where s.session_id = ${signedIn.value.sessionId}`.execute(app.db);
      const { refreshToken } = signedIn.value;
      const refreshed = await Promise.allSettled([app.auth.refreshSession({ refreshToken })]);
      expect(refreshed[0].status === 'fulfilled').toBe(rows[0]?.alive);
    }
  });

  it('twenty times at once: one is carried out', async () => {
    const { accessToken, accountId } = await signUp(app);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => app.auth.signOutEverywhere({}, { accessToken })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const { rows } = await sql<{ session_epoch: number }>`
      select session_epoch from accounts where account_id = ${accountId}`.execute(app.db);
    expect(rows).toEqual([{ session_epoch: 1 }]);
  });
});
