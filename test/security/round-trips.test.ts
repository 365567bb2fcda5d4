import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import { addCaller, rpcGroups } from '../../src/callers/index.js';
import type { AuthClient, CallOptions } from '../../src/client/index.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { openDatabase } from '../../src/db/index.js';
import { codeFor } from '../accounts/house.js';
import { describePostgres, silentLog, type TestDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique, wrongCode } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { type CountingProxy, postgresProxy, redisProxy, through } from './counting-proxy.js';
import { isBackground } from './watched-database.js';

const redisUrl = process.env['TEST_REDIS_URL'] ?? '';

/** The table "Statements and round trips" of docs/architecture.md, counted on the wire. */
describe.skipIf(redisUrl === '').each([{ prepareStatements: true }, { prepareStatements: false }])(
  'round trips on Redis, statements prepared: $prepareStatements,',
  ({ prepareStatements }) => {
    describePostgres('and PostgreSQL', (database) => {
      const prefix = `test-${randomUUID()}:`;
      let redis: CountingProxy;
      let postgres: CountingProxy;
      let pool: TestDatabase;
      let app: TestApp;
      let auth: AuthClient;
      const options: CallOptions = { clientAddress: '198.51.100.20' };

      beforeAll(async () => {
        const callerKey = await addCaller(database().db, {
          name: 'bff',
          groups: rpcGroups,
          random: systemRandom,
          clock: systemClock,
        });
        [redis, postgres] = [await redisProxy(redisUrl), await postgresProxy(database().url)];
        const url = through(database().url, postgres);
        pool = { ...(await openDatabase({ url }, { log: silentLog, prepareStatements })), url };
        app = await startTestApp({
          database: pool,
          callerKey,
          env: {
            REDIS_URL: through(redisUrl, redis),
            REDIS_KEY_PREFIX: prefix,
            LIMIT_SIGN_INS_PER_SOURCE: '1000/1m',
            LIMIT_SIGN_UPS_PER_SOURCE: '1000/1m',
          },
        });
        auth = app.auth;
        // The first sweeps run at once, the next not before these tests are over.
        const lastSweep = /to_regclass\('audit_events_/;
        await vi.waitFor(() => expect(postgres.trips().join()).toMatch(lastSweep), 10_000);
      });
      afterAll(async () => {
        await app[Symbol.asyncDispose]();
        await forget(prefix);
        await pool[Symbol.asyncDispose]();
        await redis[Symbol.asyncDispose]();
        await postgres[Symbol.asyncDispose]();
      });

      /** Trips of a call; made once before, where scripts are loaded and connections opened. */
      async function count(
        call: () => Promise<unknown>,
      ): Promise<{ redis: number; postgres: number }> {
        redis.reset();
        postgres.reset();
        await call().catch(() => undefined);
        const statements = postgres.trips().filter((text) => !isBackground(text));
        for (const statement of statements)
          expect(statement).not.toMatch(/^\s*(?:begin|commit|rollback)/i);
        return { redis: redis.trips().length, postgres: statements.length };
      }

      /** Of a call that needs a transaction: the first words of its statements, in their order. */
      const beginnings = () =>
        postgres
          .trips()
          .filter((text) => !isBackground(text))
          .map((text) => /^\s*(\w+)/.exec(text)?.[1]);

      async function person() {
        const [email, phoneNumber] = [unique.email(), unique.phone()];
        const made = await signUp({ auth }, { email, phoneNumber });
        await app.mailbox.waitFor(({ to }) => to === email);
        await app.mailbox.waitFor(({ to }) => to === phoneNumber);
        const [emailId = '', phoneId = ''] = made.challengeIds;
        return {
          ...made,
          email,
          phoneNumber,
          emailId,
          phoneId,
          code: () => app.mailbox.codeFor(email),
        };
      }

      it('SignUp: one and one', async () => {
        const call = () =>
          auth.signUp(
            {
              username: unique.username(),
              password: PASSWORD,
              email: unique.email(),
              phoneNumber: unique.phone(),
            },
            options,
          );
        await call();
        expect(await count(call)).toEqual({ redis: 1, postgres: 1 });
        const repeatable = () =>
          auth.signUp(
            { username: unique.username(), password: PASSWORD, requestId: randomUUID() },
            options,
          );
        expect(await count(repeatable)).toEqual({ redis: 1, postgres: 1 });
      });

      it('SignIn: one and two; one and one where it fails', async () => {
        const { username } = await person();
        const signIn = (identifier: string, password: string) => () =>
          auth.signIn({ identifier, password }, options);
        await signIn(username, PASSWORD)();
        expect(await count(signIn(username, PASSWORD))).toEqual({ redis: 1, postgres: 2 });
        expect(await count(signIn(username, 'wrong password'))).toEqual({ redis: 1, postgres: 1 });
        expect(await count(signIn(unique.username(), PASSWORD))).toEqual({ redis: 1, postgres: 1 });
      });

      it('RequestPhoneSignIn: one and one, whose the number may be', async () => {
        const { phoneNumber, phoneId, accessToken } = await person();
        const proof = { challengeId: phoneId, code: app.mailbox.codeFor(phoneNumber) };
        await auth.confirmPhoneNumber(proof, { ...options, accessToken });
        const ask = (number: string, challengeId?: string) => () =>
          auth.requestPhoneSignIn({ phoneNumber: number, challengeId }, options);
        const { challenge } = await ask(unique.phone())();
        for (const number of [phoneNumber, unique.phone(), (await person()).phoneNumber]) {
          expect(await count(ask(number))).toEqual({ redis: 1, postgres: 1 });
        }
        // An id of no flow of this number: nothing is sent, and the number's share is given back.
        const held = ask(unique.phone(), challenge?.challengeId);
        expect(await count(held)).toEqual({ redis: 2, postgres: 1 });
      });

      it('CompletePhoneSignIn: none and two, new account or known; none and one where it fails', async () => {
        const phoneNumber = unique.phone();
        for (const first of [true, false]) {
          // Redis keeps its own time: one source would be held back.
          const source = { clientAddress: first ? '198.51.100.21' : '198.51.100.22' };
          const { challenge } = await auth.requestPhoneSignIn({ phoneNumber }, source);
          const code = await codeFor(app, phoneNumber);
          const complete = (text: string) => async () => {
            const guess = { challengeId: challenge?.challengeId ?? '', code: text };
            expect((await auth.completePhoneSignIn(guess, options)).isFirstSignIn).toBe(first);
          };
          const wrong = wrongCode(code);
          expect(await count(complete(wrong))).toEqual({ redis: 0, postgres: 1 });
          expect(await count(complete(code))).toEqual({ redis: 0, postgres: 2 });
          expect(await count(complete(code))).toEqual({ redis: 0, postgres: 1 });
        }
      });

      it('Send…VerificationCode: one and one', async () => {
        const { accessToken } = await person();
        const signedIn = { ...options, accessToken };
        app.clock.advance({ seconds: 61 });
        const email = unique.email();
        expect(await count(() => auth.sendEmailVerificationCode({ email }, signedIn))).toEqual({
          redis: 1,
          postgres: 1,
        });
        const phoneNumber = unique.phone();
        expect(
          await count(() => auth.sendPhoneVerificationCode({ phoneNumber }, signedIn)),
        ).toEqual({
          redis: 1,
          postgres: 1,
        });
        // Too soon: refused by the same one statement, and the address's share is given back.
        expect(await count(() => auth.sendEmailVerificationCode({ email }, signedIn))).toEqual({
          redis: 2,
          postgres: 1,
        });
      });

      it('ResendEmailConfirmation: one and one, whose the address may be', async () => {
        const { email, emailId } = await person();
        app.clock.advance({ seconds: 61 });
        const resend = (address: string, challengeId?: string) => () =>
          auth.resendEmailConfirmation({ email: address, challengeId }, options);
        await resend(unique.email())();
        expect(await count(resend(email, emailId))).toEqual({ redis: 1, postgres: 1 });
        expect(await count(resend(unique.email()))).toEqual({ redis: 1, postgres: 1 });
        // Inside the cooldown: by the same statement, and the address's share is given back.
        expect(await count(resend(email, emailId))).toEqual({ redis: 2, postgres: 1 });
      });

      it('Confirm…: none and two; none and one where it fails', async () => {
        const { emailId, phoneId, phoneNumber, code, accessToken } = await person();
        const confirm = (text: string) => () =>
          auth.confirmEmail({ challengeId: emailId, code: text }, options);
        expect(await count(confirm(wrongCode(code())))).toEqual({ redis: 0, postgres: 1 });
        expect(await count(confirm(code()))).toEqual({ redis: 0, postgres: 2 });
        expect(await count(confirm(code()))).toEqual({ redis: 0, postgres: 1 });
        const confirmPhone = () =>
          auth.confirmPhoneNumber(
            { challengeId: phoneId, code: app.mailbox.codeFor(phoneNumber) },
            { ...options, accessToken },
          );
        expect(await count(confirmPhone)).toEqual({ redis: 0, postgres: 2 });
      });

      it('RequestPasswordReset: one and one, whose the address may be', async () => {
        const { email, code, emailId } = await person();
        await auth.confirmEmail({ challengeId: emailId, code: code() }, options);
        const ask = (identifier: string, challengeId?: string) => () =>
          auth.requestPasswordReset({ identifier, challengeId }, options);
        const { challenge } = await ask(unique.email())();
        for (const identifier of [email, unique.email(), (await person()).email, unique.phone()]) {
          expect(await count(ask(identifier))).toEqual({ redis: 1, postgres: 1 });
        }
        // An id of no flow of this address: nothing is sent, and the address's share is given back.
        const held = ask(unique.email(), challenge?.challengeId);
        expect(await count(held)).toEqual({ redis: 2, postgres: 1 });
      });

      it('VerifyPasswordResetCode and ResetPassword: none and two; none and one, or none, where they fail', async () => {
        const { email, code, emailId } = await person();
        await auth.confirmEmail({ challengeId: emailId, code: code() }, options);
        const { challenge } = await auth.requestPasswordReset({ identifier: email }, options);
        const right = await codeFor(app, email);
        let resetToken = '';
        const verify = (text: string) => async () => {
          const guess = { challengeId: challenge?.challengeId ?? '', code: text };
          resetToken = (await auth.verifyPasswordResetCode(guess, options)).resetToken;
        };
        expect(await count(verify(wrongCode(right)))).toEqual({ redis: 0, postgres: 1 });
        expect(await count(verify(right))).toEqual({ redis: 0, postgres: 2 });
        const reset = (token: string, newPassword: string) => () =>
          auth.resetPassword({ resetToken: token, newPassword }, options);
        const newPassword = 'a quite different phrase';
        expect(await count(reset('garbage', newPassword))).toEqual({ redis: 0, postgres: 0 });
        expect(await count(reset(resetToken, 'short'))).toEqual({ redis: 0, postgres: 0 });
        expect(await count(reset(resetToken, email))).toEqual({ redis: 0, postgres: 1 });
        postgres.reset();
        redis.reset();
        await reset(resetToken, newPassword)();
        // What the token leads to; and a transaction: the lock, whom to tell, the reset.
        expect(beginnings()).toEqual(['select', 'begin', 'select', 'select', 'with', 'commit']);
        expect(redis.trips()).toEqual([]);
        expect(await count(reset(resetToken, newPassword))).toEqual({ redis: 0, postgres: 1 });
      });

      it('RefreshSession: none and one; none and none for garbage', async () => {
        const { refreshToken } = await person();
        expect(await count(() => auth.refreshSession({ refreshToken }, options))).toEqual({
          redis: 0,
          postgres: 1,
        });
        expect(
          await count(() => auth.refreshSession({ refreshToken: 'garbage' }, options)),
        ).toEqual({
          redis: 0,
          postgres: 0,
        });
      });

      it('IntrospectToken and GetJsonWebKeySet: none and none', async () => {
        const { accessToken } = await person();
        expect(await count(() => auth.introspectToken({ accessToken }, options))).toEqual({
          redis: 0,
          postgres: 0,
        });
        expect(await count(() => auth.getJsonWebKeySet({}, options))).toEqual({
          redis: 0,
          postgres: 0,
        });
      });

      it('ListSessions, RevokeSession and SignOutEverywhere: none and one', async () => {
        const { accessToken } = await person();
        const signedIn = { ...options, accessToken };
        const { sessionId } = await auth.introspectToken({ accessToken }, options);
        const other = await person();
        for (const call of [
          () => auth.listSessions({}, signedIn),
          () => auth.revokeSession({ sessionId: randomUUID() }, signedIn),
          () => auth.revokeSession({ sessionId }, signedIn),
          () => auth.signOutEverywhere({}, { ...options, accessToken: other.accessToken }),
        ])
          expect(await count(call)).toEqual({ redis: 0, postgres: 1 });
      });

      it('UpdateProfile and UpdateSettings: none and two; none and one where nothing is written', async () => {
        const { accessToken } = await person();
        const signedIn = { ...options, accessToken };
        const rename = (displayName: string, etag?: string) => () =>
          auth.updateProfile({ profile: { displayName, username: '' }, etag }, signedIn);
        const speak = () => auth.updateSettings({ settings: { locale: 'vi' } }, signedIn);
        expect(await count(rename('Bảy'))).toEqual({ redis: 0, postgres: 2 });
        expect(await count(rename('Bảy'))).toEqual({ redis: 0, postgres: 1 });
        expect(await count(rename('Tám', 'r1'))).toEqual({ redis: 0, postgres: 1 });
        expect(await count(speak)).toEqual({ redis: 0, postgres: 2 });
        expect(await count(speak)).toEqual({ redis: 0, postgres: 1 });
      });

      it('ChangePassword: none and two; none and one where it fails', async () => {
        const { accessToken } = await person();
        const change =
          (currentPassword: string, newPassword = PASSWORD) =>
          () =>
            auth.changePassword({ currentPassword, newPassword }, { ...options, accessToken });
        expect(await count(change('wrong password'))).toEqual({ redis: 0, postgres: 1 });
        expect(await count(change(PASSWORD))).toEqual({ redis: 0, postgres: 2 });
      });

      it('CloseAccount: none, and one transaction of three statements', async () => {
        const { accessToken } = await person();
        postgres.reset();
        redis.reset();
        await auth.closeAccount({}, { ...options, accessToken });
        expect(beginnings()).toEqual(['begin', 'with', 'with', 'with', 'commit']);
        expect(redis.trips()).toEqual([]);
      });

      it('GetAccount and SignOut: none and one', async () => {
        const { accessToken, refreshToken } = await person();
        expect(await count(() => auth.getAccount({}, { ...options, accessToken }))).toEqual({
          redis: 0,
          postgres: 1,
        });
        expect(await count(() => auth.signOut({ refreshToken }, options))).toEqual({
          redis: 0,
          postgres: 1,
        });
      });

      it('SetPhoneNumber, RemovePhoneNumber, RemoveEmail, SetSignInEnabled: none and two; none and one where nothing changes', async () => {
        const { accessToken, emailId, code } = await person();
        const signedIn = { ...options, accessToken };
        await auth.confirmEmail({ challengeId: emailId, code: code() }, options);
        const phoneNumber = unique.phone();
        const calls = [
          () => auth.setPhoneNumber({ phoneNumber }, signedIn),
          () => auth.removePhoneNumber({}, signedIn),
          () => auth.setSignInEnabled({ type: IdentifierType.EMAIL, enabled: false }, signedIn),
          () => auth.removeEmail({}, signedIn),
        ];
        for (const call of calls) {
          expect(await count(call)).toEqual({ redis: 0, postgres: 2 });
          expect(await count(call)).toEqual({ redis: 0, postgres: 1 });
        }
      });
    });
  },
);

/** Counters live for up to a day, and the Redis is everybody's. */
async function forget(prefix: string): Promise<void> {
  const client = new Redis(redisUrl);
  const keys = await client.keys(`${prefix}*`);
  if (keys.length > 0) await client.del(...keys);
  client.disconnect();
}
