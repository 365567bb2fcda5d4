import { type RawBuilder, sql } from 'kysely';
import { changeBy, insertChange } from '../audit/index.js';
import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import type { Random } from '../core/ids.js';
import { clockCte, type Db, statementNow } from '../db/index.js';
import type { Account } from './account.js';
import { authenticatedLately, liveSession } from './account-store.js';
import { areNoticed, insertNotices, type Notices } from './notices.js';
import { hasWayIn, ownIdentifiers } from './ways-in.js';

/**
 * What a change does to the identifiers of an account. Conditions are on a row `i` of `identifiers`; writing
 * steps act for each row of the CTE `judged` (column `account_id`): one, or none.
 */
export interface IdentifierChange {
  /** Condition: a row of the account that signs in no longer, or is gone. */
  readonly givesUp: RawBuilder<boolean>;
  /** Condition on a row `g` (`account_id`): it cannot be had. */
  readonly isTaken?: RawBuilder<boolean>;
  /** CTEs, each with its trailing comma. */
  readonly steps: RawBuilder<unknown>;
  /** Whose waiting code dies, unless it was sent to the address that `spares` stands for. */
  readonly kills?: { readonly channel: Channel; readonly spares?: Buffer };
  readonly audit: { readonly action: string; readonly type: string };
}

export interface ChangeOutcome {
  /** The account is still as it was read; where not, nothing was judged. */
  readonly current: boolean;
  readonly authenticatedLately: boolean;
  readonly taken: boolean;
  /** Undefined: nothing was done. */
  readonly updatedAt: Date | undefined;
  readonly noticed: boolean;
}

interface OutcomeRow {
  current: boolean;
  lately: boolean;
  taken: boolean;
  updated_at: Date | null;
  noticed: boolean;
}

const now = statementNow;

/**
 * Makes the change, if the account is as it was read, the person authenticated lately and a way in is left.
 * That is judged by rows that are locked, so that of two changes at once the second sees the first.
 * Undefined: the session has ended.
 */
export async function changeIdentifiers(
  deps: { readonly db: Db; readonly clock: Clock; readonly random: Random },
  call: PersonCall,
  account: Account,
  change: IdentifierChange,
  notices: Notices | undefined,
): Promise<ChangeOutcome | undefined> {
  const { rows } = await sql<OutcomeRow>`
    with ${clockCte(deps.clock)},
    account as materialized (
      select a.account_id, a.revision = ${account.revision}::int as current,
        a.password_hash is not null as has_password, ${authenticatedLately(now, call.person)} as lately
      from accounts a where ${liveSession(now, call.person)} for no key update of a
    ),
    gate as materialized (
      select g.account_id, g.has_password, ${change.isTaken ?? sql`false`} as taken
      from account g where g.current and g.lately
    ),
    slot as materialized (${waitingSlot(change.kills)}),
    own as materialized (${ownIdentifiers(sql`(select account_id from gate where (select count(*) from slot) >= 0)`)}),
    given_up as materialized (select i.type, i.value, i.sign_in_enabled from own i where ${change.givesUp}),
    left_over as materialized (
      select i.* from own i where (i.type, i.value) not in (select type, value from given_up)
    ),
    judged as materialized (
      select g.account_id from gate g where not g.taken
        and (not exists (select from given_up where sign_in_enabled) or ${hasWayIn(sql`g.has_password`, sql`left_over`)})
    ),
    ended as (update challenges c set used_at = ${now} from slot, judged
      where c.challenge_id = slot.challenge_id),
    ${change.steps}
    touched as (update accounts a set revision = a.revision + 1, updated_at = ${now} from judged j
      where a.account_id = j.account_id returning a.updated_at),
    ${insertNotices(now, notices, sql`judged`)}
    audited as (${insertChange(
      now,
      changeBy(deps.random, call, change.audit.action, { type: change.audit.type }),
      { accountId: sql`judged.account_id`, from: sql`judged` },
    )})
    select a.current, a.lately, coalesce(g.taken, false) as taken, t.updated_at,
      ${areNoticed(notices)} as noticed
    from account a left join gate g on true left join touched t on true`.execute(deps.db);
  const [row] = rows;
  if (row === undefined) return undefined;
  return {
    current: row.current,
    authenticatedLately: row.lately,
    taken: row.taken,
    updatedAt: row.updated_at ?? undefined,
    noticed: row.noticed,
  };
}

/** Locked before the identifiers, and ended after they were judged. */
function waitingSlot(kills: IdentifierChange['kills']): RawBuilder<unknown> {
  if (kills === undefined) return sql`select null::uuid as challenge_id where false`;
  const spared =
    kills.spares === undefined ? sql`` : sql`and c.address_subject <> ${kills.spares}::bytea`;
  return sql`select c.challenge_id from gate g join challenges c on c.account_id = g.account_id
    where c.purpose = 'verify' and c.channel = ${kills.channel}::text and c.used_at is null ${spared}
    for update of c`;
}
