import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrations } from '../../migrations/index.js';
import { CountersignError, createTokenVerifier } from '../../src/client/index.js';
import { migrate } from '../../src/db/index.js';
import type { TestDatabase } from '../support/databases.js';
import { type Signup, signUp, unique } from '../support/people.js';
import { type PrivatePostgres, startPrivatePostgres } from '../support/private-postgres.js';
import { anotherPool, startTestApp, type TestApp } from '../support/test-app.js';
import { eventually } from './eventually.js';
import { type HealthProbe, healthOf } from './health-of.js';

function failureOf(call: Promise<unknown>): Promise<CountersignError> {
  return call.then(
    () => {
      throw new Error('the call succeeded');
    },
    (error: unknown) => {
      if (error instanceof CountersignError) return error;
      throw error;
    },
  );
}

describe.skipIf(process.env['TEST_DATABASE_URL'] === undefined)(
  'a server whose PostgreSQL goes away',
  () => {
    let postgres: PrivatePostgres;
    let database: TestDatabase;
    let app: TestApp;
    let person: Signup;
    let health: HealthProbe;

    beforeAll(async () => {
      postgres = await startPrivatePostgres();
      database = await anotherPool(postgres.url);
      await migrate(database.db, migrations);
      app = await startTestApp({ database });
      person = await signUp(app);
      health = healthOf(app.address);
    });
    afterAll(async () => {
      health?.close();
      await app?.[Symbol.asyncDispose]();
      await database?.[Symbol.asyncDispose]();
      await postgres?.[Symbol.asyncDispose]();
    });

    const readiness = async (): Promise<number> =>
      (await fetch(`http://${app.app.httpAddress}/readyz`)).status;
    const signIn = () =>
      app.auth.signIn({ identifier: person.username, password: person.password });

    it.each(['fast', 'immediate'] as const)(
      'answers UNAVAILABLE, stays alive and recovers by itself (%s stop)',
      { timeout: 90_000 },
      async (mode) => {
        expect(await health.ask()).toBe('serving');
        const access = { accessToken: person.accessToken };
        // Under load, so that connections are lent while the server goes.
        const load = Array.from({ length: 30 }, () =>
          signIn().then(
            () => 'OK',
            (error: unknown) => (error instanceof CountersignError ? error.reason : 'OTHER'),
          ),
        );
        await postgres.stop(mode);
        const loaded = new Set(await Promise.all(load));
        for (const told of loaded) expect(['OK', 'DEPENDENCY_UNAVAILABLE']).toContain(told);

        const calls = [
          signIn(),
          app.auth.signUp({ username: unique.username(), password: person.password }),
          app.auth.getAccount({}, access),
          app.auth.sendPhoneVerificationCode({ phoneNumber: unique.phone() }, access),
          app.auth.refreshSession({ refreshToken: person.refreshToken }),
        ];
        for (const failure of await Promise.all(calls.map(failureOf))) {
          expect(failure).toMatchObject({
            codeName: 'UNAVAILABLE',
            reason: 'DEPENDENCY_UNAVAILABLE',
          });
        }
        await eventually('health turned', async () => (await health.ask()) === 'not serving');
        expect(await readiness()).toBe(503);
        expect((await fetch(`http://${app.app.httpAddress}/healthz`)).status).toBe(200);

        // What needs no row goes on: introspection, and the keys that everybody verifies with.
        expect((await app.auth.introspectToken({ accessToken: person.accessToken })).active).toBe(
          true,
        );
        const jwks = await app.auth.getJsonWebKeySet({});
        expect(JSON.parse(jwks.jwksJson)).toMatchObject({
          keys: [expect.objectContaining({ kty: 'OKP' })],
        });
        const verifier = createTokenVerifier({
          jwksUrl: `http://${app.app.httpAddress}/.well-known/jwks.json`,
          issuer: 'countersign',
          audience: 'countersign',
        });
        expect(await verifier.verify(person.accessToken)).toMatchObject({
          accountId: person.accountId,
        });

        await postgres.start();
        await eventually('health turned back', async () => (await health.ask()) === 'serving');
        expect(await readiness()).toBe(200);
        expect((await signIn()).accountId).toBe(person.accountId);
        // All connections, not only the first: none of the dead ones may be left in the pool.
        const back = await Promise.all(
          Array.from({ length: 30 }, () => app.auth.getAccount({}, access)),
        );
        expect(back).toHaveLength(30);
        // The workers too: a message issued now is sent.
        const phoneNumber = unique.phone();
        await app.auth.sendPhoneVerificationCode(
          { phoneNumber },
          { accessToken: (await signUp(app)).accessToken },
        );
        await app.mailbox.waitFor(({ to }) => to === phoneNumber);
      },
    );

    it('loses no message that was issued before the stop and sent during it (M4)', {
      timeout: 90_000,
    }, async () => {
      const release = app.mailbox.hang();
      const phoneNumber = unique.phone();
      await signUp(app, { phoneNumber });
      await postgres.stop('immediate');
      release();
      await postgres.start();
      await eventually('health turned back', async () => (await health.ask()) === 'serving');
      // Its send hung and has to fail first; then its pause and its lease have to be over.
      app.clock.advance({ seconds: 45 });
      await app.mailbox.waitFor(({ to }) => to === phoneNumber, 30_000);
    });
  },
);
