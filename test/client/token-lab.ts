import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
  SignJWT,
} from 'jose';

export const ISSUER = 'https://id.example.com';
export const AUDIENCE = 'https://api.example.com';

export interface Signer {
  readonly kid: string;
  readonly jwk: JWK;
  readonly privateKey: CryptoKey;
  /** Signs an access token; what is given replaces what is usual (undefined removes it). */
  token(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
}

export async function makeSigner(alg: 'EdDSA' | 'ES256' = 'EdDSA'): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const bare = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(bare);
  return {
    kid,
    jwk: { ...bare, kid, alg, use: 'sig' },
    privateKey,
    token: (claims = {}, header = {}) =>
      new SignJWT(defined({ ...usualClaims(), ...claims }))
        .setProtectedHeader(defined({ alg, typ: 'at+jwt', kid, ...header }) as { alg: string })
        .sign(privateKey),
  };
}

/** A moment inside the life of every token below; verifiers in tests get it as their clock. */
export const NOW = new Date('2026-11-21T12:00:00Z');
export const NOW_SECONDS = NOW.getTime() / 1_000;

export function usualClaims(): Record<string, unknown> {
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'account-1',
    client_id: 'web-bff',
    sid: 'session-1',
    jti: 'token-1',
    iat: NOW_SECONDS - 60,
    exp: NOW_SECONDS + 840,
    auth_time: NOW_SECONDS - 120,
    amr: ['pwd'],
    org: 'org-1',
    grants: [{ role: 'owner' }, { role: 'cashier', merchant: 'merchant-1' }],
    roles: ['owner'],
    platform_roles: [],
  };
}

function defined(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
}

export interface KeyServer extends AsyncDisposable {
  readonly url: string;
  /** Paths asked for, in order. */
  readonly requests: string[];
  answer(respond: (request: IncomingMessage, response: ServerResponse) => void): void;
  serve(...keys: readonly JWK[]): void;
  stop(): Promise<void>;
}

/** A key set over HTTP on port 0 that counts what it is asked. */
export async function startKeyServer(...keys: readonly JWK[]): Promise<KeyServer> {
  const requests: string[] = [];
  type Respond = (request: IncomingMessage, response: ServerResponse) => void;
  const state: { respond: Respond } = { respond: (_, response) => void response.end() };
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    state.respond(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const answer: KeyServer['answer'] = (respond) => {
    state.respond = respond;
  };
  const serve: KeyServer['serve'] = (...set) =>
    answer((_, response) => void response.end(JSON.stringify({ keys: set })));
  const stop = async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  serve(...keys);
  const url = `http://127.0.0.1:${port}/.well-known/jwks.json`;
  return { url, requests, answer, serve, stop, [Symbol.asyncDispose]: stop };
}
