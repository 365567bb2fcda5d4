import { type RawBuilder, sql } from 'kysely';
import {
  type AccountContacts,
  areNoticed,
  contactsOf,
  hasWayIn,
  type Identifier,
  insertNotices,
  type Notices,
  ownIdentifiers,
  typeOfChannel,
} from '../accounts/index.js';
import { changeBy, insertChange } from '../audit/index.js';
import { liftBudgets } from '../challenges/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import type { Random } from '../core/ids.js';
import { clockCte, type Db, sqlNow, statementNow, type Tx, untilAborted } from '../db/index.js';
import type { PasswordHash } from '../passwords/index.js';
import { type RevokedAccountRow, recordRaisedEpoch, revokedAccount } from '../sessions/index.js';
import type { PresentedResetToken } from './reset-token.js';

interface StoreDeps {
  readonly db: Db;
  readonly clock: Clock;
}

/** What a good token leads to. */
export interface PendingReset {
  readonly accountId: string;
  readonly displayName: string;
  readonly identifiers: readonly Pick<Identifier, 'type' | 'value' | 'state'>[];
  /** The address that the code went to. */
  readonly deliveredBy: Channel;
  readonly destinationSealed: Buffer;
}

/** Undefined: the token is not good, or not any more. Uses nothing up. */
export async function readReset(
  { db, clock }: StoreDeps,
  call: Call,
  token: PresentedResetToken,
): Promise<PendingReset | undefined> {
  const { rows } = await sql<PendingReset>`
    select a.account_id as "accountId", p.display_name as "displayName",
      (select coalesce(jsonb_agg(jsonb_build_object('type', i.type, 'value', i.value, 'state', i.state)), '[]')
        from identifiers i where i.account_id = a.account_id) as identifiers,
      c.delivered_by as "deliveredBy", c.destination_sealed as "destinationSealed"
    from challenges c
    join accounts a on a.account_id = c.account_id and a.proof_epoch = c.proof_epoch and a.status = 'active'
    join profiles p on p.account_id = a.account_id
    where ${isGood(sqlNow(clock), token, call)}`.execute(untilAborted(call.signal, db));
  return rows[0];
}

/** Condition on a challenge `c`: this token stands in it. */
function isGood(
  now: RawBuilder<Date>,
  token: PresentedResetToken,
  { caller }: Call,
): RawBuilder<boolean> {
  return sql<boolean>`(c.challenge_id = ${token.challengeId}::uuid and c.purpose = 'reset'
    and c.caller = ${caller}::text and c.reset_token_hash = ${token.hash}::bytea and c.reset_expires_at > ${now})`;
}

export interface Reset {
  readonly accountId: string;
  readonly deliveredBy: Channel;
  readonly destination: string;
  readonly password: PasswordHash;
  /** What sign-in counts guesses at the account's own identifiers by. */
  readonly typedSubjects: readonly Buffer[];
  readonly notices: Notices;
}

export interface DoneReset {
  /** False: the account was told of another reset within the hour. */
  readonly noticed: boolean;
  readonly revoked: RevokedAccountRow;
}

/**
 * Locks the account, and only then reads whom a reset has to tell. Undefined: there is no such account. Statements
 * of their own: one that waited for the lock would not see what was proven or claimed meanwhile, and would leave it.
 */
export async function lockForReset(
  tx: Tx,
  accountId: string,
): Promise<AccountContacts | undefined> {
  const id = sql`${accountId}::uuid`;
  await sql`select from accounts a where a.account_id = ${id} for no key update`.execute(tx);
  const { rows } = await sql<{ contacts: AccountContacts | null }>`
    select ${contactsOf(id)} as contacts`.execute(tx);
  return rows[0]?.contacts ?? undefined;
}

/**
 * The whole reset of an account that this transaction has locked. Undefined: it was too late, and nothing is
 * changed.
 */
