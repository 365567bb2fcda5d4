import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Account } from '../../generated/countersign/v1/account.js';
import type { UpdateProfileRequest } from '../../generated/countersign/v1/auth_service.js';
import { changes } from '../sessions/fixtures.js';
import { signInByPhone } from '../sign-in/phone-house.js';
import { describePostgres, eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { type House, openHouse, present, refusalOf } from './house.js';

type Session = { readonly accessToken: string };
const update = async (
  { auth }: Pick<TestApp, 'auth'>,
  session: Session,
  request: Partial<UpdateProfileRequest>,
): Promise<Account> =>
  present((await auth.updateProfile({ profile: undefined, ...request }, session)).account);
const read = async ({ auth }: Pick<TestApp, 'auth'>, session: Session) =>
  present((await auth.getAccount({}, session)).account);
const named = (displayName: string, username = '') => ({ displayName, username });

eachDatabase('UpdateProfile', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  it('changes what the mask names, and answers with the account as it is', async () => {
    const person = await signUp(app, { displayName: 'Trần Thị Bảy' });
    const before = await read(app, person);
    app.clock.advance({ minutes: 1 });
    const account = await update(app, person, {
      profile: named('  Bảy  ', 'ignored'),
      updateMask: ['display_name'],
      etag: before.etag,
    });
    expect(account.profile).toEqual({ displayName: 'Bảy', username: person.username });
    expect(account.etag).not.toBe(before.etag);
    expect(Number(account.updateTime)).toBeGreaterThan(Number(before.updateTime));
    expect(await read(app, person)).toEqual(account);
    expect((await changes(app.db, person.accountId)).at(-1)).toMatchObject({
      action: 'profile_updated',
      outcome: 'ok',
      detail: { fields: ['display_name'] },
    });
  });

  it.each([
    ['no mask: what is given', undefined, named('New'), 'New'],
    ['an empty mask: the same', [], named('New'), 'New'],
    ['no mask and nothing given: nothing', undefined, named(''), 'Old'],
    ['a mask that names it: cleared', ['display_name'], named(''), ''],
    ['a mask that names it, and no profile: cleared', ['display_name'], undefined, ''],
  ])('%s', async (_, updateMask, profile, expected) => {
    const person = await signUp(app, { displayName: 'Old' });
    const account = await update(app, person, { profile, updateMask });
    expect(account.profile?.displayName).toBe(expected);
  });

  it('takes * for all: what is left out is cleared, and the username stands', async () => {
    const person = await signUp(app, { displayName: 'Old' });
    const profile = named('', person.username.toUpperCase());
    const account = await update(app, person, { profile, updateMask: ['*'] });
    expect(account.profile).toEqual(named('', person.username));
  });

  it('writes nothing where nothing changes: same etag, no event', async () => {
    const person = await signUp(app, { displayName: 'Same' });
    const before = await read(app, person);
    const events = await changes(app.db, person.accountId);
    const profile = named('Same', person.username);
    const account = await update(app, person, { profile, etag: before.etag });
    expect(account).toEqual(before);
    expect(await changes(app.db, person.accountId)).toEqual(events);
  });

  it.each([
    ['update_mask', { profile: named('A'), updateMask: ['display_name', 'password_hash'] }],
    ['update_mask', { profile: named('A'), updateMask: ['toString'] }],
    ['profile.display_name', { profile: named('line\nbreak') }],
    ['profile.display_name', { profile: named('x'.repeat(101)) }],
    ['etag', { profile: named('A'), etag: 'r0' }],
    ['etag', { profile: named('A'), etag: 'W/"1"' }],
  ])('refuses a %s that is none', async (field, request) => {
    const person = await signUp(app, { displayName: 'Old' });
    const before = await read(app, person);
    const refusal = await refusalOf(update(app, person, request));
    expect(refusal).toMatchObject({ reason: 'FIELD_INVALID', metadata: { field } });
    expect(await read(app, person)).toEqual(before);
  });

  it('refuses a stale etag, also where nothing would change, and one of a time to come', async () => {
    const person = await signUp(app);
    const { etag } = await read(app, person);
    await update(app, person, { profile: named('First'), etag });
    for (const [stale, name] of [
      [etag, 'Second'],
      [etag, 'First'],
      ['r999999999999999', 'Second'],
    ] as const) {
      const refusal = await refusalOf(update(app, person, { profile: named(name), etag: stale }));
      expect(refusal).toMatchObject({ reason: 'ETAG_STALE', codeName: 'ABORTED' });
    }
    expect((await read(app, person)).profile?.displayName).toBe('First');
  });

  it('sees every change of the account in its etag: a proof, a setting', async () => {
    const person = await signUp(app);
    const { etag } = await read(app, person);
    await app.auth.updateSettings({ settings: { locale: 'vi' } }, person);
    const refusal = await refusalOf(update(app, person, { profile: named('A'), etag }));
    expect(refusal).toMatchObject({ reason: 'ETAG_STALE' });
  });

  it('lets a username that was made up be changed, once', async () => {
    const person = await signInByPhone(app);
    const [first, second] = [unique.username(), unique.username()];
    const before = await read(app, person.session);
    expect(before.identifiers[0]).toMatchObject({ generated: true });
    const account = await update(app, person.session, {
      profile: named('Phở', first.toUpperCase()),
    });
    expect(account.profile).toEqual(named('Phở', first));
    expect(account.identifiers[0]).toMatchObject({
      value: first,
      generated: false,
      verified: true,
      signInEnabled: true,
    });
    expect(await read(app, person.session)).toEqual(account);
    const again = update(app, person.session, { profile: named('Other', second) });
    expect(await refusalOf(again)).toMatchObject({
      reason: 'FIELD_INVALID',
      metadata: { field: 'profile.username' },
    });
    // All or nothing.
    expect(await read(app, person.session)).toEqual(account);
    // The made-up one is free.
    await signUp(app, { username: present(before.profile).username });
  });

  it('keeps a username that was chosen at the sign-up', async () => {
    const person = await signUp(app);
    const refusal = await refusalOf(update(app, person, { profile: named('', unique.username()) }));
    expect(refusal).toMatchObject({
      reason: 'FIELD_INVALID',
      metadata: { field: 'profile.username' },
    });
    await app.auth.signIn({ identifier: person.username, password: PASSWORD });
  });

  it('refuses a username that another account has, and one that is none', async () => {
    const [person, other] = [await signInByPhone(app), await signUp(app)];
    const before = await read(app, person.session);
    const taken = update(app, person.session, { profile: named('New', other.username) });
    expect(await refusalOf(taken)).toMatchObject({ reason: 'USERNAME_TAKEN' });
    const none = update(app, person.session, { profile: named('New', '+84912345678') });
    expect(await refusalOf(none)).toMatchObject({ reason: 'USERNAME_INVALID' });
    expect(await read(app, person.session)).toEqual(before);
  });

  it('is no power of an ended session', async () => {
    const person = await signUp(app, { displayName: 'Old' });
    await sql`update accounts set session_epoch = session_epoch + 1 where account_id = ${person.accountId}`.execute(
      app.db,
    );
    const refusal = await refusalOf(update(app, person, { profile: named('Thief') }));
    expect(refusal).toMatchObject({ reason: 'ACCESS_TOKEN_INVALID' });
    const { rows } = await sql<{ display_name: string }>`
      select display_name from profiles where account_id = ${person.accountId}`.execute(app.db);
    expect(rows).toEqual([{ display_name: 'Old' }]);
  });
});

