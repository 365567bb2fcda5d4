import { decodeJwt } from 'jose';
import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { keyRing } from '../../src/core/keys.js';
import { introspectToken } from '../../src/sign-in/introspect-token.js';
import { refreshSession } from '../../src/sign-in/refresh-session.js';
import { signOut } from '../../src/sign-in/sign-out.js';
import {
  ACCESS_SECONDS,
  aCall,
  assign,
  changes,
  counted,
  type House,
  LIFETIME,
  newMerchant,
  newOrganization,
  openHouse,
  raiseEpoch,
  sessionRow,
  signedIn,
} from '../sessions/fixtures.js';
import { eachDatabase } from '../support/databases.js';

const refused = expect.objectContaining({ reason: 'REFRESH_TOKEN_INVALID' });
type Scope = { organizationId?: string; merchantId?: string };

const refresh = (house: House, refreshToken: string, scope?: Scope, caller?: string) =>
  refreshSession(house, aCall(caller), { refreshToken, scope });

eachDatabase('RefreshSession', (database) => {
  it('gives the next tokens of the same session, in one statement (rule 18)', async () => {
    await using house = await openHouse(database().db);
    const { accountId, sessionId, authTime, tokens } = await signedIn(house);
    const { db, count } = counted(house.db);
    house.clock.move(60);
    const next = await refresh({ ...house, db }, tokens.refreshToken);
    expect(count()).toBe(1);
    expect(next).toMatchObject({
      expiresIn: ACCESS_SECONDS,
      refreshExpiresIn: LIFETIME.idleSeconds,
    });
    expect(next.refreshToken).not.toBe(tokens.refreshToken);
    const claims = await house.accessTokens.verify(next.accessToken);
    // `auth_time` is carried unchanged, in the row and in the token.
    expect(claims).toMatchObject({
      accountId,
      sessionId,
      authTime,
      caller: 'web-bff',
      amr: ['pwd'],
    });
    expect((await sessionRow(house.db, sessionId)).auth_time).toEqual(authTime);
    expect(await refresh(house, next.refreshToken)).toMatchObject({ expiresIn: ACCESS_SECONDS });
    expect(await changes(house.db, accountId)).toEqual([]);
  });

  it('keeps nothing that refreshes in the database (rules 18, 22)', async () => {
    await using house = await openHouse(database().db);
    const { sessionId, tokens } = await signedIn(house);
    const next = await refresh(house, tokens.refreshToken);
    const { rows } = await sql<{ dump: string }>`
      select sessions::text as dump from sessions where session_id = ${sessionId}`.execute(
      house.db,
    );
    for (const token of [tokens.refreshToken, next.refreshToken]) {
      const bytes = Buffer.from(token.slice(4), 'base64url');
      expect(rows[0]?.dump).not.toContain(token);
      expect(rows[0]?.dump).not.toContain(bytes.subarray(21, 53).toString('hex'));
    }
    expect((await sessionRow(house.db, sessionId)).generation).toBe(1);
  });

  it('answers a lost answer again within 30 s, with the same successor, and not later (rule 18)', async () => {
    await using house = await openHouse(database().db);
    const { accountId, sessionId, tokens } = await signedIn(house);
    const next = await refresh(house, tokens.refreshToken);
    house.clock.move(28);
    const again = await refresh(house, tokens.refreshToken);
    expect(again.refreshToken).toBe(next.refreshToken);
    expect(again.refreshExpiresIn).toBeLessThanOrEqual(LIFETIME.idleSeconds - 28);
    expect((await sessionRow(house.db, sessionId)).generation).toBe(1);
    house.clock.move(3);
    await expect(refresh(house, tokens.refreshToken)).rejects.toEqual(refused);
    expect(await sessionRow(house.db, sessionId)).toMatchObject({ end_reason: 'reused' });
    await expect(refresh(house, next.refreshToken)).rejects.toEqual(refused);
    expect(await changes(house.db, accountId)).toEqual([
      {
        action: 'session_ended',
        outcome: 'reused',
        caller: 'web-bff',
        detail: { sessionId, generation: 0 },
      },
    ]);
  });

  it('ends the family when a grandparent is shown, at once and audited once (rule 18)', async () => {
    await using house = await openHouse(database().db);
    const { accountId, sessionId, tokens } = await signedIn(house);
    const second = await refresh(house, tokens.refreshToken);
    const third = await refresh(house, second.refreshToken);
    await expect(refresh(house, tokens.refreshToken)).rejects.toEqual(refused);
    expect(await sessionRow(house.db, sessionId)).toMatchObject({
      end_reason: 'reused',
      ended_at: expect.any(Date),
      successor_sealed: null,
    });
    for (const { refreshToken } of [tokens, second, third]) {
      await expect(refresh(house, refreshToken)).rejects.toEqual(refused);
    }
    expect(await changes(house.db, accountId)).toHaveLength(1);
    // This process introspects accordingly without waiting for its poll.
    const { accessToken } = third;
    expect(await introspectToken(house, { accessToken })).toEqual({ active: false });
  });

  it('asks nothing of the database for garbage, and ends nothing (rule 18)', async () => {
    await using house = await openHouse(database().db);
    const { sessionId, tokens } = await signedIn(house);
    const { db, count } = counted(house.db);
    const token = tokens.refreshToken;
    const flipped = `${token.slice(0, 60)}${token[60] === 'A' ? 'B' : 'A'}${token.slice(61)}`;
    for (const garbage of [
      '',
      'garbage',
      'crt_',
      flipped,
      tokens.accessToken,
      token.slice(0, -1),
    ]) {
      await expect(refresh({ ...house, db }, garbage)).rejects.toEqual(refused);
      await expect(signOut({ ...house, db }, aCall(), { refreshToken: garbage })).rejects.toEqual(
        refused,
      );
    }
    expect(count()).toBe(0);
    expect((await sessionRow(house.db, sessionId)).ended_at).toBeNull();
  });

  it("refuses another caller's token and ends nothing (rule 18)", async () => {
    await using house = await openHouse(database().db);
    const { sessionId, tokens } = await signedIn(house);
    const { db, count } = counted(house.db);
    for (const caller of ['other-bff', '']) {
      await expect(
        refresh({ ...house, db }, tokens.refreshToken, undefined, caller),
      ).rejects.toEqual(refused);
      const leaving = signOut({ ...house, db }, aCall(caller), tokens);
      await expect(leaving).rejects.toEqual(refused);
    }
    expect(count()).toBe(0);
    expect(await sessionRow(house.db, sessionId)).toMatchObject({ ended_at: null, generation: 0 });
  });

  it('stops after the idle lifetime, and after the absolute one however busy (rule 18)', async () => {
    await using house = await openHouse(database().db);
    const idle = await signedIn(house);
    const busy = await signedIn(house);
    let token = busy.tokens.refreshToken;
    house.clock.move(LIFETIME.idleSeconds - 5);
    token = (await refresh(house, token)).refreshToken;
    house.clock.move(10);
    await expect(refresh(house, idle.tokens.refreshToken)).rejects.toEqual(refused);
    // Expired is no reuse.
    expect((await sessionRow(house.db, idle.sessionId)).ended_at).toBeNull();
    house.clock.move(LIFETIME.maxSeconds - LIFETIME.idleSeconds - 20);
    const last = await refresh(house, token);
    expect(last.refreshExpiresIn).toBeLessThanOrEqual(15);
    const row = await sessionRow(house.db, busy.sessionId);
    expect(row.idle_expires_at).toEqual(row.expires_at);
    house.clock.move(16);
    await expect(refresh(house, last.refreshToken)).rejects.toEqual(refused);
  });

  it.each(['blocked', 'deactivated', 'closed'])('refuses a %s account', async (status) => {
    await using house = await openHouse(database().db);
    const { accountId, tokens } = await signedIn(house);
    await sql`update accounts set status = ${status} where account_id = ${accountId}`.execute(
      house.db,
    );
    await expect(refresh(house, tokens.refreshToken)).rejects.toEqual(refused);
    await expect(
      refresh(house, tokens.refreshToken, { organizationId: accountId }),
    ).rejects.toEqual(refused);
  });

  it('refuses sessions of before the session epoch rose, retries too', async () => {
    await using house = await openHouse(database().db);
    const { accountId, sessionId, tokens } = await signedIn(house);
    const next = await refresh(house, tokens.refreshToken);
    await raiseEpoch(house.db, house.clock, accountId);
    for (const { refreshToken } of [tokens, next]) {
      await expect(refresh(house, refreshToken)).rejects.toEqual(refused);
    }
    expect((await sessionRow(house.db, sessionId)).ended_at).toBeNull();
    const after = await signedIn(house, { accountId });
    expect(await refresh(house, after.tokens.refreshToken)).toBeDefined();
  });

  it('brings a change of roles into effect (A6)', async () => {
    await using house = await openHouse(database().db);
    const organizationId = await newOrganization(house.db);
    const { accountId, tokens } = await signedIn(house, { organizationId });
    await assign(house.db, accountId, 'owner', organizationId);
    const second = await refresh(house, tokens.refreshToken);
    expect(decodeJwt(second.accessToken)).toMatchObject({
      org: organizationId,
      grants: [{ role: 'owner' }],
      roles: ['owner'],
    });
    await sql`delete from role_assignments where account_id = ${accountId}`.execute(house.db);
    // Nobody finds themselves in another tenant, or in none, unawares; and the token is not used up.
    await expect(refresh(house, second.refreshToken)).rejects.toMatchObject({
      reason: 'SCOPE_NOT_GRANTED',
    });
    await assign(house.db, accountId, 'cashier', organizationId);
    const third = await refresh(house, second.refreshToken);
    expect(decodeJwt(third.accessToken)).toMatchObject({ roles: ['cashier'] });
  });

  it('stores a chosen scope in the session and on the account, and keeps it without one', async () => {
    await using house = await openHouse(database().db);
    const [first, second] = [await newOrganization(house.db), await newOrganization(house.db)];
    const merchantId = await newMerchant(house.db, second);
    const { accountId, sessionId, tokens } = await signedIn(house, { organizationId: first });
    await assign(house.db, accountId, 'owner', first);
    await assign(house.db, accountId, 'employee', second);
    const lastChosen = async () =>
      (
        await sql<{ id: string | null }>`
          select last_organization_id as id from accounts where account_id = ${accountId}`.execute(
          house.db,
        )
      ).rows[0]?.id;
    const same = await refresh(house, tokens.refreshToken);
    expect(decodeJwt(same.accessToken)).toMatchObject({ org: first, roles: ['owner'] });
    expect(await lastChosen()).toBeNull();
    const { db, count } = counted(house.db);
    const moved = await refresh({ ...house, db }, same.refreshToken, {
      organizationId: second,
      merchantId,
    });
    expect(count()).toBe(1);
    expect(decodeJwt(moved.accessToken)).toMatchObject({
      org: second,
      merchant: merchantId,
      roles: ['employee'],
    });
    expect(await lastChosen()).toBe(second);
    expect(await sessionRow(house.db, sessionId)).toMatchObject({
      organization_id: second,
      merchant_id: merchantId,
    });
    const kept = await refresh(house, moved.refreshToken);
    expect(decodeJwt(kept.accessToken)).toMatchObject({ org: second, merchant: merchantId });
  });

  it('keeps the scope that a retry chooses', async () => {
    await using house = await openHouse(database().db);
    const [first, second] = [await newOrganization(house.db), await newOrganization(house.db)];
    const { accountId, sessionId, tokens } = await signedIn(house, { organizationId: first });
    await assign(house.db, accountId, 'owner', first);
    await assign(house.db, accountId, 'employee', second);
    const next = await refresh(house, tokens.refreshToken, { organizationId: first });
    const again = await refresh(house, tokens.refreshToken, { organizationId: second });
    expect(again.refreshToken).toBe(next.refreshToken);
    expect(decodeJwt(again.accessToken)).toMatchObject({ org: second });
    expect(await sessionRow(house.db, sessionId)).toMatchObject({
      organization_id: second,
      generation: 1,
    });
  });

  it('does not use the token up when the scope is not granted', async () => {
    await using house = await openHouse(database().db);
    const organizationId = await newOrganization(house.db);
    const { accountId, sessionId, tokens } = await signedIn(house);
    const before = await sessionRow(house.db, sessionId);
    const notGranted = expect.objectContaining({ reason: 'SCOPE_NOT_GRANTED' });
    await expect(refresh(house, tokens.refreshToken, { organizationId })).rejects.toEqual(
      notGranted,
    );
    expect(await sessionRow(house.db, sessionId)).toEqual(before);
    expect(await changes(house.db, accountId)).toEqual([]);
    const next = await refresh(house, tokens.refreshToken);
    await expect(refresh(house, tokens.refreshToken, { organizationId })).rejects.toEqual(
      notGranted,
    );
    // Reuse is reuse, whatever it asks for.
    await refresh(house, next.refreshToken);
    await expect(refresh(house, tokens.refreshToken, { organizationId })).rejects.toEqual(refused);
    expect((await sessionRow(house.db, sessionId)).end_reason).toBe('reused');
  });

  it('works with TOKEN_KEYS rotated in between', async () => {
    await using house = await openHouse(database().db);
    const { tokens } = await signedIn(house);
    const next = await refresh(house, tokens.refreshToken);
    const tokenKeys = keyRing([house.random.bytes(32), house.tokenKeys.current.key]);
    await using restarted = await openHouse(database().db, { tokenKeys });
    expect((await refresh(restarted, tokens.refreshToken)).refreshToken).toBe(next.refreshToken);
    const later = await refresh(restarted, next.refreshToken);
    expect(await introspectToken(restarted, later)).toMatchObject({ active: true });
    // Made under the new key: the replica that does not have it yet refuses, and ends nothing.
    await expect(refresh(house, later.refreshToken)).rejects.toEqual(refused);
    expect(await refresh(restarted, later.refreshToken)).toBeDefined();
  });
});

