import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { Socket } from 'node:net';
import fc from 'fast-check';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT } from 'jose';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { deriveKeyRing } from '../../src/core/keys.js';
import {
  createAccessTokens,
  createRefreshTokens,
  MAX_ACCESS_TOKEN_LENGTH,
  rolesOf,
  type TokenGrant,
} from '../../src/sessions/index.js';
import {
  generateSigningKey,
  openSigningKey,
  type SigningKey,
} from '../../src/sessions/signing-key.js';
import { ACCESS_SECONDS, AUDIENCE, ISSUER, movableClock, newTokenKeys } from './fixtures.js';

const tokenKeys = newTokenKeys();
const ring = deriveKeyRing(tokenKeys, 'signing-key');
const newKey = async (): Promise<SigningKey> =>
  openSigningKey(ring, await generateSigningKey(ring, systemRandom));
const key = await newKey();
const clock = movableClock();
const accessTokens = (overrides: { issuer?: string; audience?: string; key?: SigningKey } = {}) => {
  const signing = overrides.key ?? key;
  return createAccessTokens({
    keys: { signer: async () => signing, find: (kid) => (kid === key.kid ? key : undefined) },
    issuer: overrides.issuer ?? ISSUER,
    audience: overrides.audience ?? AUDIENCE,
    ttlSeconds: ACCESS_SECONDS,
    clock,
    random: systemRandom,
    ended: { has: () => false },
  });
};
const tokens = accessTokens();
const refused = expect.objectContaining({ reason: 'ACCESS_TOKEN_INVALID' });

const organizationId = systemRandom.id();
const merchantId = systemRandom.id();
const grant: TokenGrant = {
  accountId: systemRandom.id(),
  sessionId: systemRandom.id(),
  caller: 'web-bff',
  authTime: new Date(1_700_000_000_000),
  amr: ['pwd'],
  scope: { organizationId, merchantId },
  grants: [{ role: 'employee' }, { role: 'cashier', merchantId }],
  platformRoles: ['operator'],
};
const good = await tokens.issue(grant);
const [goodHeader = '', goodPayload = '', goodSignature = ''] = good.split('.');

