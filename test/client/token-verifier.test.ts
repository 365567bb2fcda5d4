import { createHmac } from 'node:crypto';
import { exportJWK, exportSPKI, importJWK, type JWK } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createTokenVerifier,
  KeysUnavailableError,
  TokenInvalidError,
  type TokenInvalidReason,
  type TokenVerifier,
} from '../../src/client/index.js';
import {
  AUDIENCE,
  ISSUER,
  type KeyServer,
  makeSigner,
  NOW,
  NOW_SECONDS,
  type Signer,
  startKeyServer,
} from './token-lab.js';

let signer: Signer;
let keys: KeyServer;
let verifier: TokenVerifier;

beforeEach(async () => {
  signer = await makeSigner();
  keys = await startKeyServer(signer.jwk);
  verifier = createTokenVerifier({
    jwksUrl: keys.url,
    issuer: ISSUER,
    audience: AUDIENCE,
    now: () => NOW,
  });
});

afterEach(async () => {
  await keys[Symbol.asyncDispose]();
});

async function refusalOf(token: string, by = verifier): Promise<TokenInvalidReason> {
  const error: unknown = await by.verify(token).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TokenInvalidError);
  return (error as TokenInvalidError).reason;
}

describe('a good token', () => {
  it('gives typed claims (A6)', async () => {
    expect(await verifier.verify(await signer.token({ merchant: 'merchant-1' }))).toEqual({
      accountId: 'account-1',
      sessionId: 'session-1',
      clientId: 'web-bff',
      tokenId: 'token-1',
      issueTime: new Date((NOW_SECONDS - 60) * 1_000),
      expireTime: new Date((NOW_SECONDS + 840) * 1_000),
      authTime: new Date((NOW_SECONDS - 120) * 1_000),
      authenticationMethods: ['pwd'],
      organizationId: 'org-1',
      merchantId: 'merchant-1',
      grants: [
        { role: 'owner', merchantId: undefined },
        { role: 'cashier', merchantId: 'merchant-1' },
      ],
      roles: ['owner'],
      platformRoles: [],
    });
  });

  it('may lack what anonymous callers and people without an organization lack', async () => {
    const bare = {
      client_id: '',
      org: undefined,
      grants: undefined,
      roles: undefined,
      platform_roles: undefined,
      amr: undefined,
    };
    expect(await verifier.verify(await signer.token(bare))).toMatchObject({
      clientId: '',
      organizationId: undefined,
      grants: [],
    });
  });

  it('is verified under ES256 only where the configuration says so (rule 17)', async () => {
    const other = await makeSigner('ES256');
    keys.serve(signer.jwk, other.jwk);
    expect(await refusalOf(await other.token())).toBe('ALGORITHM_NOT_ALLOWED');
    const both = createTokenVerifier({
      jwksUrl: keys.url,
      issuer: ISSUER,
      audience: AUDIENCE,
      algorithms: ['ES256', 'EdDSA'],
      now: () => NOW,
    });
    expect((await both.verify(await other.token())).accountId).toBe('account-1');
    expect((await both.verify(await signer.token())).accountId).toBe('account-1');
    // One key's token under the other's name.
    expect(await refusalOf(await other.token({}, { kid: signer.kid }), both)).toBe(
      'ALGORITHM_NOT_ALLOWED',
    );
  });

  it('may be a little older or younger than the clocks say', async () => {
    await verifier.verify(await signer.token({ exp: NOW_SECONDS - 4 }));
    await verifier.verify(await signer.token({ nbf: NOW_SECONDS + 4 }));
    expect(await refusalOf(await signer.token({ exp: NOW_SECONDS - 6 }))).toBe('EXPIRED');
    const strict = createTokenVerifier({
      jwksUrl: keys.url,
      issuer: ISSUER,
      audience: AUDIENCE,
      clockToleranceSeconds: 0,
      now: () => NOW,
    });
    expect(await refusalOf(await signer.token({ exp: NOW_SECONDS }), strict)).toBe('EXPIRED');
  });
});