eachDatabase('SignOut', (database) => {
  it('ends the session in one statement, and again without another event', async () => {
    await using house = await openHouse(database().db);
    const { accountId, sessionId, tokens } = await signedIn(house);
    const { db, count } = counted(house.db);
    await signOut({ ...house, db }, aCall(), tokens);
    expect(count()).toBe(1);
    const row = await sessionRow(house.db, sessionId);
    expect(row).toMatchObject({ end_reason: 'signed_out', ended_at: expect.any(Date) });
    house.clock.move(5);
    await signOut(house, aCall(), tokens);
    expect(await sessionRow(house.db, sessionId)).toEqual(row);
    expect(await changes(house.db, accountId)).toEqual([
      {
        action: 'session_ended',
        outcome: 'signed_out',
        caller: 'web-bff',
        detail: { sessionId },
      },
    ]);
    await expect(refresh(house, tokens.refreshToken)).rejects.toEqual(refused);
    expect(await changes(house.db, accountId)).toHaveLength(1);
  });

  it('takes any token the family ever had', async () => {
    await using house = await openHouse(database().db);
    const { sessionId, tokens } = await signedIn(house);
    const second = await refresh(house, tokens.refreshToken);
    await refresh(house, second.refreshToken);
    await signOut(house, aCall(), tokens);
    expect((await sessionRow(house.db, sessionId)).end_reason).toBe('signed_out');
  });

  it('leaves other sessions of the account alone', async () => {
    await using house = await openHouse(database().db);
    const one = await signedIn(house);
    const two = await signedIn(house, { accountId: one.accountId });
    await signOut(house, aCall(), one.tokens);
    expect(await refresh(house, two.tokens.refreshToken)).toBeDefined();
    expect(await introspectToken(house, two.tokens)).toMatchObject({ active: true });
  });
});