const base64url = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
/** A token put together by hand and signed with our own key, to show that the signature is not all. */
const signed = (header: object, payload: object | string, by = key): string => {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${sign(null, Buffer.from(input), by.privateKey).toString('base64url')}`;
};
const claims = decodeJwt(good);
const header = { alg: 'EdDSA', typ: 'at+jwt', kid: key.kid };

describe('access tokens', () => {
  it('say exactly what the contract names (A6)', async () => {
    expect(decodeProtectedHeader(good)).toEqual(header);
    const issuedAt = claims.iat ?? 0;
    expect(claims).toEqual({
      iss: ISSUER,
      aud: AUDIENCE,
      sub: grant.accountId,
      client_id: 'web-bff',
      sid: grant.sessionId,
      iat: expect.any(Number),
      exp: issuedAt + ACCESS_SECONDS,
      jti: expect.any(String),
      auth_time: 1_700_000_000,
      amr: ['pwd'],
      org: organizationId,
      merchant: merchantId,
      grants: [{ role: 'employee' }, { role: 'cashier', merchant: merchantId }],
      roles: ['cashier', 'employee'],
      platform_roles: ['operator'],
    });
    expect(await tokens.verify(good)).toMatchObject({ ...grant, roles: ['cashier', 'employee'] });
  });

  it('leave the scope out where there is none', async () => {
    const token = await tokens.issue({ ...grant, scope: {}, grants: [], platformRoles: [] });
    expect(decodeJwt(token)).not.toHaveProperty('org');
    expect(decodeJwt(token)).not.toHaveProperty('merchant');
    expect(await tokens.verify(token)).toMatchObject({ scope: {}, roles: [], platformRoles: [] });
  });

  it('are verified offline by anybody with the published key (A6)', async () => {
    const keySet = createLocalJWKSet({ keys: [key.publicJwk] });
    const { payload } = await jwtVerify(good, keySet, { issuer: ISSUER, audience: AUDIENCE });
    expect(payload.sub).toBe(grant.accountId);
  });

  it('name only roles that hold in the whole scope', () => {
    const other = systemRandom.id();
    const grants = [
      { role: 'owner' },
      { role: 'cashier', merchantId },
      { role: 'employee', merchantId: other },
    ];
    expect(rolesOf({ organizationId }, grants)).toEqual(['owner']);
    expect(rolesOf({ organizationId, merchantId }, grants)).toEqual(['cashier', 'owner']);
    expect(rolesOf({}, grants)).toEqual([]);
  });

  it('expire by the clock of whoever verifies', async () => {
    const mine = movableClock();
    const short = createAccessTokens({
      keys: { signer: async () => key, find: () => key },
      issuer: ISSUER,
      audience: AUDIENCE,
      ttlSeconds: ACCESS_SECONDS,
      clock: mine,
      random: systemRandom,
      ended: { has: () => false },
    });
    const token = await short.issue(grant);
    mine.move(ACCESS_SECONDS - 2);
    expect(await short.verify(token)).toMatchObject({ accountId: grant.accountId });
    mine.move(3);
    await expect(short.verify(token)).rejects.toEqual(refused);
  });

  it('are refused once their session has ended', async () => {
    const asked: unknown[][] = [];
    const after = createAccessTokens({
      keys: { signer: async () => key, find: () => key },
      issuer: ISSUER,
      audience: AUDIENCE,
      ttlSeconds: ACCESS_SECONDS,
      clock,
      random: systemRandom,
      ended: { has: (...args) => asked.push(args) > 0 },
    });
    await expect(after.verify(good)).rejects.toEqual(refused);
    expect(asked).toEqual([[grant.sessionId, grant.accountId, grant.authTime]]);
  });

  it('never become longer than what is accepted', async () => {
    const grants = Array.from({ length: 60 }, () => ({
      role: 'employee',
      merchantId: systemRandom.id(),
    }));
    await expect(tokens.issue({ ...grant, grants })).rejects.toThrow('too long');
  });
});

describe('forged tokens are refused without any outgoing connection (rule 17)', () => {
  // Beside one that is remembered (decision 0021).
  beforeAll(() => tokens.verify(good));
  afterEach(() => {
    vi.restoreAllMocks();
  });

  const publicBytes = Buffer.from(key.publicJwk.x ?? '', 'base64url');
  const publicPem = key.publicKey.export({ format: 'pem', type: 'spki' });
  const hs256 = (secret: Buffer | string, more: object = {}): string => {
    const input = `${base64url({ ...header, alg: 'HS256', ...more })}.${goodPayload}`;
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  };
  const es256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const without = (name: string): object =>
    Object.fromEntries(Object.entries(claims).filter(([claim]) => claim !== name));

  const corpus: [string, () => string | Promise<string>][] = [
    ['an empty text', () => ''],
    ['no JWT', () => 'garbage'],
    ['two parts', () => `${goodHeader}.${goodPayload}`],
    ['four parts', () => `${good}.AAAA`],
    ['five parts, as encrypted ones have', () => `${good}.AAAA.AAAA`],
    ['alg none', () => `${base64url({ ...header, alg: 'none' })}.${goodPayload}.`],
    ['alg None', () => `${base64url({ ...header, alg: 'None' })}.${goodPayload}.${goodSignature}`],
    [
      'alg none with our signature',
      () => `${base64url({ ...header, alg: 'none' })}.${goodPayload}.${goodSignature}`,
    ],
    ['no signature', () => `${goodHeader}.${goodPayload}.`],
    ['HS256 with the public key in PEM', () => hs256(publicPem)],
    ['HS256 with the raw public key', () => hs256(publicBytes)],
    ['HS256 with an empty secret', () => hs256('')],
    ['another name of the same algorithm', () => signed({ ...header, alg: 'Ed25519' }, claims)],
    [
      'ES256 with an embedded jwk',
      () =>
        new SignJWT(claims)
          .setProtectedHeader({
            ...header,
            alg: 'ES256',
            jwk: es256.publicKey.export({ format: 'jwk' }),
          })
          .sign(es256.privateKey),
    ],
    [
      'an embedded jwk of the right kind',
      async () => {
        const mine = await newKey();
        return signed({ ...header, jwk: mine.publicJwk }, claims, mine);
      },
    ],
    [
      'an embedded jwk and its own kid',
      async () => {
        const mine = await newKey();
        return signed({ ...header, kid: mine.kid, jwk: mine.publicJwk }, claims, mine);
      },
    ],
    [
      'a jku, an x5u and an x5c',
      async () => {
        const mine = await newKey();
        const elsewhere = {
          jku: 'http://127.0.0.1:1/jwks',
          x5u: 'http://127.0.0.1:1/x',
          x5c: ['AAAA'],
        };
        return signed({ ...header, kid: mine.kid, ...elsewhere }, claims, mine);
      },
    ],
    ['another key under our kid', async () => signed(header, claims, await newKey())],
    ['an unknown kid', async () => (await accessTokens({ key: await newKey() })).issue(grant)],
    ['no kid', () => signed({ alg: 'EdDSA', typ: 'at+jwt' }, claims)],
    ['a kid that is a path', () => signed({ ...header, kid: '../../etc/passwd' }, claims)],
    ['a kid that is SQL', () => signed({ ...header, kid: "' or 1=1 --" }, claims)],
    ['a kid that is a number', () => signed({ ...header, kid: 1 }, claims)],
    ['a kid of Object.prototype', () => signed({ ...header, kid: '__proto__' }, claims)],
    ['an unknown critical extension', () => signed({ ...header, crit: ['x'], x: 1 }, claims)],
    ['an empty crit', () => signed({ ...header, crit: [] }, claims)],
    ['an unencoded payload', () => signed({ ...header, crit: ['b64'], b64: false }, claims)],
    ['typ JWT', () => signed({ ...header, typ: 'JWT' }, claims)],
    ['typ of an ID token', () => signed({ ...header, typ: 'id+jwt' }, claims)],
    ['no typ', () => signed({ alg: 'EdDSA', kid: key.kid }, claims)],
    ['expired', () => signed(header, { ...claims, exp: Math.floor(Date.now() / 1000) - 1 })],
    ['expiring now', () => signed(header, { ...claims, exp: Math.floor(Date.now() / 1000) })],
    ['not yet valid', () => signed(header, { ...claims, nbf: Math.floor(Date.now() / 1000) + 60 })],
    ['exp a text', () => signed(header, { ...claims, exp: '9999999999' })],
    ['another audience', () => accessTokens({ audience: 'https://other.example' }).issue(grant)],
    [
      'two audiences',
      () => signed(header, { ...claims, aud: [AUDIENCE, 'https://other.example'] }),
    ],
    ['another issuer', () => accessTokens({ issuer: 'https://evil.example' }).issue(grant)],
    ['the issuer with a slash', () => accessTokens({ issuer: `${ISSUER}/` }).issue(grant)],
    ...Object.keys(claims)
      .filter((claim) => !['org', 'merchant'].includes(claim))
      .map((claim): [string, () => string] => [
        `no ${claim}`,
        () => signed(header, without(claim)),
      ]),
    ['claims of other kinds', () => signed(header, { ...claims, grants: { role: 'owner' } })],
    ['a payload that is a list', () => signed(header, '[]')],
    ['a payload that is no JSON', () => signed(header, '{')],
    [
      'a payload of another token',
      () => `${goodHeader}.${base64url({ ...claims, sub: 'x' })}.${goodSignature}`,
    ],
    ['padding', () => `${good}=`],
    ['a space before', () => ` ${good}`],
    ['a line after', () => `${good}\n`],
    ['with its scheme', () => `Bearer ${good}`],
    ['the standard alphabet', () => `${goodHeader}.${goodPayload}.${'+/'.repeat(43)}`],
    [
      'a refresh token',
      () =>
        createRefreshTokens({ tokenKeys, random: systemRandom }).first(grant.sessionId, 'web-bff')
          .token,
    ],
    ['a huge one', () => signed(header, { ...claims, more: 'x'.repeat(60_000) })],
    ['one letter over the limit', () => good.padEnd(MAX_ACCESS_TOKEN_LENGTH + 1, 'A')],
    ['64 KiB of dots', () => '.'.repeat(65_536)],
    ['deep JSON', () => signed(header, `${'['.repeat(1_400)}${']'.repeat(1_400)}`)],
  ];

  it.each(corpus)('%s', async (_name, forge) => {
    const token = await forge();
    const fetched = vi.spyOn(globalThis, 'fetch');
    const connected = vi.spyOn(Socket.prototype, 'connect');
    await expect(tokens.verify(token)).rejects.toEqual(refused);
    expect(fetched).not.toHaveBeenCalled();
    expect(connected).not.toHaveBeenCalled();
  });

  it('and what the corpus is made of is accepted where nothing is forged', async () => {
    expect(await tokens.verify(signed(header, claims))).toMatchObject({
      accountId: grant.accountId,
    });
  });

  it('any change of one byte of any part', async () => {
    const parts = [goodHeader, goodPayload, goodSignature].map((part) =>
      Buffer.from(part, 'base64url'),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.nat(2),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (part, at, flip) => {
          const changed = parts.map((bytes) => Buffer.from(bytes));
          const bytes = changed[part] ?? randomBytes(1);
          bytes.writeUInt8(bytes.readUInt8(at % bytes.length) ^ flip, at % bytes.length);
          const token = changed.map((each) => each.toString('base64url')).join('.');
          await expect(tokens.verify(token)).rejects.toEqual(refused);
        },
      ),
      { numRuns: 500 },
    );
  });
});
