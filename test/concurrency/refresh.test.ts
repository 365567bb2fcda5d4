import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Database, inTransaction, openDatabase } from '../../src/db/index.js';
import { refreshSession } from '../../src/sign-in/refresh-session.js';
import { signOut } from '../../src/sign-in/sign-out.js';
import {
  aCall,
  assign,
  changes,
  type House,
  newOrganization,
  openHouse,
  raiseEpoch,
  sessionRow,
  signedIn,
} from '../sessions/fixtures.js';
import { describePostgres, silentLog } from '../support/databases.js';

/** The calls alternate between two pools, each with its own state in memory, as two processes have. */
describePostgres('refreshing at once from two processes', (database) => {
  let second: Database;
  let houses: readonly [House, House];

  beforeAll(async () => {
    second = await openDatabase({ url: database().url }, { log: silentLog });
    houses = [await openHouse(database().db), await openHouse(second.db)];
  });
  afterAll(async () => {
    for (const house of houses) await house[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
  });

  const many = <T>(count: number, fn: (house: House, index: number) => Promise<T>) =>
    Promise.allSettled(
      Array.from({ length: count }, (_, index) => fn(houses[index % 2 === 0 ? 0 : 1], index)),
    );
  const reasons = (results: readonly PromiseSettledResult<unknown>[]) =>
    results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason?.reason ?? result.reason] : [],
    );

  it('50 times: one rotation, 49 retries, one successor, the family alive (rules 5, 18)', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { accountId, sessionId, tokens } = await signedIn(houses[0]);
      const results = await many(50, (house) =>
        refreshSession(house, aCall(), { refreshToken: tokens.refreshToken, scope: undefined }),
      );
      expect(reasons(results)).toEqual([]);
      const successors = new Set(
        results.map((result) => (result.status === 'fulfilled' ? result.value.refreshToken : '')),
      );
      expect(successors.size).toBe(1);
      expect(await sessionRow(database().db, sessionId)).toMatchObject({
        generation: 1,
        ended_at: null,
      });
      expect(await changes(database().db, accountId)).toEqual([]);
      const [refreshToken = ''] = successors;
      expect(
        await refreshSession(houses[1], aCall(), { refreshToken, scope: undefined }),
      ).toBeDefined();
    }
  });

  it('with and without a scope: no deadlock, one successor, the last choice stands in both rows', async () => {
    for (let round = 0; round < 10; round += 1) {
      const [one, two] = [
        await newOrganization(database().db),
        await newOrganization(database().db),
      ];
      const { accountId, sessionId, tokens } = await signedIn(houses[0], { organizationId: one });
      await assign(database().db, accountId, 'owner', one);
      await assign(database().db, accountId, 'owner', two);
      const scopes = [undefined, { organizationId: one }, { organizationId: two }];
      const results = await many(30, (house, index) =>
        refreshSession(house, aCall(), {
          refreshToken: tokens.refreshToken,
          scope: scopes[index % 3],
        }),
      );
      expect(reasons(results)).toEqual([]);
      const row = await sessionRow(database().db, sessionId);
      expect(row).toMatchObject({ generation: 1, ended_at: null });
      const { rows } = await sql<{ last_organization_id: string }>`
        select last_organization_id from accounts where account_id = ${accountId}`.execute(
        database().db,
      );
      expect(rows[0]?.last_organization_id).toBe(row.organization_id);
    }
  });

  it('a grandparent, 50 times: the family ends once, with one change event', async () => {
    const { accountId, sessionId, tokens } = await signedIn(houses[0]);
    const next = await refreshSession(houses[0], aCall(), { ...tokens, scope: undefined });
    const last = await refreshSession(houses[1], aCall(), { ...next, scope: undefined });
    const results = await many(50, (house) =>
      refreshSession(house, aCall(), { ...tokens, scope: undefined }),
    );
    expect(reasons(results)).toEqual(Array(50).fill('REFRESH_TOKEN_INVALID'));
    expect(await sessionRow(database().db, sessionId)).toMatchObject({ end_reason: 'reused' });
    expect(await changes(database().db, accountId)).toHaveLength(1);
    const dead = refreshSession(houses[0], aCall(), { ...last, scope: undefined });
    await expect(dead).rejects.toMatchObject({ reason: 'REFRESH_TOKEN_INVALID' });
  });

  it('beside a sign-out: whoever comes second finds the session ended, and no token outlives it', async () => {
    for (let round = 0; round < 20; round += 1) {
      const { accountId, sessionId, tokens } = await signedIn(houses[0]);
      const results = await many(10, async (house, index) =>
        index === 5
          ? signOut(house, aCall(), tokens)
          : refreshSession(house, aCall(), { ...tokens, scope: undefined }),
      );
      expect(new Set(reasons(results)).size).toBeLessThanOrEqual(1);
      expect(await sessionRow(database().db, sessionId)).toMatchObject({
        end_reason: 'signed_out',
      });
      expect(await changes(database().db, accountId)).toHaveLength(1);
      for (const result of results) {
        if (result.status === 'rejected' || result.value === undefined) continue;
        const { refreshToken } = result.value;
        const dead = refreshSession(houses[1], aCall(), { refreshToken, scope: undefined });
        await expect(dead).rejects.toMatchObject({ reason: 'REFRESH_TOKEN_INVALID' });
      }
    }
  });

  it('beside revocation of all sessions, with chosen scopes: no deadlock, and nothing lives on', async () => {
    for (let round = 0; round < 20; round += 1) {
      const organizationId = await newOrganization(database().db);
      const { accountId, tokens } = await signedIn(houses[0]);
      await assign(database().db, accountId, 'owner', organizationId);
      const results = await many(10, async (house, index) =>
        index === 5
          ? raiseEpoch(house.db, house.clock, accountId)
          : refreshSession(house, aCall(), { ...tokens, scope: { organizationId } }),
      );
      expect(reasons(results).every((reason) => reason === 'REFRESH_TOKEN_INVALID')).toBe(true);
      for (const house of houses) await house.ended.poll();
      for (const result of results) {
        if (result.status === 'rejected' || result.value === undefined) continue;
        const { refreshToken, accessToken } = result.value;
        const dead = refreshSession(houses[1], aCall(), { refreshToken, scope: undefined });
        await expect(dead).rejects.toMatchObject({ reason: 'REFRESH_TOKEN_INVALID' });
        await expect(houses[0].accessTokens.verify(accessToken)).rejects.toMatchObject({
          reason: 'ACCESS_TOKEN_INVALID',
        });
      }
    }
  });

  it('waits for the account before it takes the session (lock order)', async () => {
    const organizationId = await newOrganization(database().db);
    const { accountId, sessionId, tokens } = await signedIn(houses[0]);
    await assign(database().db, accountId, 'owner', organizationId);
    // Begun outside the transaction below, whose scope it must not inherit.
    let begin = (): void => {};
    const refreshing = new Promise<void>((resolve) => {
      begin = resolve;
    }).then(() => refreshSession(houses[0], aCall(), { ...tokens, scope: { organizationId } }));
    await inTransaction(second.db, async (tx) => {
      await sql`select from accounts where account_id = ${accountId} for update`.execute(tx);
      begin();
      // Until its statement waits for our lock.
      await expect
        .poll(async () => {
          const { rows } = await sql`
            select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
            tx,
          );
          return rows.length;
        })
        .toBe(1);
      // In the other order this would be a deadlock.
      await sql`select from sessions where session_id = ${sessionId} for update nowait`.execute(tx);
    });
    await expect(refreshing).resolves.toBeDefined();
  });
});
