import { type RawBuilder, sql } from 'kysely';
import { changeBy, insertChange } from '../audit/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import { clockCte, type Db, statementNow, untilAborted } from '../db/index.js';
import {
  resolveScope,
  type ScopeRequest,
  type ScopeRow,
  scopeNotGranted,
  toScope,
} from '../organizations/index.js';
import {
  type EndedSessions,
  endSessions,
  lockAndJudge,
  moveSession,
  type PresentedRefreshToken,
  refreshTokenInvalid,
  rotateSession,
  type SessionDeps,
  type SuccessorToken,
  type TokenSet,
  tokenSet,
} from '../sessions/index.js';

export interface RefreshSessionDeps extends SessionDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly ended: Pick<EndedSessions, 'add'>;
}

export interface RefreshSessionInput {
  readonly refreshToken: string;
  /** Absent: where the session acts already. */
  readonly scope: ScopeRequest | undefined;
}

interface RefreshRow extends Omit<ScopeRow, 'scope_granted'> {
  readonly outcome: 'rotate' | 'retry' | 'reuse' | 'refuse';
  readonly auth_time: Date;
  readonly amr: readonly string[];
  readonly successor_sealed: Buffer | null;
  readonly expires_in: number;
}

/**
 * Trades a refresh token for the session's next tokens; roles, status and scope are read anew.
 *
 * Pre-condition: the token is the session's latest, made for this caller. No Redis, one PostgreSQL
 * trip (none for garbage and for another caller's token), in which all of it is atomic:
 * - the current token rotates;
 * - its predecessor, within 30 s of the rotation, gets the same successor once more (a lost answer);
 * - any other token of the live family is reuse: the family ends, with a change event in the audit;
 * - a scope that is not granted changes nothing and uses nothing up.
 *
 * Of many calls at once with one token, one rotates and the others, which wait for its row, retry.
 * Throws `REFRESH_TOKEN_INVALID`, `SCOPE_NOT_GRANTED`.
 */
export async function refreshSession(
  deps: RefreshSessionDeps,
  call: Call,
  input: RefreshSessionInput,
): Promise<TokenSet> {
  const presented = deps.refreshTokens.read(input.refreshToken, call.caller);
  const successor = deps.refreshTokens.successorOf(presented);
  const { rows } = await refreshStatement(deps, call, presented, successor, input.scope).execute(
    untilAborted(call.signal, deps.db),
  );
  const row = rows[0];
  if (row?.outcome === 'reuse') deps.ended.add(presented.sessionId);
  if (row === undefined || row.outcome === 'reuse') throw refreshTokenInvalid();
  if (row.outcome === 'refuse') throw scopeNotGranted();
  return tokenSet(deps, {
    accountId: row.account_id,
    sessionId: presented.sessionId,
    caller: call.caller,
    authTime: row.auth_time,
    amr: row.amr,
    ...toScope(row),
    refreshToken:
      row.outcome === 'rotate'
        ? successor.token
        : lostAnswer(deps, presented, row.successor_sealed),
    refreshExpiresIn: row.expires_in,
  });
}

function lostAnswer(
  deps: RefreshSessionDeps,
  presented: PresentedRefreshToken,
  sealed: Buffer | null,
): string {
  if (sealed === null) throw new Error('a rotated session has no successor');
  return deps.refreshTokens.openSuccessor(presented, sealed);
}

function refreshStatement(
  deps: RefreshSessionDeps,
  call: Call,
  presented: PresentedRefreshToken,
  successor: SuccessorToken,
  scope: ScopeRequest | undefined,
): RawBuilder<RefreshRow> {
  const now = statementNow;
  const reuse = {
    ...changeBy(deps.random, call, 'session_ended', {
      sessionId: presented.sessionId,
      generation: presented.generation,
    }),
    outcome: 'reused',
  };
  const ending = sql`s.session_id = (select session_id from decided where outcome = 'reuse')`;
  const rotating = sql`(select * from decided where outcome = 'rotate')`;
  return sql<RefreshRow>`
    with ${clockCte(deps.clock)},
    ${scope === undefined ? sql`` : lockedOwner(presented)}
    judged as materialized (${lockAndJudge(now, presented, scope === undefined ? OWNERS : sql`owner`)}),
    placed as materialized (${resolveScope({
      who: sql`(select account_id, organization_id as preferred_organization_id,
        merchant_id as preferred_merchant_id from judged)`,
      requested: scope,
    })}),
    decided as materialized (
      select j.session_id, j.auth_time, j.amr, j.successor_sealed, j.idle_expires_at, p.account_id,
        p.organization_id, p.merchant_id, p.grants, p.platform_roles,
        case when j.verdict = 'reuse' or (p.scope_granted and ${keepsScope(scope)}) then j.verdict
          else 'refuse' end as outcome
      from judged j join placed p on p.account_id = j.account_id
    ),
    ${scope === undefined ? sql`` : scopeChosen()}
    rotated as (${rotateSession(now, successor, deps.sessionLifetime.idleSeconds, rotating)}),
    ended as (${endSessions(now, 'reused', ending)}),
    recorded as (${insertChange(now, reuse, { accountId: sql`ended.account_id`, from: sql`ended` })})
    select d.outcome, d.account_id, d.auth_time, d.amr, d.successor_sealed, d.organization_id,
      d.merchant_id, d.grants, d.platform_roles,
      floor(extract(epoch from coalesce(r.idle_expires_at, d.idle_expires_at) - ${now}))::int4 as expires_in
    from decided d left join rotated r on r.session_id = d.session_id`;
}

/** The accounts that may have sessions, to be joined to one: a refresh without a scope locks none. */
const OWNERS = sql`(select account_id, session_epoch from accounts where status = 'active')`;

/**
 * CTE: the session's account, locked because its last-chosen organization is about to change: accounts
 * come before sessions in the lock order.
 */
function lockedOwner(presented: PresentedRefreshToken): RawBuilder<unknown> {
  return sql`
    owner as materialized (
      select a.account_id, a.session_epoch, a.last_organization_id from accounts a
      where a.status = 'active' and a.account_id = (
        select account_id from sessions where session_id = ${presented.sessionId}::uuid
      ) for no key update
    ),`;
}

/**
 * Whether the session stays where it is, if no scope was asked for: one that is not granted any more is
 * refused like one that was asked for, since nobody must find themselves in another tenant unawares.
 */
function keepsScope(scope: ScopeRequest | undefined): RawBuilder<boolean> {
  if (scope !== undefined) return sql<boolean>`true`;
  return sql<boolean>`(j.organization_id is null or (j.organization_id = p.organization_id
    and j.merchant_id is not distinct from p.merchant_id))`;
}

/**
 * CTEs for a scope chosen by name: remembered for the next sign-in, and kept on a retry too.
 * Whether the account knows it already is asked of the row as locked: `a` is still the statement's
 * snapshot.
 */
function scopeChosen(): RawBuilder<unknown> {
  return sql`
    chosen as (
      update accounts a set last_organization_id = d.organization_id
      from decided d join owner o on o.account_id = d.account_id
      where a.account_id = d.account_id and d.outcome in ('rotate', 'retry')
        and o.last_organization_id is distinct from d.organization_id
      returning a.account_id
    ),
    moved as (${moveSession(sql`(select * from decided where outcome = 'retry')`)}),`;
}