export async function runReset(
  tx: Tx,
  deps: { readonly clock: Clock; readonly random: Random },
  call: Call,
  token: PresentedResetToken,
  reset: Reset,
): Promise<DoneReset | undefined> {
  const now = statementNow;
  const steps = demotions(now, reset);
  const event = changeBy(deps.random, call, 'password_reset', { channel: reset.deliveredBy });
  const { rows } = await sql<RevokedAccountRow & { noticed: boolean }>`
    with ${clockCte(deps.clock)},
    account as materialized (
      select a.account_id, a.proof_epoch from accounts a
      where a.account_id = ${reset.accountId}::uuid and a.status = 'active' for no key update
    ),
    budgets as materialized (${everyBudget(reset)}),
    challenge as materialized (
      select c.challenge_id, c.issued_at, a.account_id
      from account a join challenges c on c.account_id = a.account_id and c.proof_epoch = a.proof_epoch
      where ${isGood(sqlNow(deps.clock), token, call)} and (select count(*) from budgets) >= 0
      for no key update of c
    ),
    own as materialized (${ownIdentifiers(sql`challenge`)}),
    judged as materialized (${steps.judged}),
    consumed as (
      update challenges c set reset_token_hash = null, reset_expires_at = null from challenge k
      where c.challenge_id = k.challenge_id
        and exists (select from judged j where j.proof and j.state in ('verified', 'contact')
          and j.created_at <= k.issued_at)
      returning c.account_id
    ),
    raised as (
      update accounts a set password_hash = ${reset.password.hash}::text,
        password_pepper = ${reset.password.pepper}::text, proof_epoch = a.proof_epoch + 1,
        session_epoch = a.session_epoch + 1, revision = a.revision + 1, updated_at = ${now}
      from consumed where a.account_id = consumed.account_id
      returning a.account_id, a.session_epoch, ${sqlNow(deps.clock)} as raised_at
    ),
    recorded as (${recordRaisedEpoch(sql`r.raised_at`, sql`raised`)}),
    lifted as (${liftBudgets(sql`(select b.* from budgets b, raised)`)}),
    fallen as (${steps.fallen}),
    lapsed as (${steps.lapsed}),
    enabled as (${steps.enabled}),
    ${insertNotices(now, reset.notices, sql`raised`)}
    audited as (${insertChange(now, event, { accountId: sql`raised.account_id`, from: sql`raised` })})
    select ${revokedAccount}, ${areNoticed(reset.notices)} as noticed from raised e`.execute(tx);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { noticed, ...revoked } = row;
  return { noticed, revoked };
}

/** CTE body: every budget row of the account and of its own identifiers, locked in key order. */
function everyBudget({ accountId, typedSubjects }: Reset): RawBuilder<unknown> {
  return sql`
    select b.subject, b.channel, b.lane from guess_budgets b
    where b.subject = any(${typedSubjects}::bytea[] || uuid_send(${accountId}::uuid))
      and (select count(*) from account) > 0
    order by b.subject, b.channel, b.lane for update`;
}

/** A channel that was proven within this time may be a thief's, who had the account when it was proven. */
const LATELY = sql.raw("interval '30 days'");

/**
 * CTE bodies of what a reset does to the identifiers `own` of the account `raised`:
 *
 * - `judged`: which of them is the `proof` (the address that the code went to), which `lapses`, which `falls`.
 *   A contact cannot lapse, since a lapsed address is held against others: it falls.
 * - `enabled`: the username, if nothing else that is left signs in. Recovery is no way in.
 */
function demotions(
  now: RawBuilder<Date>,
  { deliveredBy, destination }: Reset,
): Record<'judged' | 'fallen' | 'lapsed' | 'enabled', RawBuilder<unknown>> {
  const which = sql`i.account_id = r.account_id and i.type = j.type and i.value = j.value`;
  return {
    judged: sql`
      select p.*, p.state in ('verified', 'lapsed') and p.doubtful as lapses,
        p.state = 'claimed' or (p.state = 'contact' and p.doubtful) as falls
      from (
        select o.*, m.proof, o.type <> 'username' and not m.proof
          and coalesce(o.verified_at > ${now} - ${LATELY} or o.proven_by = 'operator', false) as doubtful
        from own o cross join lateral (
          select o.type = ${typeOfChannel(deliveredBy)}::text and o.value = ${destination}::text as proof) m
      ) p`,
    fallen: sql`delete from identifiers i using judged j, raised r where ${which} and j.falls`,
    lapsed: sql`update identifiers i set state = 'lapsed', sign_in_enabled = false
      from judged j, raised r where ${which} and j.lapses`,
    enabled: sql`update identifiers i set sign_in_enabled = true, kept_demoted = false
      from judged j, raised r where ${which} and j.type = 'username' and j.state = 'verified'
        and not ${hasWayIn(sql`true`, sql`(select * from judged where not lapses)`)}`,
  };
}
