import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashCallerKey } from '../../src/callers/caller.js';
import { addCaller, revokeCallerKey, rpcGroups } from '../../src/callers/index.js';
import { type AuthClient, type CallOptions, CountersignError } from '../../src/client/index.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { rawSignIn } from './raw-call.js';

async function failure(call: Promise<unknown>): Promise<CountersignError | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (error instanceof CountersignError) return error;
    throw error;
  }
}
const reasonOf = async (call: Promise<unknown>) => (await failure(call))?.reason ?? 'OK';

eachDatabase('callers and the addresses they report (rule 21)', (database) => {
  let app: TestApp;
  let keys: { web: string; mobile: string; reader: string };
  let web: AuthClient;
  let mobile: AuthClient;
  beforeAll(async () => {
    const { db } = database();
    const add = (name: string, groups: readonly string[]) =>
      addCaller(db, { name, groups, random: systemRandom, clock: systemClock });
    // Before the app starts: it reads its callers every two seconds, sooner for a key it does not know.
    keys = {
      web: await add('web-bff', rpcGroups),
      mobile: await add('mobile-bff', rpcGroups),
      reader: await add('reader', ['introspection']),
    };
    app = await startTestApp({
      database: database(),
      env: { LIMIT_SIGN_INS_PER_SOURCE: '3/1h', LIMIT_SIGN_UPS_PER_SOURCE: '2/1h' },
    });
    web = app.connect({ callerKey: keys.web });
    mobile = app.connect({ callerKey: keys.mobile });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const attempt = (client: AuthClient, options: CallOptions = {}) =>
    failure(client.signIn({ identifier: unique.username(), password: PASSWORD }, options));
  /** Reasons of attempts from addresses, one after the other. */
  const from = async (client: AuthClient, addresses: readonly (string | undefined)[]) => {
    const seen: (string | undefined)[] = [];
    for (const clientAddress of addresses) {
      seen.push((await attempt(client, { clientAddress }))?.reason);
    }
    return seen;
  };
  const admitted = 'CREDENTIALS_INVALID';

  describe('the caller', () => {
    it.each(['ck_0000000000000000000000000000000000000000000', 'garbage', 'x'.repeat(4_000)])(
      'that shows a key which nobody has is CALLER_UNKNOWN: %#',
      async (callerKey) => {
        const stranger = app.connect({ callerKey });
        const before = { ...app.hasher.counts };
        expect((await attempt(stranger))?.reason).toBe('CALLER_UNKNOWN');
        expect(app.hasher.counts).toEqual(before);
      },
    );

    it('that shows two keys is CALLER_UNKNOWN, though both are good', async () => {
      const answer = await rawSignIn(
        app.address,
        { identifier: 'a', password: PASSWORD },
        { 'countersign-caller-key': `${keys.web}, ${keys.mobile}` },
      );
      expect(answer).toMatchObject({ 'grpc-status': '16' });
    });

    it('without the group of an RPC is CALLER_NOT_ALLOWED, told which group, and nothing is done', async () => {
      const reader = app.connect({ callerKey: keys.reader });
      const before = { ...app.hasher.counts };
      const error = await attempt(reader);
      expect([error?.reason, error?.metadata]).toEqual([
        'CALLER_NOT_ALLOWED',
        { group: 'sign-in' },
      ]);
      expect(
        await reasonOf(reader.signUp({ username: unique.username(), password: PASSWORD })),
      ).toBe('CALLER_NOT_ALLOWED');
      expect(await reasonOf(reader.getJsonWebKeySet({}))).toBe('CALLER_NOT_ALLOWED');
      expect((await reader.introspectToken({ accessToken: 'x' })).active).toBe(false);
      expect(app.hasher.counts).toEqual(before);
    });

    it('whose key was revoked is unknown from the next reading on', async () => {
      const groups = ['sign-in'];
      const key = await addCaller(app.db, {
        name: 'leaver',
        groups,
        random: systemRandom,
        clock: app.clock,
      });
      const leaver = app.connect({ callerKey: key });
      const outcome = async () => (await attempt(leaver))?.reason;
      await expect.poll(outcome, { timeout: 10_000, interval: 250 }).toBe(admitted);
      await revokeCallerKey(app.db, {
        name: 'leaver',
        keyId: hashCallerKey(key).toString('hex').slice(0, 8),
        clock: app.clock,
      });
      await expect.poll(outcome, { timeout: 10_000, interval: 250 }).toBe('CALLER_UNKNOWN');
    });

    it('stands in the token that it gets, as client_id', async () => {
      const person = await signUp({ auth: mobile });
      const { claims } = { claims: person.accessToken.split('.')[1] ?? '' };
      expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
        client_id: 'mobile-bff',
      });
    });
  });

  describe('the address', () => {
    it('counts as the person: one of two behind a BFF is exhausted, the other is served', async () => {
      const [busy, calm] = ['198.51.100.1', '198.51.100.2'];
      expect(await from(web, [busy, busy, busy, busy])).toEqual([
        admitted,
        admitted,
        admitted,
        'RATE_LIMITED',
      ]);
      expect(await from(web, [calm])).toEqual([admitted]);
      // The same person through another service is the same person.
      expect(await from(mobile, [busy, calm])).toEqual(['RATE_LIMITED', admitted]);
    });

    it('that is exhausted is told the wait, as RetryInfo and as retry-after', async () => {
      const clientAddress = '198.51.100.3';
      for (let i = 0; i < 3; i += 1) await attempt(web, { clientAddress });
      const error = await attempt(web, { clientAddress });
      expect(error?.reason).toBe('RATE_LIMITED');
      expect(error?.retryAfter).toBeGreaterThan(3_500);
      expect(error?.retryAfter).toBeLessThanOrEqual(3_600);
      const raw = await rawSignIn(
        app.address,
        { identifier: 'a', password: PASSWORD },
        { 'countersign-caller-key': keys.web, 'countersign-client-address': clientAddress },
      );
      expect(Number(raw['retry-after'])).toBeGreaterThan(3_500);
      const details = Buffer.from(String(raw['grpc-status-details-bin']), 'base64').toString(
        'latin1',
      );
      expect(details).toContain('google.rpc.RetryInfo');
      // Which limiter it was would tell what others did.
      expect(error?.metadata).toEqual({});
    });

    it("is believed from an authenticated caller alone: a stranger cannot use up anybody's share", async () => {
      const victim = '198.51.100.4';
      const anonymous = await from(
        app.auth,
        Array.from({ length: 8 }, () => victim),
      );
      expect(new Set(anonymous)).toEqual(new Set([admitted]));
      expect(await from(web, [victim, victim, victim])).toEqual([admitted, admitted, admitted]);
    });

    it('cannot be rotated by a stranger to escape a count either: garbage from one is not even read', async () => {
      expect(await from(app.auth, ['garbage', '1.2.3.4, 5.6.7.8'])).toEqual([admitted, admitted]);
    });

    it('of a tool on this machine is not counted: loopback without metadata', async () => {
      const none = Array.from({ length: 8 }, () => undefined);
      expect(new Set(await from(web, none))).toEqual(new Set([admitted]));
      expect(new Set(await from(app.auth, none))).toEqual(new Set([admitted]));
    });

    it('is counted when a caller reports it, even if it is loopback', async () => {
      const loopback = Array.from({ length: 4 }, () => '127.0.0.9');
      expect(await from(web, loopback)).toEqual([admitted, admitted, admitted, 'RATE_LIMITED']);
    });

    it.each([
      '203.0.113.9:443',
      '[2001:db8::1]',
      'fe80::1%eth0',
      '203.0.113.9, 203.0.113.10',
      '203.0.113.09',
      '203.0.113',
      'localhost',
      '::g',
      '0x7f000001',
      `2001:db8::${'0'.repeat(60)}1`,
    ])('is refused with its field named when it is garbage: %s', async (clientAddress) => {
      const before = { ...app.hasher.counts };
      const error = await attempt(web, { clientAddress });
      expect(error?.reason).toBe('FIELD_INVALID');
      expect(error?.violations.map(({ field }) => field)).toEqual(['countersign-client-address']);
      expect(app.hasher.counts).toEqual(before);
    });

    it('is one person as IPv4 and as IPv4 mapped into IPv6', async () => {
      const spellings = [
        '198.51.100.5',
        '::ffff:198.51.100.5',
        '::ffff:c633:6405',
        '0:0:0:0:0:ffff:198.51.100.5',
      ];
      expect(await from(web, spellings)).toEqual([admitted, admitted, admitted, 'RATE_LIMITED']);
    });

    it('is limited by its /64 where it is IPv6, and the next /64 is another person', async () => {
      const within = [
        '2001:db8:1:2::1',
        '2001:db8:1:2:ffff::',
        '2001:DB8:1:2:0:0:0:9',
        '2001:db8:1:2:1:2:3:4',
      ];
      expect(await from(web, within)).toEqual([admitted, admitted, admitted, 'RATE_LIMITED']);
      expect(await from(web, ['2001:db8:1:3::1'])).toEqual([admitted]);
    });

    it('limits sign-ups of the person too, and a refused one makes nothing', async () => {
      const clientAddress = '198.51.100.6';
      const signUpFrom = (username: string) =>
        reasonOf(web.signUp({ username, password: PASSWORD }, { clientAddress }));
      const last = unique.username();
      expect(await signUpFrom(unique.username())).toBe('OK');
      expect(await signUpFrom(unique.username())).toBe('OK');
      expect(await signUpFrom(last)).toBe('RATE_LIMITED');
      expect(
        await reasonOf(
          web.signUp({ username: last, password: PASSWORD }, { clientAddress: '198.51.100.7' }),
        ),
      ).toBe('OK');
    });
  });

  describe('what a caller was given', () => {
    it("a refresh token works for it alone, and another caller's try ends nothing", async () => {
      const { refreshToken } = await signUp({ auth: web });
      expect(await reasonOf(mobile.refreshSession({ refreshToken }))).toBe('REFRESH_TOKEN_INVALID');
      expect(await reasonOf(app.auth.refreshSession({ refreshToken }))).toBe(
        'REFRESH_TOKEN_INVALID',
      );
      expect(await reasonOf(mobile.signOut({ refreshToken }))).toBe('REFRESH_TOKEN_INVALID');
      expect(await reasonOf(web.refreshSession({ refreshToken }))).toBe('OK');
    });

    it('a challenge works for it alone: the right code by another caller is CODE_EXPIRED and charges nothing', async () => {
      const email = unique.email();
      const { challengeIds } = await signUp({ auth: web }, { email });
      await app.mailbox.waitFor(({ to }) => to === email);
      const [challengeId = ''] = challengeIds;
      const code = app.mailbox.codeFor(email);
      for (let i = 0; i < 6; i += 1) {
        expect(await reasonOf(mobile.confirmEmail({ challengeId, code }))).toBe('CODE_EXPIRED');
      }
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }))).toBe('CODE_EXPIRED');
      expect(await reasonOf(web.confirmEmail({ challengeId, code }))).toBe('OK');
    });
  });
});
