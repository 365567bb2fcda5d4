import { type RawBuilder, sql } from 'kysely';
import type { PresentedRefreshToken, SuccessorToken } from './refresh-token.js';
import { RETRY_SECONDS } from './session.js';

/**
 * Fragments of statements over `sessions`, to be composed into one statement per RPC. Each is the
 * body of a CTE; arguments that are `RawBuilder`s are names of CTEs, or expressions over their
 * rows.
 */

/**
 * Whether the row that goes by the name `session` still has power, given its account's present
 * epoch. Every statement that changes something for a signed-in person asks this: an access token
 * outlives its session by minutes.
 *
 * Not `=`: a session that was carried over to a new epoch a moment ago may show before the account that it is
 * compared with.
 */
export function sessionIsAlive(
  now: RawBuilder<Date>,
  session: RawBuilder<unknown>,
  sessionEpoch: RawBuilder<unknown>,
): RawBuilder<boolean> {
  return sql<boolean>`(${session}.ended_at is null and ${session}.session_epoch >= ${sessionEpoch}
    and ${session}.idle_expires_at > ${now} and ${session}.expires_at > ${now})`;
}

/**
 * Locks the live session of a token and judges the token by the row as it is once the lock is had:
 * `rotate` (the current one), `retry` (its predecessor, in time) or `reuse`. No row: the session
 * has no power, or `owner` (`account_id`, `session_epoch`; a CTE, or a subquery in parentheses) has
 * none for it.
 *
 * The join pulls from a CTE before it reaches the session: what locks the account in there does so
 * first, as the lock order asks.
 */
export function lockAndJudge(
  now: RawBuilder<Date>,
  presented: PresentedRefreshToken,
  owner: RawBuilder<unknown>,
): RawBuilder<unknown> {
  const { sessionId, caller, generation, hash } = presented;
  // A successor that was used makes this token a grandparent: its hash is no longer the
  // predecessor's.
  return sql`
    select s.session_id, s.account_id, s.auth_time, s.amr, s.organization_id, s.merchant_id,
      s.successor_sealed, s.idle_expires_at,
      case
        when s.generation = ${generation}::int8 and s.token_hash = ${hash}::bytea then 'rotate'
        when s.generation = ${generation}::int8 + 1 and s.predecessor_hash = ${hash}::bytea
          and s.rotated_at > ${now} - make_interval(secs => ${RETRY_SECONDS}) then 'retry'
        else 'reuse'
      end as verdict
    from ${owner} owner join sessions s on s.account_id = owner.account_id
    where s.session_id = ${sessionId}::uuid and s.caller = ${caller}::text
      and ${sessionIsAlive(now, sql`s`, sql`owner.session_epoch`)}
    for update of s`;
}

/**
 * Puts the successor in the place of the current token. `chosen` gives `session_id` and the scope
 * (`organization_id`, `merchant_id`) for each session to rotate, and has it locked.
 */
export function rotateSession(
  now: RawBuilder<Date>,
  successor: SuccessorToken,
  idleSeconds: number,
  chosen: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`
    update sessions s set
      generation = s.generation + 1,
      predecessor_hash = s.token_hash,
      token_hash = ${successor.hash}::bytea,
      successor_sealed = ${successor.sealed}::bytea,
      rotated_at = ${now},
      idle_expires_at = least(${now} + make_interval(secs => ${idleSeconds}), s.expires_at),
      organization_id = chosen.organization_id,
      merchant_id = chosen.merchant_id
    from ${chosen} chosen
    where s.session_id = chosen.session_id
    returning s.session_id, s.idle_expires_at`;
}

/** Lets a session act elsewhere from now on. `chosen` as for `rotateSession`. */
export function moveSession(chosen: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    update sessions s set organization_id = chosen.organization_id, merchant_id = chosen.merchant_id
    from ${chosen} chosen
    where s.session_id = chosen.session_id
    returning s.session_id`;
}

export type EndReason = 'signed_out' | 'reused' | 'revoked';

/** Ends the sessions that `which` tells (a condition on `s`) and that have not ended yet. */
export function endSessions(
  now: RawBuilder<Date>,
  reason: EndReason,
  which: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`
    update sessions s set ended_at = ${now}, end_reason = ${reason}::text, successor_sealed = null
    where s.ended_at is null and ${which}
    returning s.session_id, s.account_id`;
}
