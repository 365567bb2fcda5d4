import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from 'vitest';
import { AuthServiceService } from '../../generated/countersign/v1/auth_service.js';
import {
  type CountersignClient,
  CountersignError,
  createCountersignClient,
  type SignInResponse,
} from '../../src/client/index.js';
import { type FakeAuthService, startFakeAuthService } from './fake-auth-service.js';

let fake: FakeAuthService;
let client: CountersignClient;

beforeEach(async () => {
  fake = await startFakeAuthService();
  client = createCountersignClient({
    address: fake.address,
    callerKey: 'key-of-web-bff',
    userAgent: 'web-bff/1',
  });
});

afterEach(async () => {
  await client[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
});

async function failureOf(call: Promise<unknown>): Promise<CountersignError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CountersignError);
  return error as CountersignError;
}

describe('methods', () => {
  it('has one for each RPC of the contract, and reaches it', async () => {
    expect(Object.keys(client.auth)).toEqual(Object.keys(AuthServiceService));
    for (const [name, method] of Object.entries(client.auth)) {
      const rpc = name.charAt(0).toUpperCase() + name.slice(1);
      fake.on(rpc, () => ({ response: {}, failure: { code: status.NOT_FOUND, text: rpc } }));
      const error = await failureOf((method as (request: object) => Promise<unknown>)({}));
      expect([error.code, error.rpc, fake.seen.at(-1)?.rpc]).toEqual([status.NOT_FOUND, rpc, rpc]);
    }
  });

  it('returns the response message, typed', async () => {
    fake.on('SignIn', () => ({
      response: {
        accountId: 'a-1',
        tokens: {
          accessToken: 't',
          tokenType: 'Bearer',
          expiresIn: 9,
          refreshToken: 'r',
          refreshExpiresIn: 9,
        },
      },
    }));
    const response = await client.auth.signIn({
      identifier: 'an',
      password: 'p',
      scope: { organizationId: 'o' },
    });
    expectTypeOf(response).toEqualTypeOf<SignInResponse>();
    expect(response.accountId).toBe('a-1');
    expect(fake.seen[0]?.request).toMatchObject({
      identifier: 'an',
      scope: { organizationId: 'o', merchantId: '' },
    });
  });

  it('refuses at compile time a request without what the contract requires', () => {
    // Never called: the compiler is what is tested.
    const wrong = () => {
      // @ts-expect-error a sign-in needs a password
      void client.auth.signIn({ identifier: 'an' });
    };
    expect(wrong).toBeTypeOf('function');
  });

  it('tells retry-after and the request id of a held-back success', async () => {
    fake.on('SendEmailVerificationCode', () => ({
      response: { challenge: { challengeId: 'c', channel: 1, maskedDestination: 'm' } },
      trailing: { 'retry-after': '42', 'countersign-request-id': 'r-1' },
    }));
    const answer = await client.auth.sendEmailVerificationCode.full({});
    expect(answer).toMatchObject({
      retryAfterSeconds: 42,
      requestId: 'r-1',
      response: { challenge: { challengeId: 'c' } },
    });
    fake.on('GetAccount', () => ({ response: {}, trailing: { 'retry-after': 'soon' } }));
    expect((await client.auth.getAccount.full({})).retryAfterSeconds).toBeUndefined();
  });
});

