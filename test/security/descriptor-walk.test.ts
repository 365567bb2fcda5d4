import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addCaller, rpcGroups } from '../../src/callers/index.js';
import type { AuthClient, CallOptions } from '../../src/client/index.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import type { AuthMethod } from '../../src/grpc/index.js';
import { authServicePolicies, type RpcPolicy } from '../../src/grpc/rpc-policies.js';
import { delivered, type House, openHouse } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import type { TestApp } from '../support/test-app.js';
import { goodCalls } from './good-calls.js';

const methods = Object.keys(authServicePolicies) as AuthMethod[];
const policyOf = (method: AuthMethod): RpcPolicy => authServicePolicies[method];
/** `countersign.v1.AuthService/SignUp` */
const nameOf = (method: string) =>
  `countersign.v1.AuthService/${method[0]?.toUpperCase()}${method.slice(1)}`;

/** Refusals of a secret, and of one whose account was found (a code whose flow is nobody's, say). */
const SECRET_REFUSALS = [
  'CREDENTIALS_INVALID',
  'CODE_INVALID',
  'CODE_EXPIRED',
  'REFRESH_TOKEN_INVALID',
];

eachDatabase('every RPC by its row (rule 7)', (database) => {
  let house: House;
  /** Where things are made ready, and where limits are out of the way. */
  let app: TestApp;
  /** One call per source and RPC; one call per calling service and RPC. */
  let bySource: AuthClient;
  let byCaller: AuthClient;
  beforeAll(async () => {
    const callerKey = await addCaller(database().db, {
      name: 'web-bff',
      groups: rpcGroups,
      random: systemRandom,
      clock: systemClock,
    });
    house = await openHouse(database());
    app = await house.open({}, { callerKey });
    bySource = (await house.open({ LIMIT_CALLS_PER_SOURCE: '1/1h' }, { callerKey })).auth;
    byCaller = (await house.open({ LIMIT_CALLS_PER_CALLER: '1/1h' }, { callerKey })).auth;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const prepared = async (method: AuthMethod) => {
    const [preparation] = goodCalls[method];
    if (preparation === undefined) throw new Error('every RPC has a good call');
    return await preparation(app);
  };
  const changesOf = async (requestId: string): Promise<readonly string[]> => {
    const { rows } = await sql<{ action: string }>`
      select action from audit_events where request_id = ${requestId} and kind = 'change'`.execute(
      app.db,
    );
    return rows.map(({ action }) => action);
  };
  const failures = async (): Promise<number> => {
    const { rows } = await sql<{ total: number }>`
      select coalesce(sum(window_failures), 0)::int as total from guess_budgets`.execute(app.db);
    return rows[0]?.total ?? 0;
  };

  describe.each(methods)('%s', (method) => {
    const policy = policyOf(method);

    it('needs an access token, takes one, or does not look at one', async () => {
      const { accessToken, call } = await prepared(method);
      const garbage: CallOptions = { accessToken: 'garbage' };
      if (policy.person === 'required') {
        expect(await outcomeOf(call(app.auth, {}))).toBe('ACCESS_TOKEN_INVALID');
      }
      const refused = policy.person === 'none' ? 'OK' : 'ACCESS_TOKEN_INVALID';
      expect(await outcomeOf(call(app.auth, garbage))).toBe(refused);
      if (refused !== 'OK') expect(await outcomeOf(call(app.auth, { accessToken }))).toBe('OK');
    });

    it('leaves the change events that it promises, and one record of the call (T6)', async () => {
      const left = new Set<string>();
      for (const preparation of goodCalls[method]) {
        const { accessToken, call } = await preparation(app);
        const requestId = randomUUID();
        expect(await outcomeOf(call(app.auth, { accessToken, requestId }))).toBe('OK');
        // A request is the sender's to resolve, and is the same call's by its id.
        await delivered(app);
        for (const action of await changesOf(requestId)) left.add(action);
        await expect
          .poll(async () => {
            const { rows } = await sql<{ action: string; outcome: string }>`
              select action, outcome from audit_events
              where request_id = ${requestId} and kind = 'access'`.execute(app.db);
            return rows;
          })
          .toEqual([{ action: nameOf(method), outcome: 'OK' }]);
      }
      expect([...left].sort()).toEqual([...policy.changes].sort());
    });

    it('is limited by what it names, once it is tried too often', async () => {
      for (const [client, limiter] of [
        [bySource, 'callsPerSource'],
        [byCaller, 'callsPerCaller'],
      ] as const) {
        const [one, other] = [await prepared(method), await prepared(method)];
        const again = { accessToken: other.accessToken, clientAddress: '198.51.100.7' };
        expect(await outcomeOf(one.call(client, { ...again, accessToken: one.accessToken }))).toBe(
          'OK',
        );
        const outcome = await outcomeOf(other.call(client, again));
        expect(outcome, limiter).toBe(policy.limiters.includes(limiter) ? 'RATE_LIMITED' : 'OK');
      }
    });

    if (policy.secrets.length > 0 && method !== 'introspectToken') {
      it('refuses a wrong secret, and counts it where it could be guessed', async () => {
        for (const preparation of goodCalls[method]) {
          const { accessToken, wrong } = await preparation(app);
          if (wrong === undefined) continue;
          const before = await failures();
          expect(SECRET_REFUSALS).toContain(await outcomeOf(wrong(app.auth, { accessToken })));
          const guessable = policy.secrets.some((secret) => ['password', 'code'].includes(secret));
          if (guessable) expect(await failures()).toBeGreaterThan(before);
          else expect(await failures()).toBe(before);
        }
        expect(await Promise.all(goodCalls[method].map((make) => make(app)))).toContainEqual(
          expect.objectContaining({ wrong: expect.any(Function) }),
        );
      });
    }
  });

  it('introspectToken calls a forged token inactive, and tells nothing more', async () => {
    expect(await app.auth.introspectToken({ accessToken: 'garbage' })).toMatchObject({
      active: false,
      accountId: '',
    });
  });
});
