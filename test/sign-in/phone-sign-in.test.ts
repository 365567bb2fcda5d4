import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import { parseUsername } from '../../src/core/contact.js';
import {
  codeFor,
  delivered,
  type House,
  holder,
  messagesTo,
  newCaller,
  openHouse,
  present,
  refusalOf,
  sms,
} from '../accounts/house.js';
import { grown, rowCounts } from '../accounts/rows.js';
import { type WatchedDatabase, watchDatabase } from '../security/watched-database.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { ask, askForCode, changesOf, signInByPhone } from './phone-house.js';

/** P1: the same token set as a password gives, and a whole account where there was none. */
eachDatabase('CompletePhoneSignIn', (database) => {
  let house: House;
  let app: TestApp;
  let watched: WatchedDatabase;
  beforeAll(async () => {
    watched = watchDatabase(database());
    house = await openHouse(watched.database);
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  it('makes a whole account of a new number, as a sign-up does, and signs in to it', async () => {
    const phone = unique.phone();
    const asked = await askForCode(app, phone);
    const before = await rowCounts(app.db);
    const done = await app.auth.completePhoneSignIn(asked);
    expect(done.isFirstSignIn).toBe(true);
    expect(grown(before, await rowCounts(app.db))).toEqual({
      accounts: 1,
      profiles: 1,
      account_settings: 1,
      organizations: 1,
      role_assignments: 1,
      identifiers: 2,
      sessions: 1,
      audit_events: 1,
      guess_budgets: 2,
    });
    const { accessToken } = present(done.tokens);
    const account = present((await app.auth.getAccount({}, { accessToken })).account);
    const username = present(account.profile).username;
    expect(username).toMatch(/^user-[0-9a-z]{12}$/);
    expect(parseUsername('username', username)).toBe(username);
    expect(account).toMatchObject({
      accountId: done.accountId,
      profile: { displayName: '' },
      settings: { locale: '' },
      identifiers: [
        { type: IdentifierType.USERNAME, value: username, verified: true, generated: true },
        {
          type: IdentifierType.PHONE,
          value: phone,
          verified: true,
          signInEnabled: true,
          generated: false,
        },
      ],
    });
    const told = await app.auth.introspectToken({ accessToken });
    const { rows } = await sql<{ name: string; organization_id: string }>`
      select o.name, o.organization_id from accounts a
      join organizations o on o.organization_id = a.last_organization_id
      where a.account_id = ${done.accountId}::uuid and a.password_hash is null and a.audit_key is not null`.execute(
      app.db,
    );
    expect(rows).toEqual([{ name: username, organization_id: told.scope?.organizationId }]);
    expect(told).toMatchObject({
      active: true,
      accountId: done.accountId,
      roles: ['owner'],
      grants: [{ role: 'owner', merchantId: '' }],
      authenticationMethods: ['otp', 'sms'],
    });
    // No password opens it: there is none.
    for (const identifier of [username, phone]) {
      const refused = await refusalOf(app.auth.signIn({ identifier, password: PASSWORD }));
      expect(refused.reason).toBe('CREDENTIALS_INVALID');
    }
  });

  it('signs in whatever PROMOTE_PHONE says of numbers that are added later', async () => {
    const off = await house.open({ PROMOTE_PHONE: 'off' });
    const born = await signInByPhone(off);
    expect(await signInByPhone(off, born.phone)).toMatchObject({ accountId: born.accountId });
  });

  it('gives tokens that refresh, and writes down who asked for what (T6)', async () => {
    const callerKey = await newCaller(app);
    const asBff = await house.open({}, { callerKey });
    const phone = unique.phone();
    const born = await signInByPhone(asBff, phone, {
      clientAddress: '198.51.100.7',
      requestId: 'first-call',
    });
    const again = await signInByPhone(asBff, phone, { requestId: 'second-call' });
    const { refreshToken } = present(again.tokens);
    expect((await asBff.auth.refreshSession({ refreshToken })).tokens?.accessToken).toBeTruthy();
    const changes = await changesOf(app, born.accountId);
    expect(changes.map(({ action, request_id }) => [action, request_id])).toEqual([
      ['account_created', 'first-call'],
      ['code_sent', 'second-call'],
      ['session_started', 'second-call'],
    ]);
    expect(changes[0]?.detail).toMatchObject({ channels: ['sms'], amr: ['otp', 'sms'] });
    expect(changes[1]?.detail).toEqual({ channel: 'sms', purpose: 'sign_in' });
    expect(JSON.stringify(changes)).not.toContain(phone.slice(-4));
    const { rows } = await sql<{ action: string; account_id: string | null }>`
      select action, account_id from audit_events
      where kind = 'change' and request_id = 'first-call' and action <> 'account_created' order by occurred_at`.execute(
      app.db,
    );
    expect(rows).toEqual([
      { action: 'code_requested', account_id: null },
      { action: 'code_sent', account_id: null },
    ]);
    await asBff.app[Symbol.asyncDispose]();
    const { rows: access } = await sql<{ action: string; outcome: string }>`
      select action, outcome from audit_events where kind = 'access' and account_id = ${born.accountId}::uuid
        and request_id = 'first-call'`.execute(app.db);
    expect(access).toMatchObject([{ outcome: 'OK' }]);
  });

  it('acts in the scope that is asked for, and remembers it; one not granted uses nothing up', async () => {
    const person = await holder(app, sms);
    const organizationId = randomUUID();
    await sql`insert into organizations (organization_id, name, created_at, updated_at)
      values (${organizationId}::uuid, 'second', now(), now())`.execute(app.db);
    await sql`insert into role_assignments (role_assignment_id, account_id, role, organization_id, created_at)
      values (${randomUUID()}::uuid, ${person.accountId}::uuid, 'cashier', ${organizationId}::uuid, now())`.execute(
      app.db,
    );
    const asked = await askForCode(app, person.address);
    const budgets = () =>
      sql`select failures, window_failures from guess_budgets where channel = 'sms' and lane = 'anonymous'
        and subject = uuid_send(${person.accountId}::uuid)`.execute(app.db);
    // More often than wrong codes may be typed.
    for (let tries = 0; tries < 7; tries += 1) {
      const scope = { organizationId: randomUUID(), merchantId: '' };
      const refused = await refusalOf(app.auth.completePhoneSignIn({ ...asked, scope }));
      expect(refused.reason).toBe('SCOPE_NOT_GRANTED');
    }
    expect((await budgets()).rows).toEqual([{ failures: 0, window_failures: 0 }]);
    const scope = { organizationId, merchantId: '' };
    const done = await app.auth.completePhoneSignIn({ ...asked, scope });
    const told = await app.auth.introspectToken(present(done.tokens));
    expect(told).toMatchObject({ scope: { organizationId }, roles: ['cashier'] });
    const next = await signInByPhone(app, person.address);
    expect((await app.auth.introspectToken(present(next.tokens))).scope).toMatchObject({
      organizationId,
    });
  });

  it('a new account has no scope to ask for: SCOPE_NOT_GRANTED, nothing is made, and the code is good still', async () => {
    const asked = await askForCode(app, unique.phone());
    const before = await rowCounts(app.db);
    const scope = { organizationId: randomUUID(), merchantId: '' };
    for (let tries = 0; tries < 7; tries += 1) {
      const refused = await refusalOf(app.auth.completePhoneSignIn({ ...asked, scope }));
      expect(refused.reason).toBe('SCOPE_NOT_GRANTED');
    }
    expect(grown(before, await rowCounts(app.db))).toEqual({ guess_budgets: 2 });
    expect((await app.auth.completePhoneSignIn(asked)).isFirstSignIn).toBe(true);
  });

  it('lifts the lock that wrong passwords brought on, and clears what was counted against codes', async () => {
    const person = await holder(app, sms);
    for (let tries = 0; tries < 5; tries += 1) {
      const wrong = { identifier: person.username, password: 'not the password' };
      await refusalOf(app.auth.signIn(wrong));
    }
    const locks = async () => {
      const { rows } =
        await sql`select failures, locks, locked_until, window_failures from guess_budgets
        where subject = uuid_send(${person.accountId}::uuid) and channel = 'password' and lane = 'anonymous'`.execute(
          app.db,
        );
      return rows;
    };
    expect(await locks()).toMatchObject([{ failures: 5, locks: 1, window_failures: 5 }]);
    await signInByPhone(app, person.address);
    expect(await locks()).toEqual([
      { failures: 0, locks: 0, locked_until: null, window_failures: 0 },
    ]);
    // By a name that nobody has locked it is open at once.
    const { accountId } = await app.auth.signIn({ identifier: person.address, password: PASSWORD });
    expect(accountId).toBe(person.accountId);
  });

  it('is a recent authentication, as a change of address asks for one (rule 12)', async () => {
    const person = await holder(app, sms);
    app.clock.advance({ minutes: 11 });
    const email = unique.email();
    const { session } = person;
    const refused = await refusalOf(app.auth.sendEmailVerificationCode({ email }, session));
    expect(refused.reason).toBe('REAUTHENTICATION_REQUIRED');
    const fresh = await signInByPhone(app, person.address);
    const { challenge } = await app.auth.sendEmailVerificationCode({ email }, fresh.session);
    expect(challenge?.challengeId).toBeTruthy();
  });

  it('tells the code and its purpose in the language asked for, until the account has one', async () => {
    const phone = unique.phone();
    await ask(app, phone, { locale: 'vi', acceptLanguage: 'en' });
    await delivered(app);
    await ask(app, phone, { acceptLanguage: 'vi' });
    await ask(app, phone, { acceptLanguage: 'en' });
    const [first, second, third] = await messagesTo(app, phone);
    expect([first?.locale, second?.locale, third?.locale]).toEqual(['vi', 'vi', 'en']);
    expect(third?.text).toMatch(/^\d{6} is your Countersign sign-in code/);
    const born = await signInByPhone(app, phone);
    await sql`update account_settings set locale = 'vi' where account_id = ${born.accountId}::uuid`.execute(
      app.db,
    );
    await ask(app, phone, { locale: 'en' });
    expect((await messagesTo(app, phone)).at(-1)?.locale).toBe('vi');
  });

  it.each([
    { kind: 'a new number', faults: [/insert into accounts/, /insert into audit_events/] },
    { kind: 'a known number', faults: [/insert into sessions/, /update challenges c set used_at/] },
  ])(
    'all or nothing for $kind: a failing statement leaves no row, and the code works',
    async ({ kind, faults }) => {
      const phone = kind === 'a new number' ? unique.phone() : (await holder(app, sms)).address;
      const asked = await askForCode(app, phone);
      const before = await rowCounts(app.db);
      for (const fits of faults) {
        watched.failNext(fits, new Error('lost'));
        const failed = await refusalOf(app.auth.completePhoneSignIn(asked));
        expect(failed.reason).toBe('INTERNAL');
      }
      const { guess_budgets: _, ...after } = grown(before, await rowCounts(app.db));
      expect(after).toEqual({});
      expect((await app.auth.completePhoneSignIn(asked)).accountId).toBeTruthy();
    },
  );

  it('undoes all of it where the database refuses the last part of it', async () => {
    const phone = unique.phone();
    const asked = await askForCode(app, phone);
    const before = await rowCounts(app.db);
    await sql`alter table audit_events add constraint no_more check (action <> 'account_created') not valid`.execute(
      app.db,
    );
    try {
      const failed = await refusalOf(app.auth.completePhoneSignIn(asked));
      expect(failed.reason).toBe('INTERNAL');
    } finally {
      await sql`alter table audit_events drop constraint no_more`.execute(app.db);
    }
    const { guess_budgets: _, ...after } = grown(before, await rowCounts(app.db));
    expect(after).toEqual({});
    expect((await app.auth.completePhoneSignIn(asked)).isFirstSignIn).toBe(true);
  });

  it('a generated username that is taken is drawn anew', async () => {
    const asked = await askForCode(app, unique.phone());
    watched.failNext(
      /insert into accounts/,
      Object.assign(new Error('taken'), { code: '23505', constraint: 'identifiers_holder' }),
    );
    expect((await app.auth.completePhoneSignIn(asked)).isFirstSignIn).toBe(true);
  });

  it('nothing is left of a stranger who only asks: no account, however often', async () => {
    const phone = unique.phone();
    const before = await rowCounts(app.db);
    for (let asked = 0; asked < 5; asked += 1) await ask(app, phone);
    await codeFor(app, phone);
    expect(grown(before, await rowCounts(app.db))).toEqual({
      challenges: 5,
      outbox: 5,
      audit_events: 10,
    });
  });

  it('a username and a number signed up later are not mixed up with it', async () => {
    const born = await signInByPhone(app);
    const claim = await signUp(app, { phoneNumber: born.phone });
    await delivered(app);
    const code = app.mailbox.codeFor(born.phone);
    const [challengeId = ''] = claim.challengeIds;
    const refused = await refusalOf(app.auth.confirmPhoneNumber({ challengeId, code }));
    expect(refused.reason).toBe('IDENTIFIER_TAKEN');
    expect(await signInByPhone(app, born.phone)).toMatchObject({ accountId: born.accountId });
  });
});
