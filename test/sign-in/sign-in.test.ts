import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CountersignError } from '../../src/client/index.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, type Signup, signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

type Claims = Readonly<Record<string, unknown>>;

function claimsOf(accessToken: string | undefined): Claims {
  const payload = (accessToken ?? '').split('.')[1] ?? '';
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Claims;
}

eachDatabase('SignIn', (database) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ database: database() });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const signIn = (identifier: string, more: object = {}) =>
    app.auth.signIn({ identifier, password: PASSWORD, ...more });
  const refused = async (attempt: Promise<unknown>): Promise<string> =>
    attempt.then(
      () => 'OK',
      (error: CountersignError) => error.reason,
    );

  /** Somebody whose email and phone are proven. */
  async function provenPerson(): Promise<Signup & { email: string; phone: string }> {
    const [email, phone] = [unique.email(), unique.phone()];
    const person = await signUp(app, { email, phoneNumber: phone });
    const [emailId = '', phoneId = ''] = person.challengeIds;
    await app.mailbox.waitFor(({ to }) => to === email);
    await app.mailbox.waitFor(({ to }) => to === phone);
    await app.auth.confirmEmail({ challengeId: emailId, code: app.mailbox.codeFor(email) });
    await app.auth.confirmPhoneNumber({ challengeId: phoneId, code: app.mailbox.codeFor(phone) });
    return { ...person, email, phone };
  }

  async function addOrganization(accountId: string, role = 'employee'): Promise<string> {
    const id = randomUUID();
    await sql`insert into organizations (organization_id, name, created_at, updated_at)
      values (${id}::uuid, 'Another', now(), now())`.execute(app.db);
    await sql`insert into role_assignments (role_assignment_id, account_id, role, organization_id, created_at)
      values (${randomUUID()}::uuid, ${accountId}::uuid, ${role}, ${id}::uuid, now() + interval '1 hour')`.execute(
      app.db,
    );
    return id;
  }

  describe('the one identifier field (A2)', () => {
    it('takes a username, an email and a phone of the same person, in any spelling of theirs', async () => {
      const { accountId, username, email, phone } = await provenPerson();
      const national = phone.replace('+84', '0');
      const spellings: readonly [string, object][] = [
        [username, {}],
        [username.toUpperCase(), {}],
        [email, {}],
        [email.toUpperCase(), {}],
        [phone, {}],
        [phone.replace(/^(\+84)(\d{3})(\d{3})/, '$1 $2 $3 '), {}],
        [national, { region: 'VN' }],
      ];
      for (const [identifier, more] of spellings) {
        const answer = await signIn(identifier, more);
        expect([identifier, answer.accountId]).toEqual([identifier, accountId]);
      }
    });

    it('reads a national number by the region alone: without one, or with another, it is nobody', async () => {
      const { phone } = await provenPerson();
      const national = phone.replace('+84', '0');
      for (const region of [undefined, '', 'US', 'XX', 'vn\u0000']) {
        expect([region, await refused(signIn(national, { region }))]).toEqual([
          region,
          'CREDENTIALS_INVALID',
        ]);
      }
    });

    it('returns a token set whose access token says who, where and with which roles', async () => {
      const person = await signUp(app);
      const answer = await signIn(person.username);
      expect(answer.tokens).toMatchObject({ tokenType: 'Bearer', expiresIn: 900 });
      expect(claimsOf(answer.tokens?.accessToken)).toMatchObject({
        sub: person.accountId,
        amr: ['pwd'],
        roles: ['owner'],
        grants: [{ role: 'owner' }],
        platform_roles: [],
        org: claimsOf(person.accessToken)['org'],
      });
      const { tokens } = await app.auth.refreshSession({
        refreshToken: answer.tokens?.refreshToken ?? '',
      });
      expect(claimsOf(tokens?.accessToken)['sid']).toBe(
        claimsOf(answer.tokens?.accessToken)['sid'],
      );
    });

    it.each([
      ['empty', ''],
      ['blank', ' \r\n'],
      ['60,000 characters long', 'x'.repeat(60_000)],
      ['a NUL', '\u0000'],
      ['a name with a NUL in it', 'a\u0000b'],
      ['a right-to-left override', '\u202e@x'],
      ['half an email', '@'],
      ['an email with two @', 'a@@b'],
      ['half a phone', '+84'],
      ['SQL', "' or 1=1 --"],
      ['an email without a domain', 'a@b'],
      ['an emoji', '😀'],
      ['300 digits', '0'.repeat(300)],
    ])(
      'is never refused by its shape: %s does the whole work and is CREDENTIALS_INVALID',
      async (_, identifier) => {
        const before = { ...app.hasher.counts };
        expect(await refused(signIn(identifier))).toBe('CREDENTIALS_INVALID');
        expect(app.hasher.counts).toEqual({ ...before, decoys: before.decoys + 1 });
      },
    );

    it('is never refused by its shape, whatever the shape', async () => {
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 40 }), async (text) => {
          // The same text may come five times, and would be locked.
          await sql`delete from guess_budgets`.execute(app.db);
          // A lone surrogate has no UTF-8: the client sends U+FFFD for it.
          expect(await refused(signIn(text.toWellFormed()))).toBe('CREDENTIALS_INVALID');
        }),
        { numRuns: 40 },
      );
    });

    it('names the field of a password that no account can ever have had', async () => {
      for (const [password, reason] of [
        ['', 'FIELD_INVALID'],
        ['x'.repeat(257), 'PASSWORD_TOO_LONG'],
        ['nul\u0000nul', 'FIELD_INVALID'],
      ] as const) {
        const before = { ...app.hasher.counts };
        const error: CountersignError = await signIn('nobody', { password }).catch((e) => e);
        expect(error.reason).toBe(reason);
        expect(error.violations.map(({ field }) => field)).toEqual(['password']);
        expect(app.hasher.counts).toEqual(before);
      }
    });
  });

  describe('who may (A3)', () => {
    it.each(['claimed', 'lapsed', 'disputed', 'contact'])(
      'nobody by an identifier that is %s',
      async (state) => {
        const { email, username } = await provenPerson();
        await sql`update identifiers set state = ${state}, sign_in_enabled = sign_in_enabled and ${state} = 'lapsed',
          claim_expires_at = case when ${state} = 'claimed' then now() + interval '1 day' end
          where value = ${email}`.execute(app.db);
        expect(await refused(signIn(email))).toBe('CREDENTIALS_INVALID');
        expect(await refused(signIn(username))).toBe('OK');
      },
    );

    it('nobody by a verified identifier that is not enabled', async () => {
      const { phone, username } = await provenPerson();
      await sql`update identifiers set sign_in_enabled = false where value = ${phone}`.execute(
        app.db,
      );
      expect(await refused(signIn(phone))).toBe('CREDENTIALS_INVALID');
      expect(await refused(signIn(username))).toBe('OK');
    });

    it.each(['blocked', 'deactivated', 'closed'])(
      'nobody into an account that is %s',
      async (status) => {
        const { accountId, email, phone, username } = await provenPerson();
        await sql`update accounts set status = ${status} where account_id = ${accountId}::uuid`.execute(
          app.db,
        );
        for (const identifier of [username, email, phone]) {
          expect(await refused(signIn(identifier))).toBe('CREDENTIALS_INVALID');
        }
        const { rows } = await sql<{
          sessions: number;
        }>`select count(*)::int as sessions from sessions
        where account_id = ${accountId}::uuid`.execute(app.db);
        expect(rows).toEqual([{ sessions: 1 }]);
      },
    );

    it('with the password as NFC has it, and with no other', async () => {
      const { username } = await signUp(app, { password: 'cafe\u0301 au lait noir' });
      expect(await refused(signIn(username, { password: 'café au lait noir' }))).toBe('OK');
      for (const password of ['cafe au lait noir', ' café au lait noir', 'CAFÉ AU LAIT NOIR']) {
        expect(await refused(signIn(username, { password }))).toBe('CREDENTIALS_INVALID');
      }
    });
  });

  describe('the scope', () => {
    it('is the oldest organization where none was chosen, else the last chosen one that is still granted', async () => {
      const { accountId, username, accessToken } = await signUp(app);
      const own = claimsOf(accessToken)['org'];
      const other = await addOrganization(accountId);
      const scopeOf = async (scope?: object) =>
        claimsOf((await signIn(username, { scope })).tokens?.accessToken);
      expect(await scopeOf()).toMatchObject({ org: own, roles: ['owner'] });
      expect(await scopeOf({ organizationId: other })).toMatchObject({
        org: other,
        roles: ['employee'],
      });
      expect(await scopeOf()).toMatchObject({ org: other });
      await sql`delete from role_assignments where organization_id = ${other}::uuid`.execute(
        app.db,
      );
      expect(await scopeOf()).toMatchObject({ org: own });
    });

    it('is judged after the password: a wrong one with a foreign scope is CREDENTIALS_INVALID', async () => {
      const { username } = await signUp(app);
      const stranger = await signUp(app);
      for (const organizationId of [String(claimsOf(stranger.accessToken)['org']), randomUUID()]) {
        const scope = { organizationId };
        expect(await refused(signIn(username, { scope, password: 'wrong password' }))).toBe(
          'CREDENTIALS_INVALID',
        );
        expect(await refused(signIn(unique.username(), { scope }))).toBe('CREDENTIALS_INVALID');
        expect(await refused(signIn(username, { scope }))).toBe('SCOPE_NOT_GRANTED');
      }
    });

    it('that is not granted opens no session and is not remembered', async () => {
      const { accountId, username, accessToken } = await signUp(app);
      const scope = { organizationId: randomUUID() };
      expect(await refused(signIn(username, { scope }))).toBe('SCOPE_NOT_GRANTED');
      const { rows } = await sql<{
        sessions: number;
      }>`select count(*)::int as sessions from sessions
        where account_id = ${accountId}::uuid`.execute(app.db);
      expect(rows).toEqual([{ sessions: 1 }]);
      expect(claimsOf((await signIn(username)).tokens?.accessToken)['org']).toBe(
        claimsOf(accessToken)['org'],
      );
    });

    it('that is no id is refused with its field named, whoever asks', async () => {
      const error: CountersignError = await signIn('nobody', {
        scope: { organizationId: 'mine' },
      }).catch((e) => e);
      expect(error.reason).toBe('FIELD_INVALID');
      expect(error.violations.map(({ field }) => field)).toEqual(['scope.organization_id']);
    });
  });

  describe('rehashing (A4)', () => {
    it('replaces an outdated hash at a sign-in by the right password, and at no other time', async () => {
      const { accountId, username } = await signUp(app);
      const stored = async () => {
        const { rows } = await sql<{ password_hash: string }>`select password_hash from accounts
          where account_id = ${accountId}::uuid`.execute(app.db);
        return rows[0]?.password_hash;
      };
      const first = await stored();
      await signIn(username);
      expect(await stored()).toBe(first);
      app.hasher.moveOn();
      expect(await refused(signIn(username, { password: 'wrong password' }))).toBe(
        'CREDENTIALS_INVALID',
      );
      expect(await stored()).toBe(first);
      await signIn(username);
      const second = await stored();
      expect(second).not.toBe(first);
      const before = { ...app.hasher.counts };
      await signIn(username);
      expect(await stored()).toBe(second);
      expect(app.hasher.counts.hashes).toBe(before.hashes);
    });
  });
});
