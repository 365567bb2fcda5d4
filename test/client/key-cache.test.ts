import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  createCountersignClient,
  createTokenVerifier,
  httpStatusOf,
  KeysUnavailableError,
  TokenInvalidError,
  type TokenVerifier,
} from '../../src/client/index.js';
import { startFakeAuthService } from './fake-auth-service.js';
import {
  AUDIENCE,
  ISSUER,
  type KeyServer,
  makeSigner,
  NOW_SECONDS,
  type Signer,
  startKeyServer,
} from './token-lab.js';

let signer: Signer;
let keys: KeyServer;
let verifier: TokenVerifier;
let seconds: number;

const now = () => new Date((NOW_SECONDS + seconds) * 1_000);
const longLived = { exp: NOW_SECONDS + 1e6 };

beforeEach(async () => {
  seconds = 0;
  signer = await makeSigner();
  keys = await startKeyServer(signer.jwk);
  verifier = createTokenVerifier({ jwksUrl: keys.url, issuer: ISSUER, audience: AUDIENCE, now });
});

afterEach(async () => {
  await keys[Symbol.asyncDispose]();
});

async function outcome(token: string): Promise<string> {
  return verifier.verify(token).then(
    () => 'good',
    (error: unknown) => {
      if (error instanceof TokenInvalidError) return error.reason;
      return error instanceof KeysUnavailableError ? 'UNAVAILABLE' : String(error);
    },
  );
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}

function defer(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let settle = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: () => settle() };
}

describe('fetching keys', () => {
  it('asks once for many tokens at once, and not again while the set is fresh', async () => {
    const token = await signer.token(longLived);
    const first = await Promise.all(Array.from({ length: 50 }, () => outcome(token)));
    expect(new Set(first)).toEqual(new Set(['good']));
    seconds = 599;
    expect(await outcome(token)).toBe('good');
    expect(keys.requests).toHaveLength(1);
    seconds = 600;
    await Promise.all(Array.from({ length: 50 }, () => outcome(token)));
    expect(keys.requests).toHaveLength(2);
  });

  it('refetches at most once per interval for unknown kids, however many there are', async () => {
    await verifier.warmUp();
    const forged = await Promise.all(
      Array.from({ length: 20 }, async () => (await makeSigner()).token(longLived)),
    );
    expect(new Set(await Promise.all(forged.map(outcome)))).toEqual(new Set(['KEY_UNKNOWN']));
    // The interval counts from the last fetch, the first one included.
    expect(keys.requests).toHaveLength(1);
    for (const [at, fetches] of [
      [29, 1],
      [30, 2],
      [31, 2],
      [59, 2],
      [60, 3],
    ] as const) {
      seconds = at;
      expect(new Set(await Promise.all(forged.map(outcome)))).toEqual(new Set(['KEY_UNKNOWN']));
      expect([at, keys.requests.length]).toEqual([at, fetches]);
    }
  });

  it('lets known kids pass while a fetch for an unknown one hangs', async () => {
    await verifier.warmUp();
    seconds = 30;
    const arrived = new Promise<() => void>((resolve) => {
      keys.answer((_, response) =>
        resolve(() => response.end(JSON.stringify({ keys: [signer.jwk] }))),
      );
    });
    const forged = outcome(await (await makeSigner()).token(longLived));
    const release = await arrived;
    expect(await outcome(await signer.token(longLived))).toBe('good');
    release();
    expect(await forged).toBe('KEY_UNKNOWN');
  });

  it('follows a rotation (rule 19): the new key comes with a fetch, the old one goes with one', async () => {
    const old = await signer.token(longLived);
    expect(await outcome(old)).toBe('good');
    const next = await makeSigner();
    keys.serve(signer.jwk, next.jwk);
    const fresh = await next.token(longLived);
    expect(await outcome(fresh)).toBe('KEY_UNKNOWN');
    seconds = 30;
    expect(await outcome(fresh)).toBe('good');
    expect(await outcome(old)).toBe('good');
    keys.serve(next.jwk);
    seconds = 30 + 600;
    expect(await outcome(old)).toBe('KEY_UNKNOWN');
    expect(await outcome(fresh)).toBe('good');
  });

  it('is not stopped by a clock that was set back', async () => {
    seconds = 10_000;
    await verifier.warmUp();
    seconds = 0;
    expect(await outcome(await signer.token(longLived))).toBe('good');
    expect(keys.requests).toHaveLength(2);
  });
});

