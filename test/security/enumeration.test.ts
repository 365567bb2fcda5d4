import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { addCaller, rpcGroups } from '../../src/callers/index.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { authServicePolicies } from '../../src/grpc/rpc-policies.js';
import { delivered } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { identifierStates, newValues, type Typed } from './identifier-states.js';
import { type Fields, type Method, type Observation, type Stage, Stranger } from './stranger.js';
import { type WatchedDatabase, watchDatabase } from './watched-database.js';

vi.setConfig({ testTimeout: 120_000 });

/** A way to begin a flow by what is typed, and to guess at its code. */
interface FlowProbe {
  readonly method: Method;
  readonly name: string;
  readonly request: (typed: Typed, challengeId?: string) => Fields<Method>;
  readonly guesses: Method;
}

const recovery = (name: keyof Typed): FlowProbe => ({
  method: 'requestPasswordReset',
  name: `RequestPasswordReset by ${name}`,
  request: (typed, challengeId) => ({ identifier: typed[name], challengeId }),
  guesses: 'verifyPasswordResetCode',
});

const typedFlows: readonly FlowProbe[] = [
  {
    method: 'requestPhoneSignIn',
    name: 'RequestPhoneSignIn',
    request: ({ phone }, challengeId) => ({ phoneNumber: phone, challengeId }),
    guesses: 'completePhoneSignIn',
  },
  {
    method: 'resendEmailConfirmation',
    name: 'ResendEmailConfirmation',
    request: ({ email }, challengeId) => ({ email, challengeId }),
    guesses: 'confirmEmail',
  },
  recovery('email'),
  recovery('phone'),
];
const registeredFlows = [recovery('username'), recovery('email'), recovery('phone')];

const HOUR = 3_600;
const WRONG = '000000';

describe('the probes of enumeration', () => {
  it('are there for every RPC that takes an identifier from strangers (rule 8)', () => {
    const exposed = Object.entries(authServicePolicies)
      .filter(([, { person, takesIdentifier }]) => person === 'none' && takesIdentifier)
      .map(([name]) => name);
    const probed = new Set(typedFlows.map(({ method }) => method as string));
    expect(exposed.toSorted()).toEqual([...probed, 'signIn', 'signUp'].toSorted());
  });
});

