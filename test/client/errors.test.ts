import { readFileSync } from 'node:fs';
import { Metadata, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import { toCountersignError } from '../../src/client/countersign-error.js';
import {
  type CountersignClient,
  CountersignError,
  createCountersignClient,
  HTTP_STATUS_BY_CODE,
  httpHeadersOf,
  httpStatusOf,
  isReason,
  KeysUnavailableError,
  REASONS,
  RoleRequiredError,
  TokenInvalidError,
} from '../../src/client/index.js';
import {
  type FakeAuthService,
  fail,
  type Reply,
  rpcStatus,
  startFakeAuthService,
} from './fake-auth-service.js';

let fake: FakeAuthService;
let client: CountersignClient;

beforeAll(async () => {
  fake = await startFakeAuthService();
  client = createCountersignClient({ address: fake.address });
});

afterAll(async () => {
  client.close();
  await fake[Symbol.asyncDispose]();
});

async function failWith(reply: Reply): Promise<CountersignError> {
  fake.on('SignIn', () => reply);
  const error: unknown = await client.auth
    .signIn({ identifier: 'an', password: 'p' })
    .catch((reason) => reason);
  expect(error).toBeInstanceOf(CountersignError);
  return error as CountersignError;
}

describe('CountersignError', () => {
  it('carries reason, metadata, wait, violations and request id', async () => {
    const violations = [
      { field: 'username', description: 'too short' },
      { field: 'email', description: 'no @' },
    ];
    const error = await failWith(
      fail(
        status.RESOURCE_EXHAUSTED,
        {
          reason: 'SIGN_IN_LOCKED',
          metadata: { k: 'v' },
          retry: { seconds: 29n, nanos: 1 },
          violations,
        },
        { 'countersign-request-id': 'req-9' },
      ),
    );
    expect(error).toMatchObject({
      name: 'CountersignError',
      code: status.RESOURCE_EXHAUSTED,
      codeName: 'RESOURCE_EXHAUSTED',
      rpc: 'SignIn',
      reason: 'SIGN_IN_LOCKED',
      metadata: { k: 'v' },
      retryAfter: 30,
      violations,
      requestId: 'req-9',
      message: 'SignIn: RESOURCE_EXHAUSTED SIGN_IN_LOCKED: for developers',
    });
    expect(error.stack).toContain('failWith');
  });

  it('takes the wait from retry-after where no RetryInfo stands', async () => {
    const reply = fail(
      status.RESOURCE_EXHAUSTED,
      { reason: 'RATE_LIMITED' },
      { 'retry-after': '7' },
    );
    expect((await failWith(reply)).retryAfter).toBe(7);
  });

  it.each([
    ['a reason younger than the client', { reason: 'MERCHANT_ASLEEP' }],
    ['a reason of another domain', { reason: 'CODE_INVALID', domain: 'googleapis.com' }],
    ["the enum's zero", { reason: 'UNSPECIFIED' }],
    ['a number of the enum', { reason: '9' }],
    ['a name of Object.prototype', { reason: 'constructor' }],
    ['no reason', {}],
  ])('says UNKNOWN for %s', async (_, details) => {
    const error = await failWith(fail(status.FAILED_PRECONDITION, details));
    expect([error.reason, error.code]).toEqual(['UNKNOWN', status.FAILED_PRECONDITION]);
  });

  it('survives garbage details over the wire', async () => {
    const whole = rpcStatus({ reason: 'CODE_INVALID', metadata: { attempts_left: '3' } });
    const broken = [
      Buffer.from('garbage'),
      Buffer.alloc(0),
      whole.subarray(0, whole.length - 3),
      Buffer.alloc(64, 0xff),
    ];
    for (const details of broken) {
      const error = await failWith({
        failure: { code: status.INVALID_ARGUMENT, text: 't', details },
      });
      expect(error.code).toBe(status.INVALID_ARGUMENT);
      expect(error.violations).toEqual([]);
    }
  });

  it('reads the details that can be read beside one that cannot', async () => {
    const good = rpcStatus({ reason: 'CODE_INVALID' });
    // Field 3 (details): an Any of a type we know whose value is no message.
    const type = Buffer.from('type.googleapis.com/google.rpc.RetryInfo');
    const any = Buffer.concat([
      Buffer.from([0x0a, type.length]),
      type,
      Buffer.from([0x12, 0x02, 0xff, 0xff]),
    ]);
    const details = Buffer.concat([good, Buffer.from([0x1a, any.length]), any]);
    const error = await failWith({
      failure: { code: status.INVALID_ARGUMENT, text: 't', details },
    });
    expect([error.reason, error.retryAfter]).toEqual(['CODE_INVALID', undefined]);
  });

  it('never throws on any bytes', () => {
    const whole = rpcStatus({
      reason: 'CODE_INVALID',
      retry: { seconds: 5n, nanos: 0 },
      violations: [{ field: 'f', description: 'd' }],
    });
    const mutated = fc
      .tuple(fc.nat(whole.length - 1), fc.nat(255))
      .map(([at, byte]) =>
        Buffer.concat([whole.subarray(0, at), Buffer.from([byte]), whole.subarray(at + 1)]),
      );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
      mutated,
    );
    fc.assert(
      fc.property(bytes, fc.string(), (details, retryAfter) => {
        const metadata = new Metadata();
        metadata.set('grpc-status-details-bin', details);
        if (/^[\x20-\x7e]*$/.test(retryAfter)) metadata.set('retry-after', retryAfter);
        const raw = Object.assign(new Error('x'), { code: 3, details: 'x', metadata });
        const error = toCountersignError('SignIn', raw);
        expect(error.retryAfter ?? 0).toBeGreaterThanOrEqual(0);
        expect(['UNKNOWN', ...REASONS]).toContain(error.reason);
      }),
      { numRuns: 2_000 },
    );
  });

  it('wraps what is no gRPC failure', () => {
    expect(toCountersignError('SignIn', 'boom')).toMatchObject({
      code: status.UNKNOWN,
      cause: 'boom',
    });
    expect(toCountersignError('SignIn', Object.assign(new Error(), { code: 3 })).code).toBe(
      status.UNKNOWN,
    );
  });
});

