import { type RawBuilder, sql } from 'kysely';
import type { Call } from '../core/call.js';
import type { Random } from '../core/ids.js';
import type { KeyRing } from '../core/keys.js';
import type { RefreshTokens } from './refresh-token.js';
import type { SessionLifetime } from './session.js';
import { clientOf, sealClient } from './session-client.js';

/** A session before its row: everything about it that the database does not decide. */
export interface PreparedSession {
  readonly sessionId: string;
  readonly caller: string;
  /** How the person authenticated (RFC 8176): `pwd`, `sms`, `otp` … */
  readonly amr: readonly string[];
  readonly refreshToken: string;
  readonly tokenHash: Buffer;
  /** Who it is opened for (`SessionClient`). */
  readonly clientSealed: Buffer | null;
}

/**
 * Makes the session's id and first refresh token, and seals who the call opens it for. Pure: no row
 * exists until `insertSession` has run.
 */
export function prepareSession(
  deps: {
    readonly refreshTokens: RefreshTokens;
    readonly random: Random;
    readonly clientKeys: KeyRing;
  },
  call: Pick<Call, 'caller' | 'source' | 'sourceIsLocal' | 'sourceIsCaller' | 'userAgent'>,
  { amr }: { readonly amr: readonly string[] },
): PreparedSession {
  const sessionId = deps.random.id();
  const { caller } = call;
  const { token, hash } = deps.refreshTokens.first(sessionId, caller);
  const clientSealed = sealClient(deps, sessionId, clientOf(call));
  return { sessionId, caller, amr, refreshToken: token, tokenHash: hash, clientSealed };
}

/** Expressions over the row of `from` (one row: one session). */
export interface SessionParts {
  readonly accountId: RawBuilder<unknown>;
  /**
   * The account's, as that row has it: one that rose meanwhile leaves the session dead at birth.
   */
  readonly sessionEpoch: RawBuilder<unknown>;
  readonly organizationId: RawBuilder<unknown>;
  readonly merchantId: RawBuilder<unknown>;
  readonly from: RawBuilder<unknown>;
}

/** What `insertSession` returns. */
export interface StartedSessionRow {
  readonly session_id: string;
  readonly account_id: string;
  readonly auth_time: Date;
  readonly organization_id: string | null;
  readonly merchant_id: string | null;
}

/**
 * Body of a CTE that starts the session. `auth_time` is cut to seconds, because that is what a JWT
 * can say: the claim and the row never differ.
 */
export function insertSession(
  now: RawBuilder<Date>,
  prepared: PreparedSession,
  lifetime: SessionLifetime,
  parts: SessionParts,
): RawBuilder<StartedSessionRow> {
  const idle = Math.min(lifetime.idleSeconds, lifetime.maxSeconds);
  return sql<StartedSessionRow>`
    insert into sessions (
      session_id, account_id, caller, session_epoch, auth_time, amr, organization_id, merchant_id,
      generation, token_hash, client_sealed, idle_expires_at, expires_at, created_at
    )
    select ${prepared.sessionId}::uuid, ${parts.accountId}, ${prepared.caller}::text,
      ${parts.sessionEpoch}, date_trunc('second', session_start.now), ${[...prepared.amr]}::text[],
      ${parts.organizationId}, ${parts.merchantId}, 0, ${prepared.tokenHash}::bytea,
      ${prepared.clientSealed}::bytea,
      session_start.now + make_interval(secs => ${idle}),
      session_start.now + make_interval(secs => ${lifetime.maxSeconds}), session_start.now
    from ${parts.from} cross join lateral (select ${now} as now) session_start
    returning session_id, account_id, auth_time, organization_id, merchant_id`;
}