describe('the forged corpus (rule 17)', () => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

  it('refuses no signature', async () => {
    const [, payload = '', signature = ''] = (await signer.token()).split('.');
    for (const alg of ['none', 'None', 'NONE']) {
      const header = part({ alg, typ: 'at+jwt', kid: signer.kid });
      expect(await refusalOf(`${header}.${payload}.`)).toBe('MALFORMED');
      expect(await refusalOf(`${header}.${payload}.${signature}`)).toBe('ALGORITHM_NOT_ALLOWED');
    }
    for (const alg of ['', undefined, 5, ['EdDSA']]) {
      const header = part({ alg, typ: 'at+jwt', kid: signer.kid });
      expect(await refusalOf(`${header}.${payload}.${signature}`)).toBe('MALFORMED');
    }
    expect(keys.requests).toEqual([]);
  });

  it('refuses an HMAC with the public key in each of its forms', async () => {
    const [, payload = ''] = (await signer.token()).split('.');
    const publicKey = await importJWK(signer.jwk, 'EdDSA', { extractable: true });
    if (publicKey instanceof Uint8Array) throw new Error('not a key');
    const secrets = [
      JSON.stringify(signer.jwk),
      String(signer.jwk.x),
      await exportSPKI(publicKey),
      Buffer.from(String(signer.jwk.x), 'base64url'),
    ];
    const header = part({ alg: 'HS256', typ: 'at+jwt', kid: signer.kid });
    for (const secret of secrets) {
      const signature = createHmac('sha256', secret)
        .update(`${header}.${payload}`)
        .digest('base64url');
      expect(await refusalOf(`${header}.${payload}.${signature}`)).toBe('ALGORITHM_NOT_ALLOWED');
    }
    expect(keys.requests).toEqual([]);
  });

  it('refuses keys that the token brings along, and never fetches them', async () => {
    const thief = await makeSigner();
    const theirs = await startKeyServer(thief.jwk);
    const embedded = await exportJWK(await importJWK(thief.jwk, 'EdDSA', { extractable: true }));
    const headers: Record<string, unknown>[] = [
      { jwk: embedded },
      { jku: theirs.url },
      { x5u: theirs.url },
      { x5c: ['MIIB'] },
      { jwk: embedded, kid: signer.kid },
      { jku: theirs.url, kid: signer.kid },
    ];
    for (const header of headers)
      expect(await refusalOf(await thief.token({}, header))).toBe('MALFORMED');
    // Not even on a token that is otherwise ours.
    expect(await refusalOf(await signer.token({}, { jku: theirs.url }))).toBe('MALFORMED');
    expect(theirs.requests).toEqual([]);
    expect(keys.requests).toEqual([]);
    await theirs.stop();
  });

  it('refuses another key under our kid, an unknown kid, and none', async () => {
    const thief = await makeSigner();
    expect(await refusalOf(await thief.token({}, { kid: signer.kid }))).toBe('SIGNATURE_INVALID');
    expect(await refusalOf(await thief.token())).toBe('KEY_UNKNOWN');
    expect(await refusalOf(await thief.token({}, { kid: undefined }))).toBe('KEY_UNKNOWN');
    expect(await refusalOf(await thief.token({}, { kid: '../../etc/passwd' }))).toBe('KEY_UNKNOWN');
    expect(await refusalOf(await thief.token({}, { kid: '__proto__' }))).toBe('KEY_UNKNOWN');
    expect(keys.requests).toHaveLength(1);
  });

  it('refuses critical and unencoded headers', async () => {
    const [, payload = '', signature = ''] = (await signer.token()).split('.');
    for (const extra of [
      { crit: ['exp'], exp: 1 },
      { crit: ['b64'], b64: false },
      { crit: [] },
      { b64: false },
      { zip: 'DEF' },
    ]) {
      const header = part({ alg: 'EdDSA', typ: 'at+jwt', kid: signer.kid, ...extra });
      expect(await refusalOf(`${header}.${payload}.${signature}`)).toBe('MALFORMED');
    }
  });

  it('refuses other kinds of token, before it fetches a key', async () => {
    for (const typ of ['JWT', 'id+jwt', 'rt+jwt', '', undefined]) {
      expect(await refusalOf(await signer.token({}, { typ }))).toBe('TYPE_NOT_ALLOWED');
    }
    expect(await refusalOf('cs_rt_0192f1c2aabb7cd8.4.c2VjcmV0.bWFj')).toBe('MALFORMED');
    expect(await refusalOf('opaque-refresh-token')).toBe('MALFORMED');
    expect(keys.requests).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, TokenInvalidReason]>([
    ['expired', { exp: NOW_SECONDS - 60 }, 'EXPIRED'],
    ['without an end', { exp: undefined }, 'CLAIMS_INVALID'],
    ['with an end that is no number', { exp: '9999999999' }, 'CLAIMS_INVALID'],
    ['not yet valid', { nbf: NOW_SECONDS + 60 }, 'NOT_YET_VALID'],
    ['of another issuer', { iss: 'https://evil.example.com' }, 'ISSUER_INVALID'],
    ['of an issuer that only begins like ours', { iss: `${ISSUER}.evil` }, 'ISSUER_INVALID'],
    ['without issuer', { iss: undefined }, 'ISSUER_INVALID'],
    ['for another audience', { aud: 'https://other.example.com' }, 'AUDIENCE_INVALID'],
    ['for other audiences', { aud: ['a', 'b'] }, 'AUDIENCE_INVALID'],
    ['without audience', { aud: undefined }, 'AUDIENCE_INVALID'],
    ['without account', { sub: undefined }, 'CLAIMS_INVALID'],
    ['with an empty account', { sub: '' }, 'CLAIMS_INVALID'],
    ['without session', { sid: undefined }, 'CLAIMS_INVALID'],
    ['without time of authentication', { auth_time: undefined }, 'CLAIMS_INVALID'],
    ['with grants of a wrong shape', { grants: 'owner' }, 'CLAIMS_INVALID'],
    ['with a grant of nothing', { grants: [null] }, 'CLAIMS_INVALID'],
    [
      'with a grant whose merchant is empty',
      { grants: [{ role: 'owner', merchant: '' }] },
      'CLAIMS_INVALID',
    ],
    ['with roles of a wrong shape', { roles: [1] }, 'CLAIMS_INVALID'],
  ])('refuses one %s', async (_, claims, reason) => {
    expect(await refusalOf(await signer.token(claims))).toBe(reason);
  });

  it('refuses a change of any part', async () => {
    const [header = '', payload = '', signature = ''] = (await signer.token()).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    expect(await refusalOf(`${header}.${part({ ...claims, sub: 'account-2' })}.${signature}`)).toBe(
      'SIGNATURE_INVALID',
    );
    expect(await refusalOf(`${header}.${payload}.${signature.slice(2)}`)).toBe('SIGNATURE_INVALID');
    for (const odd of [
      '',
      '.',
      '..',
      `${header}.${payload}`,
      `${header}.${payload}.`,
      `${header}.${payload}.${signature}.x`,
      'é.é.é',
      ` ${header}.${payload}.${signature}`,
      `${header}.${payload}.${signature}\n`,
      `${header}.${payload}.${signature}==`,
    ]) {
      expect(await refusalOf(odd)).toBe('MALFORMED');
    }
    expect(await refusalOf(undefined as unknown as string)).toBe('MALFORMED');
  });

  it('refuses more than 8 KiB without looking at it', async () => {
    expect(await refusalOf(await signer.token({ padding: 'x'.repeat(8_192) }))).toBe('TOO_LONG');
    expect(keys.requests).toEqual([]);
  });

  it('never quotes the token in its error', async () => {
    const token = await signer.token({ exp: NOW_SECONDS - 60 });
    const error: unknown = await verifier
      .verify(`{"secret":1}${token}`)
      .catch((reason: unknown) => reason);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('secret');
    expect((error as Error).cause).toBeUndefined();
  });
});

