import { sign } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { deriveKeyRing } from '../../src/core/keys.js';
import {
  type AccessTokens,
  createAccessTokens,
  MAX_VERIFIED_TOKENS,
  replaceSigningKeys,
} from '../../src/sessions/index.js';
import {
  generateSigningKey,
  openSigningKey,
  type SigningKey,
} from '../../src/sessions/signing-key.js';
import { eachDatabase } from '../support/databases.js';
import {
  ACCESS_SECONDS,
  AUDIENCE,
  ISSUER,
  movableClock,
  newTokenKeys,
  openHouse,
  raiseEpoch,
  signedIn,
} from './fixtures.js';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const ring = deriveKeyRing(newTokenKeys(), 'signing-key');
const refused = expect.objectContaining({ reason: 'ACCESS_TOKEN_INVALID' });

/** Counts what reads its public key: nothing but verifying a signature does. */
function watched(key: SigningKey) {
  let verified = 0;
  const { publicKey } = key;
  Object.defineProperty(key, 'publicKey', {
    get: () => {
      verified += 1;
      return publicKey;
    },
  });
  return {
    key,
    /** Since it was last asked. */
    verifications() {
      const count = verified;
      verified = 0;
      return count;
    },
  };
}

const newKey = async () =>
  watched(await openSigningKey(ring, await generateSigningKey(ring, systemRandom)));

const issue = (tokens: AccessTokens, accountId = systemRandom.id()): Promise<string> =>
  tokens.issue({
    accountId,
    sessionId: systemRandom.id(),
    caller: 'web-bff',
    authTime: new Date(1_700_000_000_000),
    amr: ['pwd'],
    scope: {},
    grants: [],
    platformRoles: [],
  });

/** One process with one key, whose time and ended sessions tests move by hand. */
async function open(watch: Awaited<ReturnType<typeof newKey>>) {
  const clock = movableClock();
  const inUse = new Map([[watch.key.kid, watch.key]]);
  const endedSessions = new Set<string>();
  const tokens = createAccessTokens({
    keys: { signer: async () => watch.key, find: (kid) => inUse.get(kid) },
    issuer: ISSUER,
    audience: AUDIENCE,
    ttlSeconds: ACCESS_SECONDS,
    clock,
    random: systemRandom,
    ended: { has: (sessionId) => endedSessions.has(sessionId) },
  });
  const good = await issue(tokens);
  const said = await tokens.verify(good);
  expect(watch.verifications()).toBe(1);
  return { ...watch, clock, inUse, endedSessions, tokens, good, said };
}

describe('a token that was shown before', () => {
  let house: Awaited<ReturnType<typeof open>>;
  beforeEach(async () => {
    house = await open(await newKey());
  });

  it('says the same, and its signature is not verified again', async () => {
    const { tokens, good, said, verifications } = house;
    expect(await tokens.verify(good)).toEqual(said);
    expect(verifications()).toBe(0);
    await issue(tokens).then(tokens.verify);
    expect(verifications()).toBe(1);
  });

  it('is refused when it has expired', async () => {
    const { tokens, good, clock } = house;
    clock.move(ACCESS_SECONDS - 1);
    await tokens.verify(good);
    clock.move(2);
    await expect(tokens.verify(good)).rejects.toEqual(refused);
  });

  it('is refused when its session has ended', async () => {
    const { tokens, good, said, endedSessions } = house;
    endedSessions.add(said.sessionId);
    await expect(tokens.verify(good)).rejects.toEqual(refused);
  });

  it('is refused when its key is gone, and when another has taken its name', async () => {
    const { tokens, good, key, inUse } = house;
    inUse.delete(key.kid);
    await expect(tokens.verify(good)).rejects.toEqual(refused);
    inUse.set(key.kid, (await newKey()).key);
    await expect(tokens.verify(good)).rejects.toEqual(refused);
    inUse.set(key.kid, key);
    await tokens.verify(good);
  });

  it('does not vouch for one that differs in a letter of any part', async () => {
    const { tokens, good } = house;
    const other = (letter: string): string => (letter === 'A' ? 'B' : 'A');
    const changed = [...good].flatMap((letter, at) => [
      good.slice(0, at) + other(letter) + good.slice(at + 1),
      good.slice(0, at) + good.slice(at + 1),
    ]);
    // Four bits of the last letter stand for nothing: a token has one spelling all the same.
    const spelled = [...LETTERS].map((letter) => good.slice(0, -1) + letter);
    const around = [`${good}A`, `${good}=`, ` ${good}`, good.toLowerCase(), `${good}\ud800`];
    for (const text of new Set([...changed, ...spelled, ...around])) {
      if (text !== good) await expect(tokens.verify(text)).rejects.toEqual(refused);
    }
  });

  it('does not vouch for parts of another that was shown', async () => {
    const { tokens, good } = house;
    const another = await issue(tokens);
    await tokens.verify(another);
    const [[h, p, s], [, q, t]] = [good.split('.'), another.split('.')];
    for (const text of [`${h}.${p}.${t}`, `${h}.${q}.${s}`]) {
      await expect(tokens.verify(text)).rejects.toEqual(refused);
    }
  });

  it('is nothing that whoever was told of it can change', async () => {
    const { tokens, good, said } = house;
    const before = structuredClone(said);
    for (const list of [said.amr, said.roles, said.platformRoles]) {
      expect(() => (list as string[]).push('owner')).toThrow(TypeError);
    }
    (said.grants as object[]).push({ role: 'owner' });
    said.expiresAt.setTime(9e12);
    Object.assign(said, { accountId: systemRandom.id() });
    expect(await tokens.verify(good)).toEqual(before);
  });
});

