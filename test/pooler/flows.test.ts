import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuthClient } from '../../src/client/index.js';
import { accountBudget, tally, wrongCodes } from '../concurrency/two-servers.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { describePooled } from '../support/private-pgbouncer.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { type PooledDatabase, pooledDatabase } from './pooled.js';

/** What the pooler keeps, and what the process is told of it. */
const WAYS = [
  { prepareStatements: true, max_prepared_statements: '500' },
  { prepareStatements: false, max_prepared_statements: '0' },
];

describePooled('two replicas behind PgBouncer', {}, () => {
  describe.each(WAYS)(
    'statements prepared: $prepareStatements',
    ({ prepareStatements, ...settings }) => {
      let place: PooledDatabase;
      let one: TestApp;
      let two: TestApp;
      beforeAll(async () => {
        place = await pooledDatabase(settings, { prepareStatements });
        one = await startTestApp({ database: place.pooled });
        const { dataDir, clock, mailbox } = one;
        two = await startTestApp({ database: place.pooled, dataDir, clock, mailbox });
      });
      afterAll(async () => {
        await two?.[Symbol.asyncDispose]();
        await one?.[Symbol.asyncDispose]();
        await place?.[Symbol.asyncDispose]();
      });

      const atOnce = <T>(count: number, fn: (auth: AuthClient, index: number) => Promise<T>) =>
        Promise.allSettled(
          Array.from({ length: count }, (_, index) =>
            fn((index % 2 === 0 ? one : two).auth, index),
          ),
        );
      const codeFor = async (address: string): Promise<string> => {
        await one.mailbox.waitFor(({ to }) => to === address);
        return one.mailbox.codeFor(address);
      };

      it('take the main job from end to end', async () => {
        const [email, phoneNumber] = [unique.email(), unique.phone()];
        const person = await signUp(one, { email, phoneNumber });
        const access = { accessToken: person.accessToken };
        const [challengeId] = person.challengeIds;
        await two.auth.confirmEmail({ challengeId, code: await codeFor(email) });
        await one.auth.confirmPhoneNumber({ code: await codeFor(phoneNumber) }, access);
        for (const identifier of [email, phoneNumber, person.username]) {
          const { accountId } = await two.auth.signIn({ identifier, password: PASSWORD });
          expect(accountId).toBe(person.accountId);
        }
        one.clock.advance({ seconds: 61 });
        const other = unique.phone();
        await one.auth.sendPhoneVerificationCode({ phoneNumber: other }, access);
        await two.auth.confirmPhoneNumber({ code: await codeFor(other) }, access);
        const { tokens } = await two.auth.refreshSession({ refreshToken: person.refreshToken });
        expect((await one.auth.getAccount({}, access)).account?.accountId).toBe(person.accountId);
        await one.auth.signOut({ refreshToken: tokens?.refreshToken ?? '' });
      });

      it('make one successor of 50 refreshes at once (rule 5)', async () => {
        const { refreshToken } = await signUp(one);
        const results = await atOnce(50, (auth) => auth.refreshSession({ refreshToken }));
        expect(tally(results)).toEqual({ OK: 50 });
        const successors = results.map((result) =>
          result.status === 'fulfilled' ? result.value.tokens?.refreshToken : '',
        );
        expect(new Set(successors).size).toBe(1);
      });

      it('judge exactly 5 of 60 wrong guesses at once (rule 2)', async () => {
        const phoneNumber = unique.phone();
        const { accountId, accessToken } = await signUp(one, { phoneNumber });
        const wrong = wrongCodes(await codeFor(phoneNumber), 60);
        const results = await atOnce(60, (auth, index) =>
          auth.confirmPhoneNumber({ code: wrong[index] ?? '' }, { accessToken }),
        );
        expect(tally(results)).toEqual({ CODE_INVALID: 5, VERIFICATION_LOCKED: 55 });
        expect(await accountBudget(place.direct.db, accountId, 'sms', 'session')).toMatchObject({
          failures: 5,
          locked: true,
        });
      });
    },
  );
});
