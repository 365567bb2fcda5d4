import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { Socket } from 'node:net';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { CountersignError } from '../../src/client/index.js';
import { eachDatabase } from '../support/databases.js';
import { type Signup, signUp } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { type WatchedDatabase, watchDatabase } from './watched-database.js';

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
const reasonOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'OK',
    (error: CountersignError) => error.reason,
  );

eachDatabase('tokens at the public door', (database) => {
  let app: TestApp;
  let watched: WatchedDatabase;
  let person: Signup;
  let victim: Signup;
  beforeAll(async () => {
    watched = watchDatabase(database());
    app = await startTestApp({ database: watched.database });
    person = await signUp(app);
    victim = await signUp(app);
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const getAccount = (accessToken: string) => reasonOf(app.auth.getAccount({}, { accessToken }));
  const active = async (accessToken: string) =>
    (await app.auth.introspectToken({ accessToken })).active;
  const changes = async (accountId: string) => {
    const { rows } = await sql<{
      action: string;
      outcome: string;
    }>`select action, outcome from audit_events
      where account_id = ${accountId}::uuid and kind = 'change' and action = 'session_ended'`.execute(
      app.db,
    );
    return rows;
  };

  /** A forged token for the victim, by what an attacker has: their own token and the public keys. */
  async function forgeries(): Promise<readonly (readonly [string, string])[]> {
    const [head = '', body = '', signature = ''] = person.accessToken.split('.');
    const header = decode(head);
    const claims = { ...decode(body), sub: victim.accountId };
    const { jwksJson } = await app.auth.getJsonWebKeySet({});
    const [publicJwk] = (JSON.parse(jwksJson) as { keys: { x: string; kid: string }[] }).keys;
    const own = generateKeyPairSync('ed25519');
    const ownJwk = own.publicKey.export({ format: 'jwk' });
    const make = (
      changed: object,
      by: (input: string) => Buffer | '',
      payload: object = claims,
    ): string => {
      const input = `${encode({ ...header, ...changed })}.${encode(payload)}`;
      return `${input}.${by(input).toString('base64url')}`;
    };
    const byOwn = (input: string) => sign(null, Buffer.from(input), own.privateKey);
    const hmac = (key: Buffer | string) => (input: string) =>
      createHmac('sha256', key).update(input).digest();
    const x = publicJwk?.x ?? '';
    return [
      ['alg none', make({ alg: 'none' }, () => '')],
      ['alg None, signed', make({ alg: 'None' }, byOwn)],
      [
        'HMAC with the public key as bytes',
        make({ alg: 'HS256' }, hmac(Buffer.from(x, 'base64url'))),
      ],
      ['HMAC with the public key as text', make({ alg: 'HS256' }, hmac(x))],
      ['HMAC with the public key as JSON', make({ alg: 'HS256' }, hmac(JSON.stringify(publicJwk)))],
      ['a key of its own in jwk', make({ jwk: ownJwk }, byOwn)],
      ['a key of its own in jwk, no kid', make({ jwk: ownJwk, kid: undefined }, byOwn)],
      ['a jku elsewhere', make({ jku: 'https://127.0.0.1:9/keys', kid: 'there' }, byOwn)],
      ['an x5u elsewhere', make({ x5u: 'https://127.0.0.1:9/cert' }, byOwn)],
      ['an unknown kid', make({ kid: 'unknown' }, byOwn)],
      ['a kid that is a path', make({ kid: '../../dev/null' }, hmac(''))],
      ['our kid, another key', make({}, byOwn)],
      ['crit that nobody knows', make({ crit: ['exp'] }, byOwn)],
      ['the own signature on other claims', `${head}.${encode(claims)}.${signature}`],
      ['no signature', `${head}.${body}.`],
      ['a signature cut short', person.accessToken.slice(0, -4)],
      ['white space inside', `${head}.${body}.${signature.slice(0, 8)} ${signature.slice(8)}`],
      ['five parts', `${head}.${head}.${body}.${body}.${signature}`],
      ['a refresh token', person.refreshToken],
      ['random bytes', randomBytes(64).toString('base64url')],
      ['nothing but dots', '..'],
    ];
  }

  describe('forged access tokens (rule 17)', () => {
    it('open no account, are inactive, cost no statement and no connection', async () => {
      const corpus = await forgeries();
      const connect = vi.spyOn(Socket.prototype, 'connect');
      watched.reset();
      for (const [name, token] of corpus) {
        expect([name, await getAccount(token)]).toEqual([name, 'ACCESS_TOKEN_INVALID']);
        expect([name, await active(token)]).toEqual([name, false]);
      }
      expect(watched.statements()).toEqual([]);
      expect(connect).not.toHaveBeenCalled();
      connect.mockRestore();
      expect(await getAccount(person.accessToken)).toBe('OK');
    });

    it('are refused of every length, and a huge one too', async () => {
      for (let length = 1; length < person.accessToken.length; length += 37) {
        expect(await getAccount(person.accessToken.slice(0, length))).toBe('ACCESS_TOKEN_INVALID');
      }
      expect(await active('x'.repeat(60_000))).toBe(false);
      expect(await active('')).toBe(false);
    });

    it('where none is given the call is ACCESS_TOKEN_INVALID too', async () => {
      expect(await reasonOf(app.auth.getAccount({}))).toBe('ACCESS_TOKEN_INVALID');
    });

    it('are not what makes a person of an anonymous confirmation: a bad one is refused, not overlooked', async () => {
      const call = app.auth.confirmEmail({ code: '123456' }, { accessToken: person.refreshToken });
      expect(await reasonOf(call)).toBe('ACCESS_TOKEN_INVALID');
    });
  });

  describe('a refresh token (rule 18)', () => {
    it('is not an access token, nor the other way round', async () => {
      expect(await active(person.refreshToken)).toBe(false);
      // A whole access token is longer than any refresh token, and refused as a field too long.
      const short = person.accessToken.slice(0, 200);
      for (const [refreshToken, reason] of [
        [person.accessToken, 'REFRESH_TOKEN_INVALID'],
        [short, 'REFRESH_TOKEN_INVALID'],
      ] as const) {
        expect(await reasonOf(app.auth.refreshSession({ refreshToken }))).toBe(reason);
        expect(await reasonOf(app.auth.signOut({ refreshToken }))).toBe(reason);
      }
    });

    it('that is garbage costs no statement and ends nothing', async () => {
      const { refreshToken } = await signUp(app);
      watched.reset();
      const flipped = refreshToken.slice(0, -2) + (refreshToken.endsWith('A') ? 'BB' : 'AA');
      for (const garbage of [
        'x',
        refreshToken.slice(0, -1),
        flipped,
        `${refreshToken}x`,
        randomBytes(90).toString('base64url'),
      ]) {
        expect(await reasonOf(app.auth.refreshSession({ refreshToken: garbage }))).toBe(
          'REFRESH_TOKEN_INVALID',
        );
      }
      expect(watched.statements()).toEqual([]);
      expect(await reasonOf(app.auth.refreshSession({ refreshToken }))).toBe('OK');
    });

    it('used again after 30 s ends the family: no token of it works, and the audit says so', async () => {
      const made = await signUp(app);
      const next = (await app.auth.refreshSession({ refreshToken: made.refreshToken })).tokens;
      app.clock.advance({ seconds: 31 });
      expect(await reasonOf(app.auth.refreshSession({ refreshToken: made.refreshToken }))).toBe(
        'REFRESH_TOKEN_INVALID',
      );
      expect(
        await reasonOf(app.auth.refreshSession({ refreshToken: next?.refreshToken ?? '' })),
      ).toBe('REFRESH_TOKEN_INVALID');
      expect(await getAccount(next?.accessToken ?? '')).toBe('ACCESS_TOKEN_INVALID');
      expect(await active(next?.accessToken ?? '')).toBe(false);
      expect(await changes(made.accountId)).toEqual([
        { action: 'session_ended', outcome: 'reused' },
      ]);
    });

    it('whose answer was lost yields the same successor within 30 s', async () => {
      const { refreshToken } = await signUp(app);
      const first = await app.auth.refreshSession({ refreshToken });
      app.clock.advance({ seconds: 20 });
      const again = await app.auth.refreshSession({ refreshToken });
      expect(again.tokens?.refreshToken).toBe(first.tokens?.refreshToken);
    });

    it('two generations old is reuse at once, however soon', async () => {
      const made = await signUp(app);
      const second =
        (await app.auth.refreshSession({ refreshToken: made.refreshToken })).tokens?.refreshToken ??
        '';
      const third =
        (await app.auth.refreshSession({ refreshToken: second })).tokens?.refreshToken ?? '';
      expect(await reasonOf(app.auth.refreshSession({ refreshToken: made.refreshToken }))).toBe(
        'REFRESH_TOKEN_INVALID',
      );
      expect(await reasonOf(app.auth.refreshSession({ refreshToken: third }))).toBe(
        'REFRESH_TOKEN_INVALID',
      );
    });
  });

  describe('an ended session', () => {
    it('after SignOut: its access token opens nothing, its refresh token is dead, others live', async () => {
      const made = await signUp(app);
      const other = await app.auth.signIn({ identifier: made.username, password: made.password });
      await app.auth.signOut({ refreshToken: made.refreshToken });
      expect(await getAccount(made.accessToken)).toBe('ACCESS_TOKEN_INVALID');
      expect(await active(made.accessToken)).toBe(false);
      expect(await reasonOf(app.auth.refreshSession({ refreshToken: made.refreshToken }))).toBe(
        'REFRESH_TOKEN_INVALID',
      );
      expect(await getAccount(other.tokens?.accessToken ?? '')).toBe('OK');
    });

    it('signs out once more with the same answer, and one audit record', async () => {
      const made = await signUp(app);
      await app.auth.signOut({ refreshToken: made.refreshToken });
      await app.auth.signOut({ refreshToken: made.refreshToken });
      expect(await changes(made.accountId)).toEqual([
        { action: 'session_ended', outcome: 'signed_out' },
      ]);
    });

    it('of a blocked account: nothing reads, sends, confirms or refreshes with its tokens', async () => {
      const made = await signUp(app);
      await sql`update accounts set status = 'blocked', session_epoch = session_epoch + 1
        where account_id = ${made.accountId}::uuid`.execute(app.db);
      const { accessToken } = made;
      const dead = 'ACCESS_TOKEN_INVALID';
      expect(await getAccount(accessToken)).toBe(dead);
      expect(
        await reasonOf(
          app.auth.sendEmailVerificationCode({ email: 'x@example.com' }, { accessToken }),
        ),
      ).toBe(dead);
      expect(await reasonOf(app.auth.confirmEmail({ code: '123456' }, { accessToken }))).not.toBe(
        'OK',
      );
      expect(await reasonOf(app.auth.refreshSession({ refreshToken: made.refreshToken }))).toBe(
        'REFRESH_TOKEN_INVALID',
      );
    });

    it('expires: the access token after its 15 minutes, by the moved clock', async () => {
      const made = await signUp(app);
      app.clock.advance({ minutes: 14 });
      expect(await getAccount(made.accessToken)).toBe('OK');
      app.clock.advance({ minutes: 2 });
      expect(await getAccount(made.accessToken)).toBe('ACCESS_TOKEN_INVALID');
      expect(await active(made.accessToken)).toBe(false);
    });
  });
});