describe('what is remembered of tokens', () => {
  let house: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    house = await open(await newKey());
  });
  const flood = async (text: (i: number) => string | Promise<string>): Promise<void> => {
    const { tokens, good, verifications } = house;
    await tokens.verify(good);
    for (let i = 0; i < MAX_VERIFIED_TOKENS; i += 1) {
      await expect(tokens.verify(await text(i))).rejects.toEqual(refused);
    }
    verifications();
    await tokens.verify(good);
    expect(verifications()).toBe(0);
  };

  it.each<[string, () => (i: number) => string | Promise<string>]>([
    ['garbage', () => (i) => `garbage.${i}`],
    [
      'forged signatures',
      () => {
        const [header, payload] = house.good.split('.');
        return (i) => `${header}.${payload}.${String(i).padStart(85, 'A')}A`;
      },
    ],
    [
      'headers of their own',
      () => {
        const [, payload, signature] = house.good.split('.');
        const header = (kid: string) =>
          Buffer.from(JSON.stringify({ alg: 'EdDSA', typ: 'at+jwt', kid })).toString('base64url');
        return (i) => `${header(`k${i}`)}.${payload}.${signature}`;
      },
    ],
    [
      'tokens that have expired',
      () => {
        const [header = '', payload = ''] = house.good.split('.');
        const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
        return (i) => {
          const expired = Buffer.from(JSON.stringify({ ...claims, jti: `${i}`, exp: 1 }));
          const body = `${header}.${expired.toString('base64url')}`;
          const signature = sign(null, Buffer.from(body), house.key.privateKey);
          return `${body}.${signature.toString('base64url')}`;
        };
      },
    ],
  ])('has no room for %s', async (_name, texts) => {
    await flood(texts());
  });

  it('has a bound: the oldest go; the latest half stays, and what is shown again and again', async () => {
    const { tokens, good, verifications } = await open(await newKey());
    const shown: string[] = [];
    for (let i = 0; i <= MAX_VERIFIED_TOKENS; i += 1) {
      const token = await issue(tokens);
      shown.push(token);
      await tokens.verify(token);
      if (i % 1_024 === 0) await tokens.verify(good);
    }
    expect(verifications()).toBe(MAX_VERIFIED_TOKENS + 1);
    for (const token of shown.slice(-MAX_VERIFIED_TOKENS / 2)) await tokens.verify(token);
    expect(verifications()).toBe(0);
    await tokens.verify(shown[0] ?? '');
    expect(verifications()).toBe(1);
  });
});

eachDatabase('a token that was shown before, on a database', (database) => {
  it('is refused when its session has ended here', async () => {
    await using house = await openHouse(database().db);
    const { tokens, sessionId } = await signedIn(house);
    await house.accessTokens.verify(tokens.accessToken);
    house.ended.add(sessionId);
    await expect(house.accessTokens.verify(tokens.accessToken)).rejects.toEqual(refused);
  });

  it('is refused when all sessions of its account were revoked elsewhere', async () => {
    await using house = await openHouse(database().db);
    const { accountId, tokens } = await signedIn(house);
    await house.accessTokens.verify(tokens.accessToken);
    await raiseEpoch(house.db, house.clock, accountId);
    await house.ended.poll();
    await expect(house.accessTokens.verify(tokens.accessToken)).rejects.toEqual(refused);
  });

  it('outlives the reading of the keys, and is refused when they were replaced', async () => {
    await using house = await openHouse(database().db);
    const { db, clock, random, tokenKeys, keys, accessTokens } = house;
    const { tokens } = await signedIn(house);
    const { verifications } = watched(keys.current());
    await accessTokens.verify(tokens.accessToken);
    await keys.reload();
    await accessTokens.verify(tokens.accessToken);
    expect(verifications()).toBe(1);
    await replaceSigningKeys({ db, clock, random, tokenKeys });
    await keys.reload();
    await expect(accessTokens.verify(tokens.accessToken)).rejects.toEqual(refused);
  });
});
