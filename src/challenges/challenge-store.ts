import { type RawBuilder, sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import { clockCte, type Db, sqlNow, statementNow } from '../db/index.js';
import type { ChallengePurpose, CodePolicy, DrawnCode } from './code.js';
import {
  type BudgetPolicy,
  CODE_WINDOW_FAILURES,
  chargeBudgets,
  isClosed,
  isShut,
  laneOf,
  waitSeconds,
} from './guess-budget.js';
import type { ChargedGuess } from './judge-guess.js';

const LIMIT = sql`${sql.lit(CODE_WINDOW_FAILURES)}`;

/**
 * What a signed-in send writes into the slot of its account and channel, whichever of the two codes the
 * budgets ask for.
 */
export interface SlotRequest {
  /** The slot's id if this send is its first. */
  readonly candidateId: string;
  readonly channel: Channel;
  readonly caller: string;
  readonly addressSubject: Buffer;
  readonly destinationSealed: Buffer;
  readonly short: DrawnCode;
  readonly long: DrawnCode;
}

/**
 * CTE body: opens the slot or rotates the code in it. `from` gives `account_id`, `proof_epoch` and
 * `long_code`. Returns no row while the last send is cooling down: supersession and the hard cooldown
 * are one statement. A slot keeps its id until the account's proof epoch rises.
 */
export function openSlot(
  now: RawBuilder<Date>,
  slot: SlotRequest,
  policy: CodePolicy,
  from: RawBuilder<unknown>,
): RawBuilder<unknown> {
  const digest = (row: RawBuilder<unknown>) =>
    sql`(case when ${row}.long_code then ${slot.long.digest}::bytea else ${slot.short.digest}::bytea end)`;
  // Whoever learnt the handle before the account's codes died must not hold the next ones too.
  const id = sql`(case when c.proof_epoch = excluded.proof_epoch then c.challenge_id else excluded.challenge_id end)`;
  return sql`
    insert into challenges as c (challenge_id, account_id, purpose, channel, caller, address_subject,
      destination_sealed, code_hash, long_code, proof_epoch, issued_at, expires_at, resend_at, used_at)
    select ${slot.candidateId}::uuid, f.account_id, 'verify', ${slot.channel}::text,
      ${slot.caller}::text, ${slot.addressSubject}::bytea, ${slot.destinationSealed}::bytea,
      sha256(${digest(sql`f`)} || uuid_send(${slot.candidateId}::uuid)), f.long_code, f.proof_epoch, ${now},
      ${now} + make_interval(secs => ${policy.ttlSeconds}::float8),
      ${now} + make_interval(secs => ${policy.cooldownSeconds}::float8), null
    from ${from} f
    on conflict (account_id, channel) where purpose = 'verify' do update set
      caller = excluded.caller, address_subject = excluded.address_subject,
      destination_sealed = excluded.destination_sealed,
      challenge_id = ${id}, code_hash = sha256(${digest(sql`excluded`)} || uuid_send(${id})),
      long_code = excluded.long_code, proof_epoch = excluded.proof_epoch, issued_at = excluded.issued_at,
      expires_at = excluded.expires_at, resend_at = excluded.resend_at, used_at = null
    where c.resend_at <= excluded.issued_at
    returning c.challenge_id, c.account_id, c.long_code, c.issued_at, c.expires_at, c.resend_at`;
}

/**
 * CTE body, one row: how the budgets of a send stand. `account_wait`: seconds until the signed-in
 * person's own row opens, where a lock shut it. `needs_long_code`: a row is shut in a lane in which the
 * code may be typed, so that an ordinary one might not be judged.
 */
export function budgetsOfSend(
  now: RawBuilder<Date>,
  channel: Channel,
  subjects: { account: RawBuilder<unknown> | undefined; address: Buffer },
): RawBuilder<unknown> {
  const { account = sql`null::bytea` } = subjects;
  const at = sql<Date>`m.now`;
  return sql`
    select max(case when g.own and not ${isClosed(at, LIMIT)} then ${waitSeconds(at, LIMIT)} end) as account_wait,
      coalesce(bool_or(${isClosed(at, LIMIT)} or (not g.own and ${isShut(at, LIMIT)})), false) as needs_long_code
    from ${momentOnce(now)} m cross join (
      select b.*, (b.subject = ${account} and b.lane = 'session') is true as own from guess_budgets b
      where b.subject in (${account}, ${subjects.address}::bytea) and b.channel = ${channel}::text
        and b.lane in ('anonymous', 'session')
    ) g`;
}

/**
 * What stands in a `from` and has the time as `now`. A budget row is compared with it in many places, and
 * each would have a plan of its own; `offset 0` keeps it from being put back there.
 */
function momentOnce(now: RawBuilder<Date>): RawBuilder<unknown> {
  return sql`(select ${now} as now offset 0)`;
}

/** Which challenge a guess is at: the one whose handle is shown, or the person's own slot. */
export interface GuessTarget {
  readonly challengeId: string | undefined;
  /** The signed-in account; another account's challenge is then foreign. */
  readonly accountId: string | undefined;
  readonly purpose: ChallengePurpose;
  /** Undefined: whichever it is. */
  readonly channel: Channel | undefined;
  readonly caller: string;
}

export interface LiveChallenge<Context = unknown> extends ChargedGuess {
  readonly challengeId: string;
  /** Undefined: no account stands behind it; a decoy, or the sign-in of a number that nobody has. */
  readonly accountId: string | undefined;
  /** What its budgets count by. */
  readonly channel: Channel;
  /** How its code went out. */
  readonly deliveredBy: Channel;
  readonly codeHash: Buffer;
  readonly destinationSealed: Buffer;
  readonly addressSubject: Buffer;
  /** What the caller of `chargeGuess` asked to be read along. */
  readonly context: Context;
}

interface GuessRow<Context> {
  context: Context;
  challenge_id: string;
  account_id: string | null;
  channel: Channel;
  delivered_by: Channel;
  code_hash: Buffer;
  destination_sealed: Buffer;
  address_subject: Buffer;
  long_code: boolean;
  account_failures: number | null;
  account_wait: number | null;
  account_dead: boolean;
  address_failures: number | null;
  address_wait: number | null;
  address_dead: boolean;
}

/**
 * Finds the live challenge and charges the guess to the account's row and the address's row, in one
 * statement that commits by itself (rule 2). Undefined: there is no live challenge, and nothing was
 * charged. Of the challenge `c`, `epoch` renders its account's proof epoch (null where it may not be
 * used) and `context` whatever else the caller wants to know in the same trip.
 *
 * Where no account stands behind the challenge, a row that stands in for the account's is charged: the same
 * work, and nobody's budget.
 */
export async function chargeGuess<Context>(
  db: Db,
  clock: Clock,
  target: GuessTarget,
  policy: BudgetPolicy,
  parts: { epoch: RawBuilder<number | null>; context: RawBuilder<Context> },
): Promise<LiveChallenge<Context> | undefined> {
  const lane = laneOf(target);
  const now = statementNow;
  const { rows } = await sql<GuessRow<Context>>`
    with ${clockCte(clock)},
    challenge as materialized (
      select c.* from challenges c
      where ${whichChallenge(target)} and c.purpose = ${sql.lit(target.purpose)}
        and ${isOfChannel(target)} and c.caller = ${target.caller}::text
        and c.used_at is null and c.expires_at > ${now}
        and (c.account_id is null or c.proof_epoch = ${parts.epoch})
    ),
    seen as materialized (
      select s.kind, s.subject, s.channel, m.now, ${waitSeconds(sql`m.now`, LIMIT)} as wait,
        coalesce(g.locked_at >= s.issued_at, false) and not s.long_code as dead
      from (
        select 'account' as kind, ${ACCOUNT_SUBJECT} as subject, channel, issued_at, long_code from challenge
        union all select 'address', address_subject, channel, issued_at, long_code from challenge
      ) s cross join ${momentOnce(now)} m
      left join guess_budgets g
        on g.subject = s.subject and g.channel = s.channel and g.lane = ${lane}::text
    ),
    chargeable as materialized (
      select subject, channel, ${LIMIT} as window_limit, now from seen
      where not exists (select from seen where dead
        ${lane === 'session' ? sql`` : sql`and kind = 'address'`})
    ),
    charged as (${chargeBudgets(sql`s.now`, { channel: sql`s.channel`, lane }, policy, sql`select * from chargeable`)})
    select c.challenge_id, c.account_id, c.channel, coalesce(c.delivered_by, c.channel) as delivered_by, c.code_hash, c.destination_sealed, c.address_subject, c.long_code,
      ac.failures as account_failures, a.wait as account_wait, a.dead as account_dead,
      dc.failures as address_failures, d.wait as address_wait, d.dead as address_dead, ${parts.context} as context
    from challenge c
    join seen a on a.kind = 'account' left join charged ac on ac.subject = a.subject
    join seen d on d.kind = 'address' left join charged dc on dc.subject = d.subject`.execute(db);
  return rows[0] && toLiveChallenge(rows[0]);
}

/**
 * CTE body: uses the challenge up, exactly once, while everything it was issued for still holds (rule 4).
 * `account`: the locked row of its account; undefined where none stands behind it. `after`: a CTE that
 * locks what comes before challenges in the lock order. `when`: a CTE without a row keeps it from being used.
 * `set`: what else the row says from then on.
 */
export function redeemChallenge(
  clock: Clock,
  guess: LiveChallenge,
  target: GuessTarget,
  parts: {
    account: RawBuilder<unknown> | undefined;
    after: RawBuilder<unknown>;
    when?: RawBuilder<unknown>;
    set?: RawBuilder<unknown>;
  },
): RawBuilder<unknown> {
  // Not the statement's "now": the account's lock may have been waited for until the code expired.
  const now = sqlNow(clock);
  const whose =
    parts.account === undefined
      ? { from: sql``, holds: sql`c.account_id is null` }
      : {
          from: sql`from ${parts.account} a`,
          holds: sql`c.account_id = a.account_id and c.proof_epoch = a.proof_epoch`,
        };
  const set = parts.set === undefined ? sql`` : sql`, ${parts.set}`;
  const when = parts.when === undefined ? sql`` : sql`and exists (select from ${parts.when})`;
  return sql`update challenges c set used_at = ${now}${set} ${whose.from}
    where c.challenge_id = ${guess.challengeId}::uuid and ${whose.holds}
      and c.purpose = ${target.purpose}::text and c.channel = ${guess.channel}::text
      and c.caller = ${target.caller}::text
      and c.code_hash = ${guess.codeHash}::bytea and c.used_at is null and c.expires_at > ${now}
      and (select count(*) from ${parts.after}) >= 0 ${when}
    returning c.challenge_id, c.account_id`;
}

const isOfChannel = ({ channel }: GuessTarget): RawBuilder<boolean> =>
  channel === undefined ? sql<boolean>`true` : sql<boolean>`c.channel = ${channel}::text`;

/** What is charged in an account's place where none stands behind a challenge: the same work, and nobody's budget. */
export function standInSubject(addressSubject: RawBuilder<unknown>): RawBuilder<Buffer> {
  return sql<Buffer>`sha256(${addressSubject})`;
}

/** The subject of a challenge's account, where the row is at hand. */
const ACCOUNT_SUBJECT = sql`coalesce(uuid_send(account_id), ${standInSubject(sql`address_subject`)})`;

/** What the guess was charged to beside the address: the account, or what stood in for one. */
export function accountSubject({
  accountId,
  addressSubject,
}: Pick<LiveChallenge, 'accountId' | 'addressSubject'>): RawBuilder<Buffer> {
  return accountId === undefined
    ? standInSubject(sql`${addressSubject}::bytea`)
    : sql<Buffer>`uuid_send(${accountId}::uuid)`;
}

/** The rows that a guess may have been charged to, as `v (subject, charged)`, for a `from`. */
export function guessSubjects(
  guess: Pick<LiveChallenge, 'accountId' | 'addressSubject' | 'account' | 'address'>,
): RawBuilder<unknown> {
  return sql`(values (${accountSubject(guess)}, ${guess.account.charged}::boolean),
    (${guess.addressSubject}::bytea, ${guess.address.charged}::boolean)) v (subject, charged)`;
}

function whichChallenge(target: GuessTarget): RawBuilder<boolean> {
  const byId = sql<boolean>`c.challenge_id = ${target.challengeId ?? null}::uuid`;
  const byAccount = sql<boolean>`c.account_id = ${target.accountId ?? null}::uuid`;
  if (target.challengeId === undefined) return byAccount;
  return target.accountId === undefined ? byId : sql<boolean>`${byId} and ${byAccount}`;
}

function toLiveChallenge<Context>(row: GuessRow<Context>): LiveChallenge<Context> {
  return {
    challengeId: row.challenge_id,
    accountId: row.account_id ?? undefined,
    channel: row.channel,
    deliveredBy: row.delivered_by,
    codeHash: row.code_hash,
    destinationSealed: row.destination_sealed,
    addressSubject: row.address_subject,
    longCode: row.long_code,
    context: row.context,
    account: chargedRow(row.account_failures, row.account_wait, row.account_dead),
    address: chargedRow(row.address_failures, row.address_wait, row.address_dead),
  };
}

function chargedRow(failures: number | null, wait: number | null, dead: boolean) {
  return { charged: failures !== null, failures: failures ?? 0, waitSeconds: wait, dead };
}
