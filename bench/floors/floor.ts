/** What the floors have in common: a pool, a Redis connection, a token, nothing else. */
import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from 'node:crypto';
import { type sendUnaryData, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { Redis } from 'ioredis';
import pg from 'pg';

export interface FloorContext {
  readonly pool: pg.Pool;
  readonly redis: Redis;
  readonly redisPrefix: string;
  readonly messageFile: string;
  /** File of the product's own statements (`templates.ts`); empty for a floor that has its own. */
  readonly templates: string;
}

/** One file of this folder. */
export interface FloorModule {
  /** Statements that make its tables. */
  readonly schema: readonly string[];
  /** Handlers by the names of `AuthServiceService`; others answer UNIMPLEMENTED. */
  handlers(context: FloorContext): UntypedServiceImplementation;
}

/** As many connections as the server under test opens by default. */
const POOL_SIZE = 10;

export function openContext(env: NodeJS.ProcessEnv): FloorContext {
  const pool = new pg.Pool({ connectionString: env['DATABASE_URL'], max: POOL_SIZE });
  // The database is dropped from under connections that are about to close: nobody is left to tell.
  pool.on('connect', (client) => void client.on('error', () => {}));
  pool.on('error', () => {});
  return {
    pool,
    redis: new Redis(env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'),
    redisPrefix: env['REDIS_KEY_PREFIX'] ?? '',
    messageFile: env['MESSAGE_FILE'] ?? '',
    templates: env['TEMPLATES'] ?? '',
  };
}

const { privateKey } = generateKeyPairSync('ed25519');
const HEADER = encode({ alg: 'EdDSA', typ: 'at+jwt', kid: sha256('floor').toString('base64url') });

/** A token of the same claims and size as ours, with one Ed25519 signature. */
export function signAccessToken(accountId: string, sessionId: string): string {
  const now = Math.floor(Date.now() / 1_000);
  const claims = {
    iss: 'countersign',
    aud: 'countersign',
    iat: now,
    exp: now + 900,
    jti: randomUUID(),
    sub: accountId,
    client_id: 'bench',
    sid: sessionId,
    auth_time: now,
    amr: ['pwd'],
    org: accountId,
    grants: [{ role: 'owner' }],
    roles: ['owner'],
    platform_roles: [],
  };
  const body = `${HEADER}.${encode(claims)}`;
  return `${body}.${sign(null, Buffer.from(body), privateKey).toString('base64url')}`;
}

/** The claims of ours. */
export interface Claims {
  readonly iss: string;
  readonly aud: string;
  readonly sub: string;
  readonly client_id: string;
  readonly sid: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly auth_time: number;
  readonly amr: string[];
  readonly org: string;
  readonly grants: { readonly role: string }[];
  readonly roles: string[];
  readonly platform_roles: string[];
}

/** One Ed25519 verification, and what the token says; it judges neither time nor name. */
export function verifiedClaims(token: string, key: KeyObject): Claims | undefined {
  const end = token.lastIndexOf('.');
  const body = token.slice(0, end);
  const signature = Buffer.from(token.slice(end + 1), 'base64url');
  if (!verify(null, Buffer.from(body), key, signature)) return undefined;
  const payload = Buffer.from(body.slice(body.indexOf('.') + 1), 'base64url');
  return JSON.parse(payload.toString());
}

export function sha256(value: string | Buffer): Buffer {
  return createHash('sha256').update(value).digest();
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

export const TOKEN_SECONDS = 900;
export const REFRESH_SECONDS = 30 * 86_400;

/** Answers what a handler made; where it made nothing, with `refusal`. */
export function answer<T>(
  work: Promise<T | undefined>,
  respond: sendUnaryData<T>,
  refusal: status,
): void {
  work.then(
    (response) => (response === undefined ? respond({ code: refusal }) : respond(null, response)),
    (error: unknown) => respond({ code: status.INTERNAL, details: String(error) }),
  );
}
