import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { sqlNow } from '../../src/db/index.js';
import { createEndedSessions, endSessions } from '../../src/sessions/index.js';
import { describePostgres, eachDatabase, silentLog } from '../support/databases.js';
import { ACCESS_SECONDS, type House, openHouse, raiseEpoch, signedIn } from './fixtures.js';

const end = (house: House, sessionId: string) =>
  sql`${endSessions(sqlNow(house.clock), 'revoked', sql`s.session_id = ${sessionId}::uuid`)}`.execute(
    house.db,
  );

const dead = (house: House, who: Awaited<ReturnType<typeof signedIn>>) =>
  house.ended.has(who.sessionId, who.accountId, who.authTime);

eachDatabase('the set of ended sessions', (database) => {
  it('learns of a session that another process ended, at the next poll', async () => {
    await using house = await openHouse(database().db);
    const [ended, other] = [await signedIn(house), await signedIn(house)];
    await end(house, ended.sessionId);
    expect(dead(house, ended)).toBe(false);
    await house.ended.poll();
    expect(dead(house, ended)).toBe(true);
    expect(dead(house, other)).toBe(false);
  });

  it('knows at its start what had ended before', async () => {
    await using house = await openHouse(database().db);
    const person = await signedIn(house);
    await end(house, person.sessionId);
    await using later = await openHouse(database().db, { tokenKeys: house.tokenKeys });
    expect(dead(later, person)).toBe(true);
  });

  it('knows at once what its own process ends', async () => {
    await using house = await openHouse(database().db);
    const person = await signedIn(house);
    house.ended.add(person.sessionId);
    expect(dead(house, person)).toBe(true);
  });

  it('forgets a session when no token of it can be alive, and not before', async () => {
    await using house = await openHouse(database().db);
    const person = await signedIn(house);
    await end(house, person.sessionId);
    await house.ended.poll();
    house.clock.move(ACCESS_SECONDS + 30);
    await house.ended.poll();
    expect(dead(house, person)).toBe(true);
    house.clock.move(60);
    await house.ended.poll();
    expect(dead(house, person)).toBe(false);
  });

  it('sees what committed late, and what happened while polls failed', async () => {
    await using house = await openHouse(database().db);
    const person = await signedIn(house);
    await house.ended.poll();
    // Ended, by its own word, ten seconds before the last poll.
    await sql`update sessions set ended_at = clock_timestamp() - interval '10 s', end_reason = 'revoked'
      where session_id = ${person.sessionId}`.execute(house.db);
    await house.ended.poll();
    expect(dead(house, person)).toBe(true);
    const second = await signedIn(house);
    await end(house, second.sessionId);
    house.clock.move(300);
    await house.ended.poll();
    expect(dead(house, second)).toBe(true);
  });

  it('kills every session of an account whose epoch rose, and none that begins after it', async () => {
    await using house = await openHouse(database().db);
    const before = [await signedIn(house)];
    const { accountId } = before[0] ?? (await signedIn(house));
    before.push(await signedIn(house, { accountId }));
    const stranger = await signedIn(house);
    await raiseEpoch(house.db, house.clock, accountId);
    // Most often within the same second: whole seconds alone could not tell these from those.
    const after = await signedIn(house, { accountId });
    await house.ended.poll();
    expect(before.map((person) => dead(house, person))).toEqual([true, true]);
    expect(dead(house, after)).toBe(false);
    expect(dead(house, stranger)).toBe(false);
    await raiseEpoch(house.db, house.clock, accountId);
    await house.ended.poll();
    expect(dead(house, after)).toBe(true);
  });

  it('tells whole and carried-over sessions from dead ones, in the second of the revocation and before it', async () => {
    await using house = await openHouse(database().db);
    const old = await signedIn(house);
    const { accountId } = old;
    const carried = await signedIn(house, { accountId });
    house.clock.move(100);
    const [late, lateCarried] = [
      await signedIn(house, { accountId }),
      await signedIn(house, { accountId }),
    ];
    await raiseEpoch(house.db, house.clock, accountId);
    for (const { sessionId } of [carried, lateCarried]) {
      await sql`update sessions set session_epoch = session_epoch + 1 where session_id = ${sessionId}`.execute(
        house.db,
      );
    }
    await house.ended.poll();
    const all = [old, late, carried, lateCarried];
    expect(all.map((who) => dead(house, who))).toEqual([true, true, false, false]);
    // The same from the start of another process.
    await using later = await openHouse(database().db, { clock: house.clock });
    expect(all.map((who) => dead(later, who))).toEqual([true, true, false, false]);
  });

  it('lets a session that begins in the very second of the revocation pass before any further poll', async () => {
    await using house = await openHouse(database().db);
    const before = await signedIn(house);
    const { accountId } = before;
    await raiseEpoch(house.db, house.clock, accountId);
    await house.ended.poll();
    const after = await signedIn(house, { accountId });
    expect([before, after].map((who) => dead(house, who))).toEqual([true, false]);
  });

  it('knows at once which account its own process revokes, and no older poll takes that back', async () => {
    await using house = await openHouse(database().db);
    const person = await signedIn(house);
    const { accountId, sessionId, authTime } = person;
    const second = Math.floor(authTime.getTime() / 1000);
    const row = { account_id: accountId, casualties: [], survivors: [] };
    house.ended.revoke({
      ...row,
      session_epoch: 2,
      raised_second: second,
      casualties: [sessionId],
    });
    expect(dead(house, person)).toBe(true);
    house.ended.revoke({ ...row, session_epoch: 1, raised_second: second });
    expect(dead(house, person)).toBe(true);
    house.ended.revoke({
      ...row,
      session_epoch: 3,
      raised_second: second + 5,
      survivors: [sessionId],
    });
    expect(dead(house, person)).toBe(false);
  });

  it('kills what a refresh beside the revocation has signed after it', async () => {
    await using house = await openHouse(database().db);
    const person = await signedIn(house);
    await raiseEpoch(house.db, house.clock, person.accountId);
    await house.ended.poll();
    house.clock.move(5);
    // Signed later than the epoch rose, for somebody who authenticated before.
    const token = await house.accessTokens.issue({
      accountId: person.accountId,
      sessionId: person.sessionId,
      caller: 'web-bff',
      authTime: person.authTime,
      amr: ['pwd'],
      scope: {},
      grants: [],
      platformRoles: [],
    });
    await expect(house.accessTokens.verify(token)).rejects.toMatchObject({
      reason: 'ACCESS_TOKEN_INVALID',
    });
  });

  it('says how old it is', async () => {
    await using house = await openHouse(database().db);
    house.clock.move(7);
    expect(house.ended.staleForMs()).toBeGreaterThanOrEqual(7_000);
    await house.ended.poll();
    expect(house.ended.staleForMs()).toBeLessThan(7_000);
  });

  it('reads page after page', async () => {
    await using house = await openHouse(database().db);
    const { accountId } = await signedIn(house);
    await sql`insert into sessions (session_id, account_id, caller, session_epoch, auth_time, amr, generation,
        token_hash, idle_expires_at, expires_at, created_at, ended_at, end_reason)
      select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, ${accountId}::uuid, 'web', 0, at, '{}',
        0, '', at, at, at, at, 'revoked'
      from generate_series(1, 12000) n, (select clock_timestamp() as at) moment`.execute(house.db);
    await house.ended.poll();
    const missing = Array.from({ length: 12_000 }, (_, index) => index + 1).filter(
      (n) =>
        !house.ended.has(
          `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
          accountId,
          new Date(),
        ),
    );
    expect(missing).toEqual([]);
    await sql`delete from sessions where account_id = ${accountId}`.execute(house.db);
  });
});

describePostgres('the set of ended sessions without its database', (database) => {
  it('answers from the last known state, and reports once that it is old', async () => {
    await using house = await openHouse(database().db);
    const person = await signedIn(house);
    await end(house, person.sessionId);
    const messages: string[] = [];
    const note = (_fields: object, message: string): number => messages.push(message);
    let healthy = true;
    const db = house.db.withPlugin({
      transformQuery: ({ node }) => {
        if (!healthy) throw new Error('away');
        return node;
      },
      transformResult: async ({ result }) => result,
    });
    await using ended = await createEndedSessions({
      db,
      clock: house.clock,
      log: { ...silentLog, warn: note, error: note, info: note },
      accessTokenSeconds: ACCESS_SECONDS,
      pollMs: 1,
    });
    healthy = false;
    await expect.poll(() => messages).toEqual(['ended sessions could not be polled']);
    house.clock.move(11);
    await expect.poll(() => messages).toHaveLength(2);
    expect(messages[1]).toContain('last known state');
    expect(ended.has(person.sessionId, person.accountId, person.authTime)).toBe(true);
    expect(ended.staleForMs()).toBeGreaterThan(10_000);
    healthy = true;
    await expect.poll(() => messages[2]).toBe('ended sessions are polled again');
    expect(messages).toHaveLength(3);
  });
});
