import { type KyselyPlugin, sql } from 'kysely';
import type { Call } from '../../src/core/call.js';
import type { Clock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { type KeyRing, keyRing } from '../../src/core/keys.js';
import { type Db, sqlNow } from '../../src/db/index.js';
import {
  createAccessTokens,
  createEndedSessions,
  createRefreshTokens,
  createSigningKeys,
  insertSession,
  prepareSession,
  type SessionLifetime,
  tokenSet,
} from '../../src/sessions/index.js';
import { silentLog } from '../support/databases.js';

export const ISSUER = 'https://id.example';
export const AUDIENCE = 'https://api.example';
export const CALLER = 'web-bff';
export const ACCESS_SECONDS = 900;
export const LIFETIME: SessionLifetime = { idleSeconds: 3_600, maxSeconds: 7_200 };

export interface MovableClock extends Clock {
  move(seconds: number): void;
}

export function movableClock(): MovableClock {
  let offsetMs = 0;
  return {
    get offsetMs() {
      return offsetMs;
    },
    now: () => new Date(Date.now() + offsetMs),
    move(seconds) {
      offsetMs += seconds * 1000;
    },
  };
}

export function newTokenKeys(): KeyRing {
  return keyRing([systemRandom.bytes(32)]);
}

export function aCall(caller = CALLER): Call {
  return {
    requestId: systemRandom.id(),
    caller,
    sourceIsLocal: true,
    sourceIsCaller: false,
    userAgent: undefined,
    source: '192.0.2.1',
    locale: 'en',
    deadline: new Date(Date.now() + 10_000),
    signal: new AbortController().signal,
  };
}

/** The processes of one test file share them, as replicas do. */
const sharedTokenKeys = newTokenKeys();

/** One process, as far as sessions go. */
export async function openHouse(
  db: Db,
  { clock = movableClock(), tokenKeys = sharedTokenKeys } = {},
) {
  const random = systemRandom;
  const keys = await createSigningKeys({ db, tokenKeys, clock, random, log: silentLog });
  const ended = await createEndedSessions({
    db,
    clock,
    log: silentLog,
    accessTokenSeconds: ACCESS_SECONDS,
    // Tests poll by hand.
    pollMs: 3_600_000,
  });
  const accessTokens = createAccessTokens({
    keys,
    issuer: ISSUER,
    audience: AUDIENCE,
    ttlSeconds: ACCESS_SECONDS,
    clock,
    random,
    ended,
  });
  return {
    db,
    clock,
    random,
    tokenKeys,
    keys,
    ended,
    accessTokens,
    refreshTokens: createRefreshTokens({ tokenKeys, random }),
    sessionLifetime: LIFETIME,
    clientKeys: tokenKeys,
    async [Symbol.asyncDispose]() {
      await ended[Symbol.asyncDispose]();
      await keys[Symbol.asyncDispose]();
    },
  };
}

export type House = Awaited<ReturnType<typeof openHouse>>;

/** A handle on the same database that counts its statements. */
export function counted(db: Db): { readonly db: Db; count(): number } {
  let statements = 0;
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => {
      statements += 1;
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  return { db: db.withPlugin(plugin), count: () => statements };
}

export async function newAccount(db: Db, status = 'active'): Promise<string> {
  const id = systemRandom.id();
  await sql`insert into accounts (account_id, status, created_at, updated_at)
    values (${id}, ${status}, clock_timestamp(), clock_timestamp())`.execute(db);
  return id;
}

export async function newOrganization(db: Db): Promise<string> {
  const id = systemRandom.id();
  await sql`insert into organizations (organization_id, name, created_at, updated_at)
    values (${id}, 'Phở 24', clock_timestamp(), clock_timestamp())`.execute(db);
  return id;
}

export async function newMerchant(db: Db, organizationId: string): Promise<string> {
  const id = systemRandom.id();
  await sql`insert into merchants (merchant_id, organization_id, name, created_at, updated_at)
    values (${id}, ${organizationId}, 'Quán', clock_timestamp(), clock_timestamp())`.execute(db);
  return id;
}

export async function assign(
  db: Db,
  accountId: string,
  role: string,
  organizationId: string | null,
  merchantId: string | null = null,
): Promise<void> {
  await sql`insert into role_assignments
      (role_assignment_id, account_id, role, organization_id, merchant_id, created_at)
    values (${systemRandom.id()}, ${accountId}, ${role}, ${organizationId}, ${merchantId},
      clock_timestamp())`.execute(db);
}

/** A signed-in person, as `SignIn` leaves one. */
export async function signedIn(
  house: House,
  where: { accountId?: string; organizationId?: string; caller?: string } = {},
) {
  const { db } = house;
  const accountId = where.accountId ?? (await newAccount(db));
  const caller = where.caller ?? CALLER;
  const prepared = prepareSession(house, aCall(caller), { amr: ['pwd'] });
  const { rows } = await sql<{ auth_time: Date; session_epoch: number }>`
    with started as (${insertSession(sqlNow(house.clock), prepared, LIFETIME, {
      accountId: sql`a.account_id`,
      sessionEpoch: sql`a.session_epoch`,
      organizationId: sql`${where.organizationId ?? null}::uuid`,
      merchantId: sql`null::uuid`,
      from: sql`(select * from accounts where account_id = ${accountId}::uuid) a`,
    })}) select * from started`.execute(db);
  const authTime = rows[0]?.auth_time;
  if (authTime === undefined) throw new Error('no session was started');
  const tokens = await tokenSet(house, {
    accountId,
    sessionId: prepared.sessionId,
    caller,
    authTime,
    amr: prepared.amr,
    scope: {},
    grants: [],
    platformRoles: [],
    refreshToken: prepared.refreshToken,
  });
  return { accountId, sessionId: prepared.sessionId, authTime, tokens };
}

export interface SessionRow {
  readonly generation: number;
  readonly ended_at: Date | null;
  readonly end_reason: string | null;
  readonly token_hash: Buffer;
  readonly predecessor_hash: Buffer | null;
  readonly successor_sealed: Buffer | null;
  readonly organization_id: string | null;
  readonly merchant_id: string | null;
  readonly auth_time: Date;
  readonly idle_expires_at: Date;
  readonly expires_at: Date;
}

export async function sessionRow(db: Db, sessionId: string): Promise<SessionRow> {
  const { rows } = await sql<SessionRow>`
    select * from sessions where session_id = ${sessionId}`.execute(db);
  if (rows[0] === undefined) throw new Error('no such session');
  return rows[0];
}

/** What revokes all sessions of an account. */
export async function raiseEpoch(db: Db, clock: Clock, accountId: string): Promise<void> {
  await sql`
    with raised as (
      update accounts set session_epoch = session_epoch + 1 where account_id = ${accountId}
      returning account_id, session_epoch
    )
    insert into session_epochs (account_id, session_epoch, raised_at)
    select account_id, session_epoch, ${sqlNow(clock)} from raised
    on conflict (account_id) do update
      set session_epoch = excluded.session_epoch, raised_at = excluded.raised_at`.execute(db);
}

export async function changes(db: Db, accountId: string) {
  const { rows } = await sql<{ action: string; outcome: string; detail: unknown; caller: string }>`
    select action, outcome, detail, caller from audit_events
    where account_id = ${accountId} and kind = 'change' order by event_id`.execute(db);
  return rows;
}
