import { type RawBuilder, sql } from 'kysely';
import { changeBy, insertChange } from '../audit/index.js';
import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { clockCte, type Db, statementNow } from '../db/index.js';
import type { Account } from './account.js';
import { liveSession } from './account-store.js';

/** What an update writes beside the account's own row. */
export interface AccountUpdate {
  /** CTEs, each with its trailing comma, that act for each row of the CTE `gate` (column `account_id`). */
  readonly steps: RawBuilder<unknown>;
  readonly audit: { readonly action: string; readonly fields: readonly string[] };
}

const now = statementNow;

/**
 * Makes the update if the account is as it was read: nobody changed it between the two. `updatedAt` is
 * undefined where somebody did, and nothing was written; the whole answer is where the session has ended.
 */
export async function updateAccount(
  deps: { readonly db: Db; readonly clock: Clock; readonly random: Random },
  call: PersonCall,
  { revision }: Account,
  { steps, audit }: AccountUpdate,
): Promise<{ readonly updatedAt: Date | undefined } | undefined> {
  const event = changeBy(deps.random, call, audit.action, { fields: audit.fields });
  const { rows } = await sql<{ updated_at: Date | null }>`
    with ${clockCte(deps.clock)},
    account as materialized (
      select a.account_id, a.revision from accounts a where ${liveSession(now, call.person)} for no key update of a
    ),
    gate as materialized (select account_id from account where revision = ${revision}::int),
    ${steps}
    touched as (update accounts a set revision = a.revision + 1, updated_at = ${now} from gate g
      where a.account_id = g.account_id returning a.account_id, a.updated_at),
    audited as (${insertChange(now, event, { accountId: sql`touched.account_id`, from: sql`touched` })})
    select t.updated_at from account left join touched t on true`.execute(deps.db);
  return rows[0] && { updatedAt: rows[0].updated_at ?? undefined };
}
