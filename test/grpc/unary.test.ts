import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { DomainError, fieldInvalid } from '../../src/core/errors.js';
import { authRpc, type RpcCall } from '../../src/grpc/index.js';
import { compoundKey } from '../../src/throttling/index.js';
import { call, detailsOf, goodKey, goodToken, inertRpcs, openToyEdge, person } from './toy-edge.js';

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

describe('ids', () => {
  it("returns the caller's request id, and hands it to the use-case and the audit", async () => {
    const used: string[] = [];
    const { client, seen } = await openToyEdge({
      signIn: signIn(async (_, { requestId }) => void used.push(requestId)),
    });
    const given = { 'countersign-request-id': 'Order-7.retry_2' };
    const { status: trailers } = await call(client, client.signIn, signInRequest, {
      metadata: given,
    });
    expect(trailers.metadata.get('countersign-request-id')).toEqual(['Order-7.retry_2']);
    expect(used).toEqual(['Order-7.retry_2']);
    expect(seen.audit).toMatchObject([{ requestId: 'Order-7.retry_2', outcome: 'OK' }]);
  });

  it.each(['', 'x'.repeat(65), 'a b', 'a/b', '<script>'])(
    'makes up a request id instead of refusing %j',
    async (given) => {
      const { client } = await openToyEdge();
      const { error, status: trailers } = await call(client, client.signIn, signInRequest, {
        metadata: { 'countersign-request-id': given },
      });
      expect(error).toBeNull();
      const [id] = trailers.metadata.get('countersign-request-id');
      expect(id).toMatch(/^[0-9a-f-]{36}$/);
    },
  );
});

describe('callers', () => {
  it('serves calls without a key where anonymous callers are allowed, as caller ""', async () => {
    const { client, seen } = await openToyEdge();
    expect((await call(client, client.signIn, signInRequest)).error).toBeNull();
    expect(seen.audit[0]?.caller).toBe('');
  });

  it.each([
    ['no key', {}],
    ['a key that nobody has', { 'countersign-caller-key': 'ck_bad' }],
  ])('refuses %s with CALLER_UNKNOWN, charging nothing (A7)', async (_, given) => {
    const { client, seen } = await openToyEdge({}, { allowAnonymousCallers: false });
    const outcome = await call(client, client.signIn, signInRequest, { metadata: given });
    expect(outcome.error?.code).toBe(status.UNAUTHENTICATED);
    expect(detailsOf(outcome).info).toMatchObject({
      reason: 'CALLER_UNKNOWN',
      domain: 'countersign.v1',
    });
    expect(seen.admitted).toEqual([]);
    expect(seen.audit).toMatchObject([{ outcome: 'CALLER_UNKNOWN', source: '127.0.0.1' }]);
  });

  it('refuses a wrong key even where anonymous callers are allowed', async () => {
    const { client } = await openToyEdge();
    const outcome = await call(client, client.signIn, signInRequest, {
      metadata: { 'countersign-caller-key': 'ck_bad' },
    });
    expect(detailsOf(outcome).info?.reason).toBe('CALLER_UNKNOWN');
  });

  it('refuses a group that was not granted with CALLER_NOT_ALLOWED (A7)', async () => {
    const { client } = await openToyEdge();
    const given = { metadata: { 'countersign-caller-key': 'ck_narrow' } };
    const outcome = await call(client, client.signIn, signInRequest, given);
    expect(outcome.error?.code).toBe(status.PERMISSION_DENIED);
    expect(detailsOf(outcome).info).toMatchObject({
      reason: 'CALLER_NOT_ALLOWED',
      metadata: { group: 'sign-in' },
    });
    expect((await call(client, client.getJsonWebKeySet, {}, given)).error).toBeNull();
  });
});

describe('the source address (rule 21)', () => {
  const sourceFor = async (given: Readonly<Record<string, string>>) => {
    const { client, seen } = await openToyEdge();
    const outcome = await call(client, client.signIn, signInRequest, { metadata: given });
    return { outcome, source: seen.audit[0]?.source, charges: seen.admitted };
  };

  it('is believed from a caller that showed its key', async () => {
    const { source, charges } = await sourceFor({
      'countersign-caller-key': goodKey,
      'countersign-client-address': '2001:DB8::1',
    });
    expect(source).toBe('2001:db8::1');
    expect(charges).toEqual([
      [
        { limiter: 'callsPerSource', key: compoundKey(METHOD, '2001:db8::/64') },
        { limiter: 'callsPerCaller', key: compoundKey(METHOD, 'web-bff') },
      ],
    ]);
  });

  it('is the peer where a caller says nothing', async () => {
    expect((await sourceFor({ 'countersign-caller-key': goodKey })).source).toBe('127.0.0.1');
  });

  it('is the peer for an anonymous caller, whatever it claims', async () => {
    const { outcome, source } = await sourceFor({ 'countersign-client-address': '203.0.113.9' });
    expect(outcome.error).toBeNull();
    expect(source).toBe('127.0.0.1');
  });

  it.each([
    ['a refused caller', 'ck_bad', '203.0.113.9'],
    ['a caller that claims what is no address', goodKey, 'garbage'],
  ])('is the peer in the record of %s', async (_who, key, address) => {
    const { outcome, source } = await sourceFor({
      'countersign-caller-key': key,
      'countersign-client-address': address,
    });
    expect(outcome.error).not.toBeNull();
    expect(source).toBe('127.0.0.1');
  });

  it.each(['garbage', '1.2.3.4:80', '1.2.3.4, 5.6.7.8', 'fe80::1%eth0', '999.1.1.1', ''])(
    'is refused as FIELD_INVALID when it is %j',
    async (address) => {
      const { outcome, charges } = await sourceFor({
        'countersign-caller-key': goodKey,
        'countersign-client-address': address,
      });
      const details = detailsOf(outcome);
      expect(details.info?.reason).toBe('FIELD_INVALID');
      expect(details.badRequest?.fieldViolations[0]?.field).toBe('countersign-client-address');
      expect(charges).toEqual([]);
    },
  );
});

