import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  delivered,
  type House,
  newCaller,
  openHouse,
  present,
  refusalOf,
} from '../accounts/house.js';
import { grown, rowCounts } from '../accounts/rows.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

eachDatabase('SignUp with a request_id', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  it('answers a repetition with the same account and challenges, fresh tokens, and sends nothing', async () => {
    const request = aRequest();
    const first = await app.auth.signUp(request);
    await delivered(app);
    const before = await rowCounts(app.db);
    const again = await app.auth.signUp(request);
    await delivered(app);
    expect(again.account).toEqual(first.account);
    expect(again.challenges).toEqual(first.challenges);
    expect(again.tokens?.accessToken).not.toBe(first.tokens?.accessToken);
    expect(again.tokens?.refreshToken).not.toBe(first.tokens?.refreshToken);
    // The tokens of a repetition are a sign-in's: one more session, which works.
    expect(grown(before, await rowCounts(app.db))).toMatchObject({ sessions: 1 });
    expect(Object.keys(grown(before, await rowCounts(app.db)))).not.toContain('outbox');
    const { account } = await app.auth.getAccount(
      {},
      { accessToken: present(again.tokens).accessToken },
    );
    expect(account).toEqual(first.account);
  });

  it('recognises the request by its meaning, not by its spelling', async () => {
    const request = aRequest();
    const first = await app.auth.signUp(request);
    const again = await app.auth.signUp({
      ...request,
      username: request.username.toUpperCase(),
      email: request.email.toUpperCase(),
      requestId: request.requestId.toUpperCase(),
    });
    expect(again.account?.accountId).toBe(first.account?.accountId);
  });

  it('refuses a repetition with another password: CREDENTIALS_INVALID, and it counts as a failed sign-in', async () => {
    const request = aRequest();
    await app.auth.signUp(request);
    await delivered(app);
    const before = await rowCounts(app.db);
    const refused = await refusalOf(app.auth.signUp({ ...request, password: `${PASSWORD}!` }));
    expect(refused).toMatchObject({ reason: 'CREDENTIALS_INVALID', codeName: 'UNAUTHENTICATED' });
    const after = grown(before, await rowCounts(app.db));
    expect(after['guess_budgets']).toBeGreaterThan(0);
    expect(after).not.toHaveProperty('sessions');
  });

  it.each([
    ['username', () => ({ username: unique.username() })],
    ['email', () => ({ email: unique.email() })],
    ['phone_number', () => ({ phoneNumber: unique.phone() })],
    ['display_name', () => ({ displayName: 'Hoa' })],
    ['locale', () => ({ locale: 'en' })],
    ['organization_name', () => ({ organizationName: 'Phở' })],
  ])('refuses the id with another %s: REQUEST_ID_REUSED, and makes nothing', async (_, change) => {
    const request = aRequest();
    await app.auth.signUp(request);
    await delivered(app);
    const before = await rowCounts(app.db);
    const refused = await refusalOf(app.auth.signUp({ ...request, ...change() }));
    expect(refused).toMatchObject({
      reason: 'REQUEST_ID_REUSED',
      codeName: 'ABORTED',
      metadata: { field: 'request_id' },
    });
    expect(grown(before, await rowCounts(app.db))).toEqual({});
  });

  it('remembers for 24 hours: then the same call meets its own username', async () => {
    const request = aRequest();
    const first = await app.auth.signUp(request);
    await delivered(app);
    app.clock.advance({ minutes: 24 * 60 - 1 });
    const again = await app.auth.signUp(request);
    expect(again.account?.accountId).toBe(first.account?.accountId);
    await delivered(app);
    app.clock.advance({ minutes: 2 });
    expect(await refusalOf(app.auth.signUp(request))).toMatchObject({ reason: 'USERNAME_TAKEN' });
    // And the id may name another request.
    const other = await app.auth.signUp({ ...aRequest(), requestId: request.requestId });
    expect(other.account?.accountId).not.toBe(first.account?.accountId);
  });

  it('keeps callers apart: the same id from another caller is another key', async () => {
    const [one, two] = [
      app.connect({ callerKey: await newCaller(app) }),
      app.connect({ callerKey: await newCaller(app) }),
    ];
    // The directory of callers reads again for an unknown key at most once a second.
    app.clock.advance({ seconds: 2 });
    const requestId = randomUUID();
    const first = await one.signUp({ ...aRequest(), requestId });
    const second = await two.signUp({ ...aRequest(), requestId });
    expect(second.account?.accountId).not.toBe(first.account?.accountId);
  });

  it('tells another caller nothing: the whole request, repeated elsewhere, is a taken username', async () => {
    const request = aRequest();
    await app.auth.signUp(request);
    const other = app.connect({ callerKey: await newCaller(app) });
    app.clock.advance({ seconds: 2 });
    expect(await refusalOf(other.signUp(request))).toMatchObject({ reason: 'USERNAME_TAKEN' });
  });

  it('stores no body, only a keyed hash of it and the account', async () => {
    const request = aRequest();
    const { account } = await app.auth.signUp(request);
    const { rows } = await sql<{ request_mac: Buffer; result: unknown; row: unknown }>`
      select request_mac, result, to_jsonb(k) as row from idempotency_keys k
      where request_id = ${request.requestId}::uuid`.execute(app.db);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.request_mac).toHaveLength(32);
    expect(rows[0]?.result).toEqual({ account_id: account?.accountId });
    for (const part of [request.email, request.phoneNumber, request.password, request.username]) {
      expect(JSON.stringify(rows[0]?.row)).not.toContain(part);
    }
  });
});

function aRequest() {
  return {
    username: unique.username(),
    password: PASSWORD,
    email: unique.email(),
    phoneNumber: unique.phone(),
    displayName: 'Lan',
    organizationName: 'Bánh mì',
    locale: 'vi',
    requestId: randomUUID(),
  };
}