eachDatabase('IntrospectToken', (database) => {
  it('tells what a good token says, without a statement', async () => {
    await using house = await openHouse(database().db);
    const { accountId, sessionId, tokens } = await signedIn(house);
    const { db, count } = counted(house.db);
    expect(await introspectToken({ ...house, db } as House, tokens)).toMatchObject({
      active: true,
      claims: { accountId, sessionId, caller: 'web-bff', issuer: 'https://id.example' },
    });
    expect(count()).toBe(0);
  });

  it('knows a sign-out here at once, and one elsewhere after a poll', async () => {
    await using here = await openHouse(database().db);
    await using elsewhere = await openHouse(database().db);
    const { tokens } = await signedIn(here);
    await signOut(here, aCall(), tokens);
    expect(await introspectToken(here, tokens)).toEqual({ active: false });
    await elsewhere.ended.poll();
    expect(await introspectToken(elsewhere, tokens)).toEqual({ active: false });
  });

  it('is inactive, and no error, for anything wrong', async () => {
    await using house = await openHouse(database().db);
    const { tokens } = await signedIn(house);
    for (const accessToken of [
      '',
      '.',
      'a.b.c',
      tokens.refreshToken,
      `${tokens.accessToken}x`,
      'x'.repeat(70_000),
    ]) {
      expect(await introspectToken(house, { accessToken })).toEqual({ active: false });
    }
    house.clock.move(ACCESS_SECONDS + 1);
    expect(await introspectToken(house, tokens)).toEqual({ active: false });
  });
});
