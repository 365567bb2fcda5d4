import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/core/errors.js';
import { DatabaseUnavailableError } from '../../src/db/index.js';
import { authRpc, type RpcCall } from '../../src/grpc/index.js';
import { call, defer, detailsOf, openToyEdge } from './toy-edge.js';

const signInRequest = {
  identifier: 'ada',
  password: 'secret',
  scope: undefined,
  region: undefined,
};
const METHOD = 'countersign.v1.AuthService/SignIn';

/** SignIn, with a use-case of the test's own. */
function signIn(run: (input: string, call: RpcCall) => Promise<void>) {
  return authRpc('signIn', {
    parse: (request) => request.identifier,
    run,
    toResponse: () => ({ tokens: undefined, accountId: 'account-1' }),
  });
}

describe('one answer, whatever happens (rule 20)', () => {
  const oops = () => new Error('password=hunter2 at /srv/secret.ts');
  const faults: readonly (readonly [string, Parameters<typeof signIn>[0]])[] = [
    ['rejects', () => Promise.reject(oops())],
    [
      'throws before it returns a promise',
      () => {
        throw oops();
      },
    ],
    ['rejects with nothing', () => Promise.reject(undefined)],
    [
      'throws an error with a gRPC code of its own',
      () => Promise.reject(Object.assign(oops(), { code: 3 })),
    ],
    [
      'throws a reason that the contract does not have',
      () => Promise.reject(new DomainError('MADE_UP', 'secret')),
    ],
  ];

  it.each(faults)('is INTERNAL with a reference when the handler %s', async (_, run) => {
    const { client, seen } = await openToyEdge({ signIn: signIn(run) });
    const outcome = await call(client, client.signIn, signInRequest);
    expect(outcome.error?.code).toBe(status.INTERNAL);
    expect(outcome.error?.details).toBe('an unexpected error; its reference names it in the logs');
    const { info, status: told } = detailsOf(outcome);
    expect(info?.reason).toBe('INTERNAL');
    expect(JSON.stringify(told)).not.toMatch(/hunter2|secret/);
    const logged = seen.logged.find(({ level }) => level === 'error');
    expect(logged?.fields).toMatchObject({
      reference: info?.metadata['reference'],
      method: METHOD,
    });
    expect(seen.audit).toMatchObject([{ outcome: 'INTERNAL' }]);
  });

  it('is INTERNAL when the answer cannot be mapped', async () => {
    const rpc = authRpc('signIn', {
      ...signIn(async () => undefined),
      toResponse: () => {
        throw oops();
      },
    });
    const { client } = await openToyEdge({ signIn: rpc });
    expect((await call(client, client.signIn, signInRequest)).error?.code).toBe(status.INTERNAL);
  });

  it('is UNAVAILABLE while the database is away', async () => {
    const away = () =>
      Promise.reject(new DatabaseUnavailableError('connect ECONNREFUSED 10.0.0.3'));
    const { client } = await openToyEdge({ signIn: signIn(away) });
    const outcome = await call(client, client.signIn, signInRequest);
    expect(outcome.error?.code).toBe(status.UNAVAILABLE);
    expect(detailsOf(outcome).info?.reason).toBe('DEPENDENCY_UNAVAILABLE');
    expect(outcome.error?.message).not.toContain('10.0.0.3');
  });

  it('is DEADLINE_EXCEEDED at our own limit when a handler never settles, and its signal aborts', async () => {
    const signals: AbortSignal[] = [];
    const never = (_: string, { signal }: RpcCall) => {
      signals.push(signal);
      return new Promise<void>(() => undefined);
    };
    const { client, seen } = await openToyEdge({ signIn: signIn(never) }, { callTimeoutMs: 30 });
    const outcome = await call(client, client.signIn, signInRequest);
    expect(outcome.error?.code).toBe(status.DEADLINE_EXCEEDED);
    expect(detailsOf(outcome).status.code).toBe(status.DEADLINE_EXCEEDED);
    expect(signals[0]?.aborted).toBe(true);
    expect(seen.audit).toMatchObject([{ outcome: 'DEADLINE_EXCEEDED' }]);
  });

  it("obeys the client's deadline where it is the shorter one", async () => {
    const seenDeadlines: number[] = [];
    const ended = defer<string>();
    const slow = (_: string, { deadline, signal }: RpcCall) => {
      seenDeadlines.push(deadline.getTime() - Date.now());
      signal.addEventListener('abort', () => ended.resolve(String(signal.reason)));
      return new Promise<void>(() => undefined);
    };
    const { client, seen } = await openToyEdge({ signIn: signIn(slow) });
    // Named to the server alone: a client that counts for itself may leave before the server's timer.
    const outcome = await call(client, client.signIn, signInRequest, {
      metadata: { 'grpc-timeout': '60m' },
    });
    expect(outcome.error?.code).toBe(status.DEADLINE_EXCEEDED);
    expect(await ended.promise).toContain('the deadline has passed');
    expect(seenDeadlines[0]).toBeLessThanOrEqual(60);
    expect(seen.audit).toMatchObject([{ outcome: 'DEADLINE_EXCEEDED' }]);
  });

  it('aborts the signal when the client leaves, and records CANCELLED once', async () => {
    const begun = defer<void>();
    const ended = defer<string>();
    const wait = (_: string, { signal }: RpcCall) => {
      begun.resolve();
      return new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          ended.resolve(String(signal.reason));
          reject(signal.reason);
        });
      });
    };
    const { client, seen } = await openToyEdge({ signIn: signIn(wait) });
    const outcome = await call(client, client.signIn, signInRequest, {
      cancelAfter: begun.promise,
    });
    expect(outcome.error?.code).toBe(status.CANCELLED);
    expect(await ended.promise).toContain('the caller has left');
    expect(seen.audit.map((event) => event.outcome)).toEqual(['CANCELLED']);
  });

  it('has aborted the signal of a use-case that asks for it only after the end', async () => {
    const begun = defer<void>();
    const recorded = defer<void>();
    const asked = defer<AbortSignal>();
    const late = async (_: string, rpcCall: RpcCall) => {
      begun.resolve();
      await recorded.promise;
      asked.resolve(rpcCall.signal);
    };
    const audit = { record: () => recorded.resolve() };
    const { client } = await openToyEdge({ signIn: signIn(late) }, { audit });
    await call(client, client.signIn, signInRequest, { cancelAfter: begun.promise });
    const signal = await asked.promise;
    expect(signal.aborted).toBe(true);
    expect(String(signal.reason)).toContain('the caller has left');
  });

  it('is not changed by an audit that fails', async () => {
    const audit = {
      record: () => {
        throw new Error('full');
      },
    };
    const { client, seen } = await openToyEdge({}, { audit });
    expect((await call(client, client.signIn, signInRequest)).error).toBeNull();
    expect(seen.logged.map(({ level }) => level)).toEqual(['error']);
  });
});