describe('the user agent', () => {
  const userAgentFor = async (given: Readonly<Record<string, string>>) => {
    const seen: (string | undefined)[] = [];
    const note = signIn(async (_, { userAgent }) => void seen.push(userAgent));
    const { client } = await openToyEdge({ signIn: note });
    const { error } = await call(client, client.signIn, signInRequest, { metadata: given });
    expect(error).toBeNull();
    return seen;
  };
  const claim = { 'countersign-client-user-agent': 'Mozilla/5.0 (X11; Linux x86_64)' };

  it('is what a caller that showed its key says of the person', async () => {
    const given = { ...claim, 'countersign-caller-key': goodKey };
    expect(await userAgentFor(given)).toEqual(['Mozilla/5.0 (X11; Linux x86_64)']);
  });

  it('is unknown where the caller says nothing: its own is nobody’s', async () => {
    expect(await userAgentFor({ 'countersign-caller-key': goodKey })).toEqual([undefined]);
  });

  it('is unknown of an anonymous caller, whatever it claims', async () => {
    expect(await userAgentFor(claim)).toEqual([undefined]);
  });

  it('is cut, not refused, however long it is', async () => {
    const given = { 'countersign-caller-key': goodKey };
    const long = { ...given, 'countersign-client-user-agent': 'x'.repeat(5_000) };
    expect(await userAgentFor(long)).toEqual(['x'.repeat(256)]);
  });
});

describe('the person', () => {
  const confirm = { challengeId: undefined, code: '123456' };
  const bearer = (token: string) => ({ metadata: { authorization: `Bearer ${token}` } });

  it('is required: absent, malformed and invalid tokens are ACCESS_TOKEN_INVALID (A7)', async () => {
    const { client } = await openToyEdge();
    const options = [{}, { metadata: { authorization: 'Basic eDp5' } }, bearer('bad.token')];
    for (const option of options) {
      const outcome = await call(client, client.getAccount, {}, option);
      expect(outcome.error?.code).toBe(status.UNAUTHENTICATED);
      expect(detailsOf(outcome).info?.reason).toBe('ACCESS_TOKEN_INVALID');
    }
  });

  it('reaches the use-case, and the audit names the account (T6)', async () => {
    const people: unknown[] = [];
    const getAccount = authRpc('getAccount', {
      parse: () => undefined,
      run: async (_, { person: shown }) => void people.push(shown),
      toResponse: () => ({ account: undefined }),
    });
    const { client, seen } = await openToyEdge({ getAccount });
    expect((await call(client, client.getAccount, {}, bearer(goodToken))).error).toBeNull();
    expect(people).toEqual([person]);
    expect(seen.audit[0]?.accountId).toBe('account-1');
  });

  it('is optional: none is fine, an invalid token is not', async () => {
    const { client } = await openToyEdge();
    expect((await call(client, client.confirmEmail, confirm)).error).toBeNull();
    const outcome = await call(client, client.confirmEmail, confirm, bearer('bad.token'));
    expect(detailsOf(outcome).info?.reason).toBe('ACCESS_TOKEN_INVALID');
  });

  it('is not looked at where the RPC is for anybody', async () => {
    const { client } = await openToyEdge();
    expect(
      (await call(client, client.signIn, signInRequest, bearer('bad.token'))).error,
    ).toBeNull();
  });

  it('can be named for the audit by the use-case, on failure too', async () => {
    const { client, seen } = await openToyEdge({
      signIn: signIn(async (_, { attribute }) => {
        attribute('account-9');
        throw new DomainError('CREDENTIALS_INVALID', 'no');
      }),
    });
    await call(client, client.signIn, signInRequest);
    expect(seen.audit).toMatchObject([{ accountId: 'account-9', outcome: 'CREDENTIALS_INVALID' }]);
  });
});