describe.each([
  { delivery: 'typed', flows: typedFlows },
  { delivery: 'registered', flows: registeredFlows },
])('strangers are told nothing (rules 8 and 9), $delivery delivery', ({ delivery, flows }) => {
  eachDatabase('for each state of an identifier', (database) => {
    let app: TestApp;
    let full: TestApp;
    let watched: WatchedDatabase;
    let stage: Stage;
    beforeAll(async () => {
      const callerKey = await addCaller(database().db, {
        name: 'bff',
        groups: rpcGroups,
        random: systemRandom,
        clock: systemClock,
      });
      watched = watchDatabase(database());
      const env = { RECOVERY_DELIVERY: delivery, LIMIT_SIGN_INS_PER_SOURCE: '10/1m' };
      app = await startTestApp({ database: watched.database, env });
      const { dataDir, clock, mailbox } = app;
      const shared = { database: watched.database, dataDir, clock, mailbox };
      full = await startTestApp({ ...shared, env: { ...env, LIMIT_ANONYMOUS_IN_ALL: '1/1h' } });
      stage = { app, watched, callerKey };
    });
    afterAll(async () => {
      await full[Symbol.asyncDispose]();
      await app[Symbol.asyncDispose]();
    });

    /** Goes through the same calls for each state; everything that was seen must be the same. */
    async function alike(
      script: (stranger: Stranger, typed: Typed) => Promise<void>,
      { sendersFail = false } = {},
    ): Promise<readonly Observation[]> {
      const people = await Promise.all(
        Object.entries(identifierStates).map(
          async ([state, make]) => [state, await make(app)] as const,
        ),
      );
      await delivered(app);
      // What signing up has sent is not what is tested here.
      app.clock.advance({ seconds: 25 * HOUR });
      const seen = new Map<string, readonly Observation[]>();
      app.mailbox.failNext(sendersFail ? Number.POSITIVE_INFINITY : 0);
      for (const [state, typed] of people) {
        const stranger = new Stranger(stage, { ...typed });
        await script(stranger, typed);
        seen.set(state, stranger.seen);
      }
      app.mailbox.failNext(0);
      // What could not be sent expires.
      app.clock.advance({ minutes: 11 });
      await delivered(app);
      const reference = seen.get('never seen') ?? [];
      for (const [state, observations] of seen) {
        expect(observations, `for an identifier that is ${state}`).toEqual(reference);
      }
      return reference;
    }

    const freshBudgets = async (): Promise<number> => {
      const since = new Date(app.clock.now().getTime() - HOUR * 1_000);
      const { rows } = await sql<{ rows: number }>`select count(*)::int as rows from guess_budgets
        where window_started_at > ${since}`.execute(database().db);
      return rows[0]?.rows ?? 0;
    };
    const outcomes = (seen: readonly Observation[]) =>
      seen.map(({ status, retryAfter }) =>
        retryAfter === undefined ? status : `${status} after ${retryAfter}`,
      );
    const ask = (stranger: Stranger, probe: FlowProbe, typed: Typed, challengeId?: string) =>
      stranger.call(probe.method, probe.request(typed, challengeId));

    describe.each(flows)('$name', (probe) => {
      it('asked, asked again, from elsewhere, in the same flow and in no flow', async () => {
        const seen = await alike(async (stranger, typed) => {
          const [flow] = await ask(stranger, probe, typed);
          const [held] = await ask(stranger, probe, typed);
          expect(await ask(stranger, probe, typed, flow)).toEqual([flow]);
          await ask(stranger, probe, typed, randomUUID());
          stranger.elsewhere();
          await ask(stranger, probe, typed);
          // By now the worker knows whose it is.
          await delivered(app);
          app.clock.advance({ seconds: 20 });
          await ask(stranger, probe, typed, flow);
          app.clock.advance({ seconds: 50 });
          await ask(stranger, probe, typed, flow);
          await ask(stranger, probe, typed, held);
          await delivered(app);
        });
        expect(outcomes(seen)).toEqual([
          'OK',
          'OK after 60',
          'OK after 60',
          'OK after 60',
          'OK',
          'OK after 40',
          'OK',
          'OK',
        ]);
        // One statement for each, hashes for none, and the body holds a flow.
        for (const { statements, hashes, body } of seen) {
          expect([statements.length, hashes]).toEqual([1, 0]);
          expect(body).toContain('id ');
        }
      });

      it('beyond the cap of what is typed', async () => {
        const seen = await alike(async (stranger, typed) => {
          for (let n = 0; n < 6; n += 1) {
            stranger.elsewhere();
            await ask(stranger, probe, typed);
          }
          await ask(stranger, probe, typed, randomUUID());
        });
        expect(outcomes(seen)).toEqual([
          ...Array.from({ length: 5 }, () => 'OK'),
          '8 after 3600',
          '8 after 3600',
        ]);
        expect(seen.at(-1)?.statements).toEqual([]);
      });

      it('while the senders fail', async () => {
        const seen = await alike(
          async (stranger, typed) => {
            const [challengeId] = await ask(stranger, probe, typed);
            await ask(stranger, probe, typed, challengeId);
            await stranger.call(probe.guesses, { challengeId, code: WRONG });
          },
          { sendersFail: true },
        );
        expect(outcomes(seen)).toEqual(['OK', 'OK after 60', '3']);
      });

      it('guessed at, until it is locked and open again', async () => {
        const seen = await alike(async (stranger, typed) => {
          const guess = (challengeId = '') =>
            stranger.call(probe.guesses, { challengeId, code: WRONG });
          const [first] = await ask(stranger, probe, typed);
          await delivered(app);
          for (let n = 0; n < 6; n += 1) await guess(first);
          stranger.elsewhere();
          const [second] = await ask(stranger, probe, typed);
          await delivered(app);
          await guess(second);
          await guess(randomUUID());
          app.clock.advance({ seconds: 16 * 60 });
          await guess(second);
          const [third] = await ask(stranger, probe, typed);
          await delivered(app);
          await guess(third);
        });
        const wrong = Array.from({ length: 5 }, () => '3');
        expect(outcomes(seen)).toEqual([
          'OK',
          ...wrong,
          '8 after 900',
          'OK',
          '8 after 900',
          '9',
          '9',
          'OK',
          '3',
        ]);
        for (const { statements, hashes } of seen) {
          expect([statements.length, hashes]).toEqual([1, 0]);
        }
      });

      it('a guess at nobody’s code is counted in as many rows as one at somebody’s', async () => {
        const charged: number[] = [];
        await alike(async (stranger, typed) => {
          const [challengeId] = await ask(stranger, probe, typed);
          await delivered(app);
          const before = await freshBudgets();
          await stranger.call(probe.guesses, { challengeId, code: WRONG });
          charged.push((await freshBudgets()) - before);
        });
        // Whoever is locked has a row already.
        const locked = Object.keys(identifierStates).indexOf('locked');
        expect(charged.toSpliced(locked, 1)).toEqual(charged.slice(1).map(() => 2));
      });

      it('where no more strangers are admitted', async () => {
        const seen = await alike(async (stranger, typed) => {
          // Somebody takes the one place of this hour.
          app.clock.advance({ seconds: 2 * HOUR });
          await new Stranger({ ...stage, app: full }, {}).call(
            probe.method,
            probe.request(newValues()),
          );
          stranger.at({ ...stage, app: full });
          const [challengeId] = await ask(stranger, probe, typed);
          await ask(stranger, probe, typed, challengeId);
          await stranger.call(probe.guesses, { challengeId, code: WRONG });
        });
        expect(outcomes(seen)).toEqual(['OK after 3600', 'OK after 3600', '9']);
        expect(seen.map(({ statements }) => statements.length)).toEqual([0, 0, 1]);
      });
    });

    describe.runIf(delivery === 'typed').each(['username', 'email', 'phone'] as const)(
      'SignIn by %s',
      (name) => {
        const guess = (stranger: Stranger, typed: Typed) =>
          stranger.call('signIn', { identifier: typed[name], password: 'not the password' });

        it('until it is locked and open again', async () => {
          const seen = await alike(async (stranger, typed) => {
            for (let n = 0; n < 7; n += 1) await guess(stranger, typed);
            app.clock.advance({ seconds: 16 * 60 });
            await guess(stranger, typed);
          });
          const wrong = Array.from({ length: 5 }, () => '16');
          expect(outcomes(seen)).toEqual([...wrong, '8 after 900', '8 after 900', '16']);
          for (const { statements, hashes } of seen) {
            expect([statements.length, hashes]).toEqual([1, 1]);
          }
        });

        it('beyond the cap of a source', async () => {
          const seen = await alike(async (stranger, typed) => {
            for (let n = 0; n < 10; n += 1) await guess(stranger, newValues());
            await guess(stranger, typed);
          });
          expect(outcomes(seen).at(-1)).toBe('8 after 60');
          expect(seen.at(-1)).toMatchObject({ hashes: 0, statements: [] });
        });
      },
    );

    const claims = [
      { name: 'email', guesses: 'confirmEmail' },
      { name: 'phone', guesses: 'confirmPhoneNumber' },
    ] as const;
    describe.runIf(delivery === 'typed').each(claims)('SignUp with the $name', (claim) => {
      const signUp = (stranger: Stranger, typed: Typed) => {
        const username = stranger.own('newcomer', newValues().username);
        const fields =
          claim.name === 'email' ? { email: typed.email } : { phoneNumber: typed.phone };
        return stranger.call('signUp', { username, password: 'a password of mine', ...fields });
      };

      it('until no more messages go there', async () => {
        const seen = await alike(async (stranger, typed) => {
          for (let n = 0; n < 6; n += 1) await signUp(stranger, typed);
          await delivered(app);
        });
        const admitted = Array.from({ length: 5 }, () => 'OK');
        expect(outcomes(seen)).toEqual([...admitted, '8 after 3600']);
        for (const { statements, hashes } of seen.slice(0, -1)) {
          expect([statements.length, hashes]).toEqual([1, 1]);
        }
      });

      it('while the senders fail, and wrong codes', async () => {
        const seen = await alike(
          async (stranger, typed) => {
            const ids = await signUp(stranger, typed);
            const challengeId = ids.at(-1);
            for (let n = 0; n < 6; n += 1) {
              await stranger.call(claim.guesses, { challengeId, code: WRONG });
            }
          },
          { sendersFail: true },
        );
        app.mailbox.failNext(0);
        const wrong = Array.from({ length: 5 }, () => '3');
        expect(outcomes(seen)).toEqual(['OK', ...wrong, '8 after 900']);
      });
    });
  });
});