describePostgres('UpdateProfile at once', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const outcomes = (results: readonly PromiseSettledResult<Account>[]) =>
    results.map((result) => (result.status === 'fulfilled' ? 'OK' : result.reason.reason)).sort();

  it('with one etag: one is made, the others are told (20 rounds of 5)', async () => {
    const person = await signUp(app);
    for (let round = 0; round < 20; round += 1) {
      const { etag } = await read(app, person);
      const results = await Promise.allSettled(
        [1, 2, 3, 4, 5].map((n) => update(app, person, { profile: named(`${round} ${n}`), etag })),
      );
      expect(outcomes(results)).toEqual([...Array(4).fill('ETAG_STALE'), 'OK']);
      const winner = results.findIndex(({ status }) => status === 'fulfilled') + 1;
      expect((await read(app, person)).profile?.displayName).toBe(`${round} ${winner}`);
    }
  });

  it('without an etag: all are made, one after the other, each with its own revision', async () => {
    const person = await signUp(app);
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, n) => update(app, person, { profile: named(`name ${n}`) })),
    );
    expect(new Set(results.map(({ etag }) => etag)).size).toBe(10);
    const last = results.find(({ etag }) => etag === 'r11');
    expect(await read(app, person)).toEqual(last);
  });

  it('for one username: one gets it (20 rounds)', async () => {
    for (let round = 0; round < 20; round += 1) {
      const [one, two] = [await signInByPhone(app), await signInByPhone(app)];
      const username = unique.username();
      const results = await Promise.allSettled(
        [one, two].map(({ session }) => update(app, session, { profile: named('', username) })),
      );
      expect(outcomes(results)).toEqual(['OK', 'USERNAME_TAKEN']);
    }
  });
});
