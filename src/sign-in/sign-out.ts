import { type RawBuilder, sql } from 'kysely';
import { changeBy, insertChange } from '../audit/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { type Db, sqlNow } from '../db/index.js';
import {
  type EndedSessions,
  endSessions,
  type PresentedRefreshToken,
  type RefreshTokens,
} from '../sessions/index.js';

export interface SignOutDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly refreshTokens: RefreshTokens;
  readonly ended: Pick<EndedSessions, 'add'>;
}

export interface SignOutInput {
  readonly refreshToken: string;
}

/**
 * Ends the session of a refresh token, together with its change event. Any token that the family
 * ever had will do, used up or not: whoever wants to leave may. One PostgreSQL trip (none for
 * garbage and for another caller's token). A session that has ended already answers the same, and
 * is not audited twice.
 *
 * Access tokens of the session are inactive at this process at once, at the others within two
 * seconds. Throws `REFRESH_TOKEN_INVALID`.
 */
export async function signOut(deps: SignOutDeps, call: Call, input: SignOutInput): Promise<void> {
  const presented = deps.refreshTokens.read(input.refreshToken, call.caller);
  await signOutStatement(deps, call, presented).execute(deps.db);
  deps.ended.add(presented.sessionId);
}

function signOutStatement(
  deps: SignOutDeps,
  call: Call,
  { sessionId, caller }: PresentedRefreshToken,
): RawBuilder<unknown> {
  const now = sqlNow(deps.clock);
  const event = {
    ...changeBy(deps.random, call, 'session_ended', { sessionId }),
    outcome: 'signed_out',
  };
  const which = sql`s.session_id = ${sessionId}::uuid and s.caller = ${caller}::text`;
  return sql`
    with ended as (${endSessions(now, 'signed_out', which)}),
    recorded as (${insertChange(now, event, { accountId: sql`ended.account_id`, from: sql`ended` })})
    select from ended`;
}