describe('isReason', () => {
  it('narrows to the reasons asked for', async () => {
    const error: unknown = await failWith(
      fail(status.INVALID_ARGUMENT, { reason: 'CODE_INVALID' }),
    );
    expect(isReason(error, 'CODE_INVALID')).toBe(true);
    expect(isReason(error, 'CODE_EXPIRED', 'CODE_INVALID')).toBe(true);
    expect(isReason(error, 'CODE_EXPIRED')).toBe(false);
    expect(isReason(new Error('x'), 'CODE_INVALID')).toBe(false);
    if (isReason(error, 'CODE_INVALID', 'CODE_EXPIRED')) {
      expectTypeOf(error.reason).toEqualTypeOf<'CODE_INVALID' | 'CODE_EXPIRED'>();
    }
  });

  it('knows every reason of the proto and no other', () => {
    const proto = readFileSync(
      new URL('../../proto/countersign/v1/error_reason.proto', import.meta.url),
      'utf8',
    );
    const names = [...proto.matchAll(/^\s+ERROR_REASON_(\w+) = [1-9]\d*;/gm)].map(
      ([, name]) => name,
    );
    expect(names.length).toBeGreaterThan(25);
    expect([...REASONS].sort()).toEqual(names.sort());
  });
});

describe('HTTP', () => {
  it('maps every status code as google/rpc/code.proto does', () => {
    const names = Object.keys(status).filter((name) => /^[A-Z]/.test(name));
    expect(Object.keys(HTTP_STATUS_BY_CODE).sort()).toEqual(names.sort());
    const seen = Object.fromEntries(
      Object.values(status)
        .filter((code) => typeof code === 'number')
        .map((code) => [status[code], httpStatusOf(new CountersignError(code, 'SignIn', ''))]),
    );
    expect(seen).toEqual({
      OK: 200,
      CANCELLED: 499,
      UNKNOWN: 500,
      INVALID_ARGUMENT: 400,
      DEADLINE_EXCEEDED: 504,
      NOT_FOUND: 404,
      ALREADY_EXISTS: 409,
      PERMISSION_DENIED: 403,
      RESOURCE_EXHAUSTED: 429,
      FAILED_PRECONDITION: 400,
      ABORTED: 409,
      OUT_OF_RANGE: 400,
      UNIMPLEMENTED: 501,
      INTERNAL: 500,
      UNAVAILABLE: 503,
      DATA_LOSS: 500,
      UNAUTHENTICATED: 401,
    });
  });

  it("never tells a browser 401 or 403 for the calling service's own credential", () => {
    const unknown = new CountersignError(status.UNAUTHENTICATED, 'SignIn', '', {
      reason: 'CALLER_UNKNOWN',
    });
    const forbidden = new CountersignError(status.PERMISSION_DENIED, 'SignIn', '', {
      reason: 'CALLER_NOT_ALLOWED',
    });
    expect([httpStatusOf(unknown), httpStatusOf(forbidden)]).toEqual([500, 500]);
    expect(httpHeadersOf(unknown)).toEqual({});
  });

  it("maps the verifier's errors and strangers", () => {
    expect(httpStatusOf(new TokenInvalidError('EXPIRED'))).toBe(401);
    expect(httpStatusOf(new RoleRequiredError('owner'))).toBe(403);
    expect(httpStatusOf(new KeysUnavailableError())).toBe(503);
    expect(httpStatusOf(new TypeError('x'))).toBe(500);
    expect(httpStatusOf(undefined)).toBe(500);
    expect(httpStatusOf(new CountersignError(99 as status, 'SignIn', ''))).toBe(500);
  });

  it('sets retry-after and www-authenticate where they belong', () => {
    const wait = new CountersignError(status.RESOURCE_EXHAUSTED, 'SignIn', '', {
      reason: 'RATE_LIMITED',
      retryAfter: 12,
    });
    expect(httpHeadersOf(wait)).toEqual({ 'retry-after': '12' });
    const token = new CountersignError(status.UNAUTHENTICATED, 'GetAccount', '', {
      reason: 'ACCESS_TOKEN_INVALID',
    });
    const challenge = { 'www-authenticate': 'Bearer error="invalid_token"' };
    expect(httpHeadersOf(token)).toEqual(challenge);
    expect(httpHeadersOf(new TokenInvalidError('EXPIRED'))).toEqual(challenge);
    expect(httpHeadersOf(new Error('x'))).toEqual({});
  });
});
