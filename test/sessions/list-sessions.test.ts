import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ListSessionsRequest } from '../../generated/countersign/v1/auth_service.js';
import type { CallOptions } from '../../src/client/index.js';
import { type House, newCaller, openHouse, present, refusalOf } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, type Signup, signUp } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

eachDatabase('ListSessions', (database) => {
  let house: House;
  let app: TestApp;
  /** Of a calling service that may speak for its people. */
  let bff: TestApp['auth'];
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
    bff = app.connect({ callerKey: await newCaller(app) });
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const signIn = async ({ username }: Signup, auth = app.auth, options?: CallOptions) =>
    present((await auth.signIn({ identifier: username, password: PASSWORD }, options)).tokens);
  const list = (accessToken: string, request: Partial<ListSessionsRequest> = {}) =>
    app.auth.listSessions(request, { accessToken });

  /** Somebody with so many more sessions than the first, a minute apart; the last token. */
  async function withSessions(more: number) {
    const person = await signUp(app);
    let { accessToken } = person;
    for (let n = 0; n < more; n += 1) {
      app.clock.advance({ minutes: 1 });
      ({ accessToken } = await signIn(person));
    }
    return { ...person, accessToken };
  }

  it('tells what each is: when, through whom, how, and which one asks', async () => {
    const person = await signUp(app);
    app.clock.advance({ minutes: 5 });
    const { accessToken } = await signIn(person);
    app.clock.advance({ minutes: 5 });
    await app.auth.refreshSession({ refreshToken: person.refreshToken });
    const { sessions, nextPageToken } = await list(accessToken);
    expect(nextPageToken).toBe('');
    const [younger, older] = sessions;
    expect(sessions.map(({ current }) => current)).toEqual([true, false]);
    expect(younger).toMatchObject({ caller: '', authenticationMethods: ['pwd'] });
    expect(younger?.lastUseTime).toEqual(younger?.createTime);
    const minutes = (from?: Date, to?: Date) => Math.round((Number(to) - Number(from)) / 60_000);
    expect(minutes(older?.createTime, younger?.createTime)).toBe(5);
    expect(minutes(older?.createTime, older?.lastUseTime)).toBe(10);
    expect(minutes(older?.lastUseTime, older?.expireTime)).toBe(30 * 24 * 60);
    const { sessionId } = await app.auth.introspectToken({ accessToken });
    expect(younger?.sessionId).toBe(sessionId);
  });

  it('shows address and user agent as the calling service gave them, of which no row has a letter', async () => {
    const name = `bff-${Date.now()}`;
    const person = await signUp({ auth: bff });
    const given = { clientAddress: '203.0.113.77', clientUserAgent: `Firefox/140 ${name}` };
    const { accessToken } = await signIn(person, bff, given);
    const { sessions } = await bff.listSessions({}, { accessToken });
    expect(sessions[0]).toMatchObject({
      clientAddress: '203.0.113.77',
      clientUserAgent: `Firefox/140 ${name}`,
    });
    // The sign-up came from the service itself, which told of nobody.
    expect(sessions[1]).toMatchObject({ clientAddress: '', clientUserAgent: '' });
    expect(sessions[0]?.caller).not.toBe('');
    const { rows } = await sql<{ row: string; client_sealed: Buffer | null }>`
      select s::text as row, client_sealed from sessions s where account_id = ${person.accountId}
      order by created_at desc`.execute(app.db);
    expect(rows.map(({ client_sealed }) => client_sealed === null)).toEqual([false, true]);
    const bytes = [rows[0]?.row ?? '', rows[0]?.client_sealed?.toString('latin1') ?? ''].join();
    expect(bytes).not.toContain('203.0.113.77');
    expect(bytes).not.toContain('Firefox');
    expect(bytes).not.toContain(Buffer.from('Firefox').toString('hex'));
  });

  it('takes a tool on this machine, and a user agent that nobody vouches for, for not known', async () => {
    const person = await signUp(app);
    const { accessToken } = await signIn(person, app.auth, { clientUserAgent: 'curl/8' });
    const { sessions } = await list(accessToken);
    expect(sessions.map((session) => [session.clientAddress, session.clientUserAgent])).toEqual([
      ['', ''],
      ['', ''],
    ]);
  });

  it('does not open what was sealed for another session', async () => {
    const person = await signUp({ auth: bff });
    const { accessToken } = await signIn(person, bff, { clientAddress: '203.0.113.5' });
    await sql`update sessions s set client_sealed = o.client_sealed from sessions o
      where s.account_id = ${person.accountId} and o.account_id = s.account_id
        and o.client_sealed is not null and s.client_sealed is null`.execute(app.db);
    const { sessions } = await bff.listSessions({}, { accessToken });
    expect(sessions.map(({ clientAddress }) => clientAddress)).toEqual(['203.0.113.5', '']);
  });

  it('leaves out what has ended, expired, lost its epoch or is another account’s', async () => {
    const person = await signUp(app);
    await signUp(app);
    const gone = await Promise.all([signIn(person), signIn(person), signIn(person)]);
    const [signedOut, expired, dead] = await Promise.all(
      gone.map(async ({ accessToken }) => app.auth.introspectToken({ accessToken })),
    );
    await app.auth.signOut({ refreshToken: present(gone[0]).refreshToken });
    await sql`update sessions set idle_expires_at = created_at where session_id = ${expired?.sessionId ?? ''}`.execute(
      app.db,
    );
    await sql`update sessions set session_epoch = session_epoch - 1 where session_id = ${dead?.sessionId ?? ''}`.execute(
      app.db,
    );
    const { sessions } = await list(person.accessToken);
    expect(signedOut?.active).toBe(true);
    expect(sessions.map(({ current }) => current)).toEqual([true]);
  });

  it('comes in pages that neither repeat nor leave out, while sessions begin and end', async () => {
    const person = await withSessions(6);
    const { accessToken } = person;
    const all = (await list(accessToken)).sessions.map(({ sessionId }) => sessionId);
    expect(all).toHaveLength(7);
    const first = await list(accessToken, { pageSize: 3 });
    expect(first.sessions.map(({ sessionId }) => sessionId)).toEqual(all.slice(0, 3));
    app.clock.advance({ minutes: 1 });
    await signIn(person);
    const ended = present(all[2]);
    await app.auth.revokeSession({ sessionId: ended }, { accessToken });
    const second = await list(accessToken, { pageSize: 3, pageToken: first.nextPageToken });
    expect(second.sessions.map(({ sessionId }) => sessionId)).toEqual(all.slice(3, 6));
    const third = await list(accessToken, { pageSize: 3, pageToken: second.nextPageToken });
    expect(third.sessions.map(({ sessionId }) => sessionId)).toEqual(all.slice(6));
    expect(third.nextPageToken).toBe('');
  });

  it('tells sessions of one microsecond apart, and ends with a page that is just full', async () => {
    const person = await withSessions(3);
    await sql`update sessions set created_at = (select min(created_at) from sessions where account_id = ${person.accountId})
      where account_id = ${person.accountId}`.execute(app.db);
    const seen: string[] = [];
    let pageToken = '';
    for (let pages = 1; pages <= 2; pages += 1) {
      const page = await list(person.accessToken, { pageSize: 2, pageToken });
      seen.push(...page.sessions.map(({ sessionId }) => sessionId));
      pageToken = page.nextPageToken;
    }
    expect(pageToken).toBe('');
    expect(new Set(seen).size).toBe(4);
    expect(seen).toEqual([...seen].sort().reverse());
  });

  it('has 50 to a page, 100 at the most, and no page of less than none', async () => {
    const { accountId, accessToken } = await signUp(app);
    await sql`insert into sessions (session_id, account_id, caller, session_epoch, auth_time, amr, generation,
        token_hash, idle_expires_at, expires_at, created_at)
      select gen_random_uuid(), ${accountId}::uuid, '', 0, date_trunc('second', at), '{pwd}', 0, '', at + interval '1 day',
        at + interval '1 day', at - make_interval(mins => n)
      from generate_series(1, 120) n, (select clock_timestamp() + make_interval(secs => ${app.clock.offsetMs / 1000}) as at) moment`.execute(
      app.db,
    );
    const sizes = await Promise.all(
      [undefined, 0, 1, 100, 5_000].map(
        async (pageSize) => (await list(accessToken, { pageSize })).sessions.length,
      ),
    );
    expect(sizes).toEqual([50, 50, 1, 100, 100]);
    const refusal = await refusalOf(list(accessToken, { pageSize: -1 }));
    expect(refusal).toMatchObject({ reason: 'FIELD_INVALID', metadata: { field: 'page_size' } });
  });

  it('takes its own page tokens alone: no garbage, no other account’s, not one letter changed', async () => {
    const [mine, theirs] = [await withSessions(1), await withSessions(1)];
    const { nextPageToken } = await list(mine.accessToken, { pageSize: 1 });
    const foreign = await list(theirs.accessToken, { pageSize: 1 });
    const at = Math.floor(nextPageToken.length / 2);
    const changed = `${nextPageToken.slice(0, at)}${nextPageToken[at] === 'A' ? 'B' : 'A'}${nextPageToken.slice(at + 1)}`;
    for (const pageToken of ['x', '🦊', 'A'.repeat(5_000), changed, foreign.nextPageToken]) {
      const refusal = await refusalOf(list(mine.accessToken, { pageToken }));
      expect(refusal).toMatchObject({ reason: 'FIELD_INVALID', metadata: { field: 'page_token' } });
    }
    // Nothing of a place can be read in it.
    const { sessions } = await list(mine.accessToken);
    const plain = Buffer.from(nextPageToken, 'base64url').toString('latin1');
    expect(plain).not.toContain(present(sessions[0]).sessionId);
  });

  it('is closed to a session that has ended, whatever its access token says', async () => {
    const { accountId, accessToken } = await signUp(app);
    await sql`update sessions set ended_at = created_at, end_reason = 'revoked' where account_id = ${accountId}`.execute(
      app.db,
    );
    expect(await refusalOf(list(accessToken))).toMatchObject({ reason: 'ACCESS_TOKEN_INVALID' });
  });
});