describe('what a verifier is made of', () => {
  const base = { issuer: ISSUER, audience: AUDIENCE };

  it('must name issuer, audience and an algorithm', () => {
    expect(() => createTokenVerifier({ ...base, jwksUrl: keys.url, issuer: '' })).toThrow(
      TypeError,
    );
    expect(() => createTokenVerifier({ ...base, jwksUrl: keys.url, audience: '' })).toThrow(
      TypeError,
    );
    expect(() => createTokenVerifier({ ...base, jwksUrl: keys.url, algorithms: [] })).toThrow(
      TypeError,
    );
  });

  it('takes keys over plaintext only on loopback, or by name', () => {
    expect(() => createTokenVerifier({ ...base, jwksUrl: 'http://id.example.com/jwks' })).toThrow(
      /https/,
    );
    expect(() => createTokenVerifier({ ...base, jwksUrl: 'file:///etc/keys' })).toThrow(/https/);
    createTokenVerifier({ ...base, jwksUrl: 'http://id.internal/jwks', plaintext: true });
    createTokenVerifier({ ...base, jwksUrl: new URL('https://id.example.com/jwks') });
    createTokenVerifier({ ...base, jwksUrl: 'http://[::1]:9464/.well-known/jwks.json' });
  });
});

describe('the key set it fetches', () => {
  const refusesAnswer = async () => {
    await expect(verifier.verify(await signer.token())).rejects.toBeInstanceOf(
      KeysUnavailableError,
    );
  };

  it('may hold keys of kinds it does not use, which are passed over', async () => {
    const rsa: JWK = { kty: 'RSA', kid: 'rsa', n: 'AQAB', e: 'AQAB' };
    keys.serve(
      rsa,
      { ...signer.jwk, kid: 'enc', use: 'enc' },
      { kty: 'oct', kid: 'oct', k: 'AAAA' },
      signer.jwk,
    );
    expect((await verifier.verify(await signer.token())).accountId).toBe('account-1');
    expect(await refusalOf(await signer.token({}, { kid: 'enc' }))).toBe('KEY_UNKNOWN');
  });

  it.each<[string, string]>([
    ['no JSON', '<html>'],
    ['no key set', '{"error":"x"}'],
    ['a list', '[]'],
    ['no usable key', '{"keys":[{"kty":"oct","k":"AAAA","kid":"k"}]}'],
    [
      'too many keys',
      JSON.stringify({ keys: Array.from({ length: 33 }, (_, n) => ({ kid: `${n}` })) }),
    ],
    ['more than 64 KiB', `{"keys":[],"x":"${'y'.repeat(70_000)}"}`],
  ])('is refused when it is %s', async (_, body) => {
    keys.answer((__, response) => void response.end(body));
    await refusesAnswer();
  });

  it('is refused when two keys share a kid', async () => {
    const other = await makeSigner();
    keys.serve(signer.jwk, { ...other.jwk, kid: signer.kid });
    await refusesAnswer();
  });

  it('is refused when the answer is an error or sends elsewhere', async () => {
    const body = JSON.stringify({ keys: [signer.jwk] });
    keys.answer((_, response) => void response.writeHead(500).end(body));
    await refusesAnswer();
    verifier = createTokenVerifier({
      jwksUrl: keys.url,
      issuer: ISSUER,
      audience: AUDIENCE,
      now: () => NOW,
    });
    keys.answer((request, response) => {
      if (request.url === '/elsewhere') response.end(body);
      else response.writeHead(302, { location: '/elsewhere' }).end();
    });
    await refusesAnswer();
    expect(keys.requests).not.toContain('/elsewhere');
  });
});
