import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AccountStatus, IdentifierType } from '../../generated/countersign/v1/account.js';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import { delivered, type House, messagesTo, openHouse, refusalOf } from '../accounts/house.js';
import { grown, rowCounts } from '../accounts/rows.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

eachDatabase('SignUp', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  describe('what it makes (A1)', () => {
    it('makes every row once, and nothing else', async () => {
      const before = await rowCounts(app.db);
      const { hashes } = app.hasher.counts;
      await signUp(app, { email: unique.email(), phoneNumber: unique.phone(), displayName: 'Lan' });
      await delivered(app);
      expect(grown(before, await rowCounts(app.db))).toEqual({
        accounts: 1,
        profiles: 1,
        account_settings: 1,
        identifiers: 3,
        challenges: 2,
        organizations: 1,
        role_assignments: 1,
        sessions: 1,
        outbox: 2,
        audit_events: 1,
      });
      expect(app.hasher.counts.hashes).toBe(hashes + 1);
    });

    it('answers the account as it stands: username verified, addresses claimed', async () => {
      const email = unique.email();
      const phoneNumber = unique.phone();
      const { response, username, accessToken } = await signUp(app, {
        email,
        phoneNumber,
        displayName: '  Lan  ',
      });
      expect(response.account).toMatchObject({
        status: AccountStatus.ACTIVE,
        profile: { displayName: 'Lan' },
        identifiers: [
          { type: IdentifierType.USERNAME, value: username, verified: true, signInEnabled: true },
          {
            type: IdentifierType.EMAIL,
            value: email,
            verified: false,
            verifyTime: undefined,
            signInEnabled: false,
          },
          {
            type: IdentifierType.PHONE,
            value: phoneNumber,
            verified: false,
            verifyTime: undefined,
            signInEnabled: false,
          },
        ],
      });
      const { account } = await app.auth.getAccount({}, { accessToken });
      expect(account).toEqual(response.account);
    });

    it('sends a code to each claimed channel, and answers with its handle', async () => {
      const email = unique.email();
      const phoneNumber = unique.phone();
      const { response } = await signUp(app, { email, phoneNumber });
      expect(response.challenges.map(({ channel }) => channel)).toEqual([
        Channel.EMAIL,
        Channel.SMS,
      ]);
      expect(response.challenges[0]?.maskedDestination).toBe('u•••@e•••.com');
      expect(response.challenges[1]?.maskedDestination).toBe(`•••••••${phoneNumber.slice(-2)}`);
      for (const to of [email, phoneNumber]) expect(await messagesTo(app, to)).toHaveLength(1);
    });

    it('keeps no code, password or address of a message in clear (rules 1, 4 and 22)', async () => {
      const email = unique.email();
      const { accountId } = await signUp(app, { email });
      await delivered(app);
      const code = app.mailbox.codeFor(email);
      const { rows } = await sql<{ row: unknown }>`
        select to_jsonb(c) as row from challenges c where account_id = ${accountId}::uuid
        union all select to_jsonb(o) from outbox o where account_id = ${accountId}::uuid
        union all select to_jsonb(a) from audit_events a where account_id = ${accountId}::uuid
        union all select to_jsonb(a) from accounts a where account_id = ${accountId}::uuid`.execute(
        app.db,
      );
      expect(rows.length).toBeGreaterThanOrEqual(4);
      const hex = (text: string) => Buffer.from(text).toString('hex');
      for (const secret of [PASSWORD, email, hex(code), hex(email), hex(PASSWORD)]) {
        expect(JSON.stringify(rows)).not.toContain(secret);
      }
      const sent =
        await sql`select payload_sealed, state from outbox where account_id = ${accountId}::uuid`.execute(
          app.db,
        );
      expect(sent.rows).toEqual([{ payload_sealed: null, state: 'sent' }]);
    });

    it.each([
      ['organization_name', 'Bánh mì Ông Ba', 'Bánh mì Ông Ba'],
      ['the username', undefined, undefined],
    ])(
      'names the organization after %s, and makes the account its Owner',
      async (_, organizationName, name) => {
        const { accountId, username, accessToken } = await signUp(app, { organizationName });
        const { rows } = await sql`
        select o.name, r.role, r.merchant_id, a.last_organization_id = o.organization_id as chosen
        from role_assignments r join organizations o using (organization_id) join accounts a using (account_id)
        where account_id = ${accountId}::uuid`.execute(app.db);
        expect(rows).toEqual([
          { name: name ?? username, role: 'owner', merchant_id: null, chosen: true },
        ]);
        const claims = JSON.parse(
          Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString(),
        );
        expect(claims).toMatchObject({
          sub: accountId,
          roles: ['owner'],
          grants: [{ role: 'owner' }],
        });
      },
    );

    it('begins a session that can be refreshed, by password', async () => {
      const { accountId, refreshToken } = await signUp(app);
      const { rows } =
        await sql`select amr, ended_at from sessions where account_id = ${accountId}::uuid`.execute(
          app.db,
        );
      expect(rows).toEqual([{ amr: ['pwd'], ended_at: null }]);
      const { tokens } = await app.auth.refreshSession({ refreshToken });
      expect(tokens?.accessToken).not.toBe('');
    });

    it('audits the change, with the channels and without the addresses (T6)', async () => {
      const { accountId } = await signUp(app, { email: unique.email() });
      const { rows } = await sql`select action, outcome, detail from audit_events
        where account_id = ${accountId}::uuid and kind = 'change'`.execute(app.db);
      expect(rows).toEqual([
        { action: 'account_created', outcome: 'ok', detail: { channels: ['email'] } },
      ]);
    });
  });

  describe('names that are taken', () => {
    it.each([
      ['the same', (name: string) => name],
      ['another case', (name: string) => name.toUpperCase()],
    ])('refuses %s with USERNAME_TAKEN, having made and sent nothing', async (_, spelled) => {
      const { username } = await signUp(app);
      await delivered(app);
      const before = await rowCounts(app.db);
      const refused = await refusalOf(
        signUp(app, { username: spelled(username), email: unique.email() }),
      );
      expect(refused).toMatchObject({
        reason: 'USERNAME_TAKEN',
        codeName: 'ALREADY_EXISTS',
        metadata: { field: 'username' },
      });
      await delivered(app);
      expect(grown(before, await rowCounts(app.db))).toEqual({});
    });

    it('takes an address that another account holds or claims: a claim reserves nothing (V6)', async () => {
      const email = unique.email();
      const [first, second] = [await signUp(app, { email }), await signUp(app, { email })];
      expect(first.challengeIds[0]).not.toBe(second.challengeIds[0]);
      expect(await messagesTo(app, email)).toHaveLength(2);
    });
  });

  describe('language of the code (M3)', () => {
    it.each([
      ['the locale of the account', 'vi', 'en', 'vi'],
      ['a regional locale', 'vi-VN', 'en', 'vi'],
      ['English for a locale we do not speak', 'fr', 'vi', 'en'],
      ['accept-language where there is none', undefined, 'fr;q=0.9, vi;q=0.5', 'vi'],
      ['accept-language where it is empty', '', 'vi', 'vi'],
      ['English where nobody says anything', undefined, undefined, 'en'],
    ])('is %s', async (_, locale, acceptLanguage, expected) => {
      const phoneNumber = unique.phone();
      const fields = { username: unique.username(), password: PASSWORD, phoneNumber, locale };
      const { account } = await app.auth.signUp(fields, { acceptLanguage });
      const [message] = await messagesTo(app, phoneNumber);
      expect(message?.locale).toBe(expected);
      expect(message?.text).toContain(
        expected === 'vi' ? 'mã xác thực' : 'is your Countersign code',
      );
      expect(account?.settings?.locale).toBe(locale ? expected : '');
    });
  });
});