describe('metadata', () => {
  it('sends each option under its key of the contract', async () => {
    fake.on('GetAccount', () => ({ response: {} }));
    await client.auth.getAccount(
      {},
      {
        accessToken: 'ey.token',
        clientAddress: '2001:db8::1',
        clientUserAgent: 'Mozilla/5.0 (Điện thoại)',
        requestId: 'req-1',
        acceptLanguage: 'vi, en;q=0.5',
      },
    );
    expect(fake.seen[0]?.metadata).toMatchObject({
      authorization: 'Bearer ey.token',
      'countersign-caller-key': 'key-of-web-bff',
      'countersign-client-address': '2001:db8::1',
      'countersign-client-user-agent': 'Mozilla/5.0 (?i?n tho?i)',
      'countersign-request-id': 'req-1',
      'accept-language': 'vi, en;q=0.5',
    });
    expect(fake.seen[0]?.metadata['user-agent']).toMatch(/^web-bff\/1 grpc-node-js/);
  });

  it('sends nothing for what is absent or empty', async () => {
    fake.on('GetAccount', () => ({ response: {} }));
    await client.auth.getAccount({}, { accessToken: '', clientAddress: undefined });
    const keys = Object.keys(fake.seen[0]?.metadata ?? {});
    expect(keys.filter((key) => /^(authorization|countersign-|accept-language)/.test(key))).toEqual(
      ['countersign-caller-key'],
    );
  });

  it('refuses a token that no header can carry instead of calling as a stranger', async () => {
    const error = await failureOf(
      client.auth.confirmEmail({ code: '1' }, { accessToken: 'ey\r\nx: y' }),
    );
    expect([error.code, error.reason]).toEqual([status.UNAUTHENTICATED, 'ACCESS_TOKEN_INVALID']);
    expect(fake.seen).toEqual([]);
  });

  it('refuses a client address that no header can carry, naming the key (rule 21)', async () => {
    const error = await failureOf(client.auth.getAccount({}, { clientAddress: '1.2.3.4\n' }));
    expect(error.reason).toBe('FIELD_INVALID');
    expect(error.violations).toEqual([
      { field: 'countersign-client-address', description: 'must be printable ASCII' },
    ]);
  });
});

describe('deadlines and cancellation', () => {
  it("gives every call a deadline: five seconds, the client's own, or the call's own", async () => {
    fake.on('GetAccount', () => ({ response: {} }));
    await client.auth.getAccount({});
    await client.auth.getAccount({}, { deadlineMs: 60_000 });
    const other = createCountersignClient({ address: fake.address, deadlineMs: 20_000 });
    await other.auth.getAccount({});
    other.close();
    const [first = 0, second = 0, third = 0] = fake.seen.map((call) => call.deadlineMs);
    expect(first).toBeGreaterThan(2_000);
    expect(first).toBeLessThanOrEqual(5_000);
    expect(second).toBeGreaterThan(50_000);
    expect(third).toBeGreaterThan(15_000);
    expect(third).toBeLessThanOrEqual(20_000);
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses the deadline %s',
    async (deadlineMs) => {
      expect(() => createCountersignClient({ address: fake.address, deadlineMs })).toThrow(
        RangeError,
      );
      await failureOf(client.auth.getAccount({}, { deadlineMs }));
      expect(fake.seen).toEqual([]);
    },
  );

  it('ends with DEADLINE_EXCEEDED when no answer comes', async () => {
    fake.on('GetAccount', ({ cancelled }) => cancelled.then(() => ({ response: {} })));
    const error = await failureOf(client.auth.getAccount({}, { deadlineMs: 50 }));
    expect([error.codeName, error.reason]).toEqual(['DEADLINE_EXCEEDED', 'UNKNOWN']);
  });

  it('cancels the call at the server too when the signal aborts', async () => {
    const stop = new AbortController();
    fake.on('GetAccount', ({ cancelled }) => {
      stop.abort();
      return cancelled.then(() => ({ response: {} }));
    });
    const error = await failureOf(client.auth.getAccount({}, { signal: stop.signal }));
    expect(error.code).toBe(status.CANCELLED);
    await fake.seen[0]?.cancelled;
  });

  it('does not call at all where the signal has aborted before', async () => {
    const error = await failureOf(client.auth.getAccount({}, { signal: AbortSignal.abort() }));
    expect(error.code).toBe(status.CANCELLED);
    expect(fake.seen).toEqual([]);
  });

  it('rejects after close, and where nobody listens', async () => {
    client.close();
    await failureOf(client.auth.getAccount({}));
    await fake[Symbol.asyncDispose]();
    const alone = createCountersignClient({ address: fake.address });
    expect((await failureOf(alone.auth.getAccount({}))).codeName).toBe('UNAVAILABLE');
    alone.close();
  });
});