describe('without the key server', () => {
  it('goes on offline with the keys it holds, up to the bound (A6)', async () => {
    const token = await signer.token(longLived);
    expect(await outcome(token)).toBe('good');
    await keys.stop();
    for (const at of [1, 599, 600, 3_600, 86_399]) {
      seconds = at;
      expect([at, await outcome(token)]).toEqual([at, 'good']);
    }
    seconds = 86_400;
    expect(await outcome(token)).toBe('UNAVAILABLE');
  });

  it('gives no verdict on a key it cannot ask for: it may be a new one', async () => {
    await verifier.warmUp();
    await keys.stop();
    const unseen = await (await makeSigner()).token(longLived);
    expect(await outcome(unseen)).toBe('KEY_UNKNOWN');
    seconds = 30;
    expect(await outcome(unseen)).toBe('UNAVAILABLE');
    expect(await outcome(await signer.token(longLived))).toBe('good');
  });

  it('tries again within a second or two when it never had a key, and no more often', async () => {
    keys.answer((_, response) => void response.writeHead(503).end());
    const token = await signer.token(longLived);
    expect(await outcome(token)).toBe('UNAVAILABLE');
    expect(await outcome(token)).toBe('UNAVAILABLE');
    expect(keys.requests).toHaveLength(1);
    keys.serve(signer.jwk);
    seconds = 1;
    expect(await outcome(token)).toBe('good');
    expect(keys.requests).toHaveLength(2);
  });

  it('keeps the good keys when the answer turns to garbage', async () => {
    await verifier.warmUp();
    keys.answer((_, response) => void response.end('{"keys":[]}'));
    seconds = 700;
    expect(await outcome(await signer.token(longLived))).toBe('good');
    expect(keys.requests).toHaveLength(2);
  });

  it('says so at warm-up, with 503 for a BFF', async () => {
    await keys.stop();
    const error: unknown = await verifier.warmUp().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(KeysUnavailableError);
    expect(httpStatusOf(error)).toBe(503);
  });

  it.each([
    ['never comes', undefined, false],
    ['never ends', '{"keys":[', false],
    ['drips for ever', '{"keys":[', true],
  ])('gives up after five seconds on an answer that %s, and hangs up', async (_, begin, drips) => {
    const hungUp = defer();
    const begun = defer();
    keys.answer((request, response) => {
      if (begin !== undefined) response.write(begin);
      const drip = drips ? setInterval(() => response.write(' '), 5) : undefined;
      request.socket.on('close', () => {
        clearInterval(drip);
        hungUp.resolve();
      });
      begun.resolve();
    });
    const token = await signer.token(longLived);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const judged = outcome(token);
    await begun.promise;
    // A collected `Response` takes the link from a signal to its body with it, so that no signal ever
    // ends the wait.
    for (let round = 0; round < 30; round += 1) {
      await new Promise((next) => setImmediate(next));
      collectGarbage();
    }
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await judged).toBe('UNAVAILABLE');
    await hungUp.promise;
  });

  it('fetches with what it is given', async () => {
    const asked: string[] = [];
    const fetch: typeof globalThis.fetch = async (input) => {
      asked.push(String(input));
      return new Response(JSON.stringify({ keys: [signer.jwk] }));
    };
    verifier = createTokenVerifier({
      jwksUrl: 'https://id.example.com/keys',
      issuer: ISSUER,
      audience: AUDIENCE,
      now,
      fetch,
    });
    expect(await outcome(await signer.token(longLived))).toBe('good');
    expect(asked).toEqual(['https://id.example.com/keys']);
  });
});

describe('keys over gRPC', () => {
  it('come from GetJsonWebKeySet, once', async () => {
    const fake = await startFakeAuthService();
    fake.on('GetJsonWebKeySet', () => ({
      response: { jwksJson: JSON.stringify({ keys: [signer.jwk] }) },
    }));
    const client = createCountersignClient({ address: fake.address });
    verifier = createTokenVerifier({ client, issuer: ISSUER, audience: AUDIENCE, now });
    const token = await signer.token(longLived);
    expect(await Promise.all([outcome(token), outcome(token)])).toEqual(['good', 'good']);
    await fake[Symbol.asyncDispose]();
    expect(await outcome(token)).toBe('good');
    expect(fake.seen).toHaveLength(1);
    seconds = 30;
    expect(await outcome(await (await makeSigner()).token(longLived))).toBe('UNAVAILABLE');
    client.close();
  });
});