describe('limits', () => {
  it("merges the RPC's own charges with the edge's in one round trip", async () => {
    const rpc = authRpc('signIn', {
      ...signIn(async () => undefined),
      charges: (identifier) => [{ limiter: 'signInsPerSource', key: identifier }],
    });
    const { client, seen } = await openToyEdge({ signIn: rpc });
    await call(client, client.signIn, signInRequest, {
      metadata: { 'countersign-caller-key': goodKey, 'countersign-client-address': '203.0.113.9' },
    });
    expect(seen.admitted.map((charges) => charges.map(({ limiter }) => limiter))).toEqual([
      ['callsPerSource', 'callsPerCaller', 'signInsPerSource'],
    ]);
  });

  it('charges nothing for what cannot be parsed (P2)', async () => {
    const rpc = authRpc('signIn', {
      ...signIn(async () => undefined),
      parse: () => {
        throw fieldInvalid('identifier', 'must not be empty');
      },
    });
    const { client, seen } = await openToyEdge({ signIn: rpc });
    const outcome = await call(client, client.signIn, signInRequest);
    expect(detailsOf(outcome).badRequest?.fieldViolations).toEqual([
      { field: 'identifier', description: 'must not be empty' },
    ]);
    expect(seen.admitted).toEqual([]);
  });

  it('asks for a place before anything is charged, and gives it back however the call ends (rule 15)', async () => {
    const places = { asked: 0, held: 0 };
    const rpc = authRpc('signIn', {
      ...signIn(async () => {
        expect(places.held).toBe(1);
        if (places.asked === 2) throw new Error('broken');
      }),
      admit: () => {
        places.asked += 1;
        if (places.asked === 3)
          throw new DomainError('OVERLOADED', 'full', { retryAfterSeconds: 2 });
        places.held += 1;
        return {
          [Symbol.dispose]: () => {
            places.held -= 1;
          },
        };
      },
    });
    const { client, seen } = await openToyEdge({ signIn: rpc });
    const codes: (number | undefined)[] = [];
    for (let i = 0; i < 3; i += 1) {
      codes.push((await call(client, client.signIn, signInRequest)).error?.code);
      expect(places.held).toBe(0);
    }
    expect(codes).toEqual([undefined, status.INTERNAL, status.RESOURCE_EXHAUSTED]);
    expect(seen.admitted).toHaveLength(2);
  });

  it('says how long to wait, in RetryInfo and in retry-after, and runs nothing', async () => {
    let ran = false;
    const run = async (): Promise<void> => {
      ran = true;
    };
    const exhausted = ['callsPerSource'] as const;
    const admit = async () =>
      ({ admitted: false, retryAfterSeconds: 42, exhausted, holdsBack: false }) as const;
    const { client } = await openToyEdge({ signIn: signIn(run) }, { admit });
    const outcome = await call(client, client.signIn, signInRequest);
    expect(outcome.error?.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(detailsOf(outcome).retryInfo?.retryDelay?.seconds).toBe(42n);
    expect(outcome.status.metadata.get('retry-after')).toEqual(['42']);
    expect(ran).toBe(false);
  });

  it('counts in this process where the RPC has no round trip to spare', async () => {
    const { client, seen } = await openToyEdge();
    const request = { accessToken: 'x' };
    await call(client, client.introspectToken, request, {
      metadata: { 'countersign-caller-key': goodKey },
    });
    expect(seen.admitted).toEqual([]);
    expect(seen.admittedLocally.flat().map(({ limiter }) => limiter)).toEqual(['callsPerCaller']);
  });

  it('puts retry-after on a success that was held back (T4)', async () => {
    const held = signIn(async (_, current) => current.holdBack(0.2));
    const { client } = await openToyEdge({ signIn: held });
    const outcome = await call(client, client.signIn, signInRequest);
    expect(outcome.error).toBeNull();
    expect(outcome.status.metadata.get('retry-after')).toEqual(['1']);
  });
});

it('logs a line per call that says how it went, and nothing of what was in it (O5)', async () => {
  const { client, seen } = await openToyEdge();
  await call(client, client.signIn, signInRequest, {
    metadata: { 'countersign-caller-key': goodKey },
  });
  expect(seen.logged).toMatchObject([
    {
      level: 'info',
      fields: { method: METHOD, outcome: 'OK', caller: 'web-bff' },
      message: 'call',
    },
  ]);
  expect(JSON.stringify(seen)).not.toMatch(/secret|\bada\b|ck_good/);
});

it('negotiates the language of whoever has not chosen one', async () => {
  const locales: string[] = [];
  const note = signIn(async (_, { locale }) => void locales.push(locale));
  const { client } = await openToyEdge({ signIn: note });
  await call(client, client.signIn, signInRequest, {
    metadata: { 'accept-language': 'vi-VN,en;q=0.5' },
  });
  await call(client, client.signIn, signInRequest);
  expect(locales).toEqual(['vi', 'en']);
});

it('has a toy for every RPC', () => {
  expect(Object.keys(inertRpcs())).toHaveLength(28);
});
