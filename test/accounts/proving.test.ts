import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { signUp, unique, wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  addressesOf,
  budgets,
  channels,
  claimant,
  codeFor,
  delivered,
  email,
  failuresOf,
  type House,
  messagesTo,
  newCaller,
  openHouse,
  present,
  refusalOf,
  sms,
} from './house.js';

eachDatabase('proving an address', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  describe.each(channels)('by $channel', (on) => {
    const other = on === email ? sms : email;

    it('proves a claim for the session of its account, without a challenge_id (V1, V2, V3)', async () => {
      const person = await claimant(app, on);
      const { identifier } = await on.confirm(app, { code: person.code }, person.session);
      expect(identifier).toMatchObject({
        type: on.wireType,
        value: person.address,
        verified: true,
        signInEnabled: true,
      });
      expect(identifier?.verifyTime).toBeInstanceOf(Date);
      expect(await addressesOf(app, person.accountId)).toEqual([
        { type: on.type, value: person.address, state: 'verified', sign_in_enabled: true },
      ]);
      const { account } = await app.auth.getAccount({}, person.session);
      expect(account?.identifiers[1]).toEqual(identifier);
    });

    it('proves a claim for whoever holds its handle, and gives them no session (V1)', async () => {
      const { accountId, challengeId, code } = await claimant(app, on);
      const before = await sql`select session_id from sessions`.execute(app.db);
      const response = await on.confirm(app, { challengeId, code });
      expect(Object.keys(response)).toEqual(['identifier']);
      expect((await sql`select session_id from sessions`.execute(app.db)).rows).toHaveLength(
        before.rows.length,
      );
      expect(await addressesOf(app, accountId)).toMatchObject([{ state: 'verified' }]);
    });

    it('takes a code once (V9): afterwards CODE_EXPIRED, and nothing is charged', async () => {
      const person = await claimant(app, on);
      await on.confirm(app, person, person.session);
      const charged = await budgets(app);
      for (const options of [person.session, undefined]) {
        expect(await refusalOf(on.confirm(app, person, options))).toMatchObject({
          reason: 'CODE_EXPIRED',
          codeName: 'FAILED_PRECONDITION',
        });
      }
      expect(await budgets(app)).toEqual(charged);
    });

    it('lets a code die with the next one, which keeps the challenge id (V9)', async () => {
      const person = await claimant(app, on);
      app.clock.advance({ seconds: 61 });
      const challenge = await on.send(app, person.session);
      expect(challenge.challengeId).toBe(person.challengeId);
      const next = await codeFor(app, person.address);
      if (next !== person.code) {
        expect(await refusalOf(on.confirm(app, person, person.session))).toMatchObject({
          reason: 'CODE_INVALID',
        });
      }
      await on.confirm(app, { challengeId: person.challengeId, code: next });
      expect(await addressesOf(app, person.accountId)).toMatchObject([{ state: 'verified' }]);
    });

    it('takes a code until CODE_TTL and not after: CODE_EXPIRED, nothing charged (V9)', async () => {
      const [timely, late] = [await claimant(app, on), await claimant(app, on)];
      app.clock.advance({ seconds: 290 });
      await on.confirm(app, timely, timely.session);
      app.clock.advance({ seconds: 15 });
      const charged = await budgets(app);
      expect(await refusalOf(on.confirm(app, late, late.session))).toMatchObject({
        reason: 'CODE_EXPIRED',
      });
      expect(
        await refusalOf(on.confirm(app, { challengeId: late.challengeId, code: late.code })),
      ).toMatchObject({
        reason: 'CODE_EXPIRED',
      });
      expect(await budgets(app)).toEqual(charged);
      expect(await addressesOf(app, late.accountId)).toMatchObject([{ state: 'claimed' }]);
    });

    it('answers CODE_EXPIRED to what is not the challenge it was issued for, and charges nothing (rule 4)', async () => {
      const person = await claimant(app, on);
      const stranger = await claimant(app, on);
      const callerKey = await newCaller(app);
      app.clock.advance({ seconds: 2 });
      const elsewhere = { auth: app.connect({ callerKey }) };
      const { challengeId, code } = person;
      const charged = await budgets(app);
      const attempts: readonly (readonly [string, () => Promise<unknown>])[] = [
        ["another account's token", () => on.confirm(app, { challengeId, code }, stranger.session)],
        ['another channel', () => other.confirm(app, { challengeId, code })],
        [
          'another channel, signed in',
          () => other.confirm(app, { challengeId, code }, person.session),
        ],
        [
          'another channel, by the session alone',
          () => other.confirm(app, { code }, person.session),
        ],
        ['another calling service', () => on.confirm(elsewhere, { challengeId, code })],
        [
          'another calling service, signed in',
          () => on.confirm(elsewhere, { challengeId, code }, person.session),
        ],
        ['a challenge that never was', () => on.confirm(app, { challengeId: randomUUID(), code })],
        [
          'a challenge that never was, signed in',
          () => on.confirm(app, { challengeId: randomUUID(), code }, person.session),
        ],
      ];
      for (const [what, attempt] of attempts) {
        expect((await refusalOf(attempt())).reason, what).toBe('CODE_EXPIRED');
      }
      expect(await budgets(app)).toEqual(charged);
      // The code of another challenge is a wrong guess at this one.
      if (code !== stranger.code) {
        const wrong = await refusalOf(on.confirm(app, { challengeId, code: stranger.code }));
        expect(wrong).toMatchObject({ reason: 'CODE_INVALID', metadata: { attempts_left: '4' } });
      }
      await on.confirm(app, { challengeId, code });
    });

    it('counts a wrong code before it judges it, in both rows, and says how many are left (rules 2 and 3)', async () => {
      const person = await claimant(app, on);
      const before = await budgets(app);
      const refused = await refusalOf(
        on.confirm(app, { code: wrongCode(person.code) }, person.session),
      );
      expect(refused).toMatchObject({
        reason: 'CODE_INVALID',
        codeName: 'INVALID_ARGUMENT',
        metadata: { attempts_left: '4', field: 'code' },
        violations: [{ field: 'code' }],
      });
      expect(await budgets(app)).toHaveLength(before.length + 2);
      expect(
        await failuresOf(app, person.accountId, { channel: on.channel, lane: 'session' }),
      ).toMatchObject({
        failures: 1,
        window_failures: 1,
      });
    });

    it('refuses the code of a session that has ended: nothing is proven, nothing charged (rule 16)', async () => {
      const person = await claimant(app, on);
      await app.auth.signOut({ refreshToken: person.refreshToken });
      const charged = await budgets(app);
      const refused = await refusalOf(on.confirm(app, { code: person.code }, person.session));
      expect(refused.reason).toBe('ACCESS_TOKEN_INVALID');
      expect((await refusalOf(on.send(app, person.session))).reason).toBe('ACCESS_TOKEN_INVALID');
      expect((await refusalOf(app.auth.getAccount({}, person.session))).reason).toBe(
        'ACCESS_TOKEN_INVALID',
      );
      expect(await budgets(app)).toEqual(charged);
      expect(await addressesOf(app, person.accountId)).toMatchObject([{ state: 'claimed' }]);
    });

    it('refuses a session that another process has ended: nothing is proven, nothing charged (rule 16)', async () => {
      const person = await claimant(app, on);
      await sql`update sessions set ended_at = clock_timestamp(), end_reason = 'revoked'
        where account_id = ${person.accountId}::uuid`.execute(app.db);
      const charged = await budgets(app);
      // The access token still verifies: the statement alone knows that the session is over, and may
      // take its challenge for a foreign one.
      const refused = await refusalOf(on.confirm(app, { code: person.code }, person.session));
      expect(refused.reason).toBe('ACCESS_TOKEN_INVALID');
      expect((await refusalOf(on.send(app, person.session))).reason).toBe('ACCESS_TOKEN_INVALID');
      expect((await refusalOf(app.auth.getAccount({}, person.session))).reason).toBe(
        'ACCESS_TOKEN_INVALID',
      );
      expect(await budgets(app)).toEqual(charged);
      expect(await addressesOf(app, person.accountId)).toMatchObject([{ state: 'claimed' }]);
    });

    it('refuses every code of an account that is not active (rule 6)', async () => {
      const person = await claimant(app, on);
      await sql`update accounts set status = 'blocked' where account_id = ${person.accountId}::uuid`.execute(
        app.db,
      );
      const { challengeId, code } = person;
      const charged = await budgets(app);
      expect(await refusalOf(on.confirm(app, { challengeId, code }))).toMatchObject({
        reason: 'CODE_EXPIRED',
      });
      expect(await budgets(app)).toEqual(charged);
      expect(await addressesOf(app, person.accountId)).toMatchObject([{ state: 'claimed' }]);
    });

    it('kills every live code of an account whose proof epoch rose (rule 6)', async () => {
      const person = await claimant(app, on);
      await sql`update accounts set proof_epoch = proof_epoch + 1 where account_id = ${person.accountId}::uuid`.execute(
        app.db,
      );
      expect(await refusalOf(on.confirm(app, person, person.session))).toMatchObject({
        reason: 'CODE_EXPIRED',
      });
    });

    it('is indifferent to what the other channel does', async () => {
      const [to, otherTo] = [on.address(), other.address()];
      const person = await signUp(app, { ...on.claim(to), ...other.claim(otherTo) });
      const session = { accessToken: person.accessToken };
      const code = await codeFor(app, to);
      await other.confirm(app, { code: await codeFor(app, otherTo) }, session);
      await on.confirm(app, { code }, session);
      expect(await addressesOf(app, person.accountId)).toMatchObject([
        { state: 'verified' },
        { state: 'verified' },
      ]);
    });

    it('leaves audit records of the send and the confirmation: method, account, outcome, address, duration (T6)', async () => {
      const person = await claimant(app, on);
      await refusalOf(on.confirm(app, { code: wrongCode(person.code) }, person.session));
      await on.confirm(app, person, person.session);
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session);
      await delivered(app);
      const changes = await sql`select action, outcome, detail from audit_events
        where account_id = ${person.accountId}::uuid and kind = 'change' order by occurred_at`.execute(
        app.db,
      );
      expect(changes.rows).toEqual([
        { action: 'account_created', outcome: 'ok', detail: { channels: [on.channel] } },
        { action: 'identifier_proven', outcome: 'ok', detail: { channel: on.channel } },
        { action: 'code_sent', outcome: 'ok', detail: { channel: on.channel, purpose: 'verify' } },
      ]);
      await vi.waitFor(
        async () => {
          const { rows } = await sql<{
            action: string;
            outcome: string;
          }>`select action, outcome from audit_events
            where account_id = ${person.accountId}::uuid and kind = 'access' and duration_ms >= 0
              and address_sealed is not null order by occurred_at`.execute(app.db);
          const verb = on === email ? 'Email' : 'PhoneNumber';
          expect(rows.map(({ action, outcome }) => [action.split('/')[1], outcome])).toEqual([
            ['SignUp', 'OK'],
            [`Confirm${verb}`, 'CODE_INVALID'],
            [`Confirm${verb}`, 'OK'],
            [on === email ? 'SendEmailVerificationCode' : 'SendPhoneVerificationCode', 'OK'],
          ]);
        },
        { timeout: 10_000, interval: 100 },
      );
    });
  });

  it.each([
    ['separators', '+84 (91) 234-56.78', undefined],
    ['a national number with a region', '0912345678', 'VN'],
    ['a region in lower case', '091 234 5678', 'vn'],
    ['an international prefix', '0084 91 234 5678', 'VN'],
  ])('brings a number with %s to E.164 before anything else (V2)', async (_, typed, region) => {
    const person = await signUp(app);
    const session = { accessToken: person.accessToken };
    await app.auth.sendPhoneVerificationCode({ phoneNumber: typed, region }, session);
    const code = await codeFor(app, '+84912345678');
    // Nobody keeps it: the next case of this table proves it again.
    expect(await addressesOf(app, person.accountId)).toMatchObject([
      { value: '+84912345678', state: 'claimed' },
    ]);
    const { account } = await app.auth.getAccount({}, session);
    expect(account?.identifiers[1]).toMatchObject({ value: '+84912345678', verified: false });
    expect(code).toMatch(/^[0-9]{6}$/);
  });

  it('reads a national number by DEFAULT_REGION where the request names none (V2)', async () => {
    await using vietnamese = await house.open({ DEFAULT_REGION: 'VN' });
    const { response } = await signUp(vietnamese, { phoneNumber: '091 234 5678' });
    expect(response.account?.identifiers[1]?.value).toBe('+84912345678');
    const abroad = await signUp(vietnamese, { phoneNumber: '020 7946 0958', region: 'GB' });
    expect(abroad.response.account?.identifiers[1]?.value).toBe('+442079460958');
  });

  it.each(['blocked', 'deactivated'])(
    'refuses the session of an account that is %s (GetAccount)',
    async (status) => {
      const person = await signUp(app);
      await sql`update accounts set status = ${status} where account_id = ${person.accountId}::uuid`.execute(
        app.db,
      );
      expect(await refusalOf(app.auth.getAccount({}, person))).toMatchObject({
        reason: 'ACCESS_TOKEN_INVALID',
        codeName: 'UNAUTHENTICATED',
      });
    },
  );

  it('draws codes of CODE_LENGTH digits, which live for CODE_TTL, leading zeros included (rule 1)', async () => {
    await using eight = await house.open({ CODE_LENGTH: '8', CODE_TTL: '1m' });
    const person = await claimant(eight, sms);
    expect(person.code).toMatch(/^[0-9]{8}$/);
    await sms.confirm(eight, person, person.session);
    const late = await claimant(eight, email);
    eight.clock.advance({ seconds: 61 });
    expect(await refusalOf(email.confirm(eight, late, late.session))).toMatchObject({
      reason: 'CODE_EXPIRED',
    });
    const codes = await sql<{ code_hash: Buffer }>`select code_hash from challenges`.execute(
      eight.db,
    );
    expect(codes.rows.every(({ code_hash }) => code_hash.length === 32)).toBe(true);
  });

  it('says in its own words how long a code is good for', async () => {
    const person = await claimant(app, sms);
    const [message] = await messagesTo(app, person.address);
    expect(message?.text).toBe(
      `${person.code} is your Countersign code, valid for 5 minutes. Never share it with anyone.`,
    );
  });

  it('reads the account of whoever is signed in, and of nobody else (GetAccount)', async () => {
    const [one, two] = [await claimant(app, email), await claimant(app, sms)];
    for (const person of [one, two]) {
      const { account } = await app.auth.getAccount({}, person.session);
      expect(present(account).accountId).toBe(person.accountId);
      expect(account).toEqual(person.response.account);
    }
    const changed = await email.confirm(app, one, one.session);
    const { account } = await app.auth.getAccount({}, one.session);
    expect(account?.identifiers).toHaveLength(2);
    expect(account?.identifiers[1]).toEqual(changed.identifier);
    expect(account?.etag).not.toBe(one.response.account?.etag);
    expect(account?.updateTime?.getTime()).toBeGreaterThanOrEqual(
      present(account?.createTime).getTime(),
    );
  });

  it('gives two codes of one account apart in both channels of a person with both', async () => {
    const to = { email: unique.email(), phoneNumber: unique.phone() };
    const { challengeIds, accessToken } = await signUp(app, to);
    const session = { accessToken };
    const [emailId = '', phoneId = ''] = challengeIds;
    const codes = { email: await codeFor(app, to.email), sms: await codeFor(app, to.phoneNumber) };
    expect(
      await refusalOf(sms.confirm(app, { challengeId: emailId, code: codes.email }, session)),
    ).toMatchObject({
      reason: 'CODE_EXPIRED',
    });
    await sms.confirm(app, { challengeId: phoneId, code: codes.sms }, session);
    await email.confirm(app, { challengeId: emailId, code: codes.email }, session);
  });
});
