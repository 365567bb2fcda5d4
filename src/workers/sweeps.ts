import { type RawBuilder, sql } from 'kysely';
import { ensureAuditPartitions } from '../audit/index.js';
import type { Clock } from '../core/clock.js';
import type { Logger } from '../core/logger.js';
import { type Db, sqlNowOnce } from '../db/index.js';
import { sweepOutbox } from '../delivery/index.js';
import type { Sweep } from './sweeping-worker.js';

/**
 * What the house forgets, and when. Each is one statement of its own: it selects at most `limit` keys
 * by an index, passes over locked rows, and deletes them. `order by` and `any(array(…))` are there for
 * the planner: it takes a third of all rows for old where there are none, and would read the table,
 * once to find them and once to join them. What each other table is bounded by: docs/operations.md.
 */
export function createSweeps(log: Logger): readonly Sweep[] {
  return [
    challenges,
    claims,
    expiredSessions,
    endedSessions,
    sessionEpochs,
    signingKeys,
    notices,
    idempotencyKeys,
    guessBudgets(),
    { name: 'outbox', sweep: (db, clock, limit) => sweepOutbox(db, sqlNowOnce(clock), limit) },
    {
      name: 'audit partitions',
      async sweep(db, clock) {
        await ensureAuditPartitions(db, clock, log);
        return 0;
      },
    },
  ];
}

/** A day after the end: until then a late answer finds a row, and so answers as it always did. */
const challenges = sweepOf(
  'challenges',
  (now, limit) => sql`
  delete from challenges where challenge_id = any(array(
    select challenge_id from challenges where expires_at < ${now} - interval '1 day'
    order by expires_at limit ${limit} for update skip locked))`,
);

/**
 * A claim lives for 7 days without a live code. Issuing a code writes the claim's row too, so that
 * a claim of which a code is being issued is locked here, or no longer fits afterwards.
 */
const claims = sweepOf(
  'claims',
  (now, limit) => sql`
  with old as materialized (
    select account_id, type, value from identifiers i
    where i.state = 'claimed' and i.claim_expires_at < ${now}
      and not exists (
        select from challenges c
        where c.account_id = i.account_id and c.purpose = 'verify' and c.used_at is null
          and c.channel = case i.type when 'phone' then 'sms' else 'email' end
          and c.expires_at > ${now})
    order by i.claim_expires_at
    limit ${limit} for update of i skip locked)
  delete from identifiers i using old
  where i.account_id = old.account_id and i.type = old.type and i.value = old.value
    and i.state = 'claimed'`,
);

/** Two sweeps, since each has an index of its own. */
const expiredSessions = sweepOf(
  'expired sessions',
  (now, limit) => sql`
  delete from sessions where session_id = any(array(
    select session_id from sessions where expires_at < ${now} - interval '30 days'
    order by expires_at limit ${limit} for update skip locked))`,
);

const endedSessions = sweepOf(
  'ended sessions',
  (now, limit) => sql`
  delete from sessions where session_id = any(array(
    select session_id from sessions
    where ended_at is not null and ended_at < ${now} - interval '30 days'
    order by ended_at limit ${limit} for update skip locked))`,
);

/**
 * They feed the set behind introspection, which looks back over the life of an access token, an hour at
 * most, and a minute. What refuses a refresh is the epoch of the account itself, which stays.
 */
const sessionEpochs = sweepOf(
  'session epochs',
  (now, limit) => sql`
  delete from session_epochs where account_id = any(array(
    select account_id from session_epochs where raised_at < ${now} - interval '1 day'
    order by raised_at limit ${limit} for update skip locked))`,
);

/** Kept for a year, to tell whose signature an old token bears. A table of a few rows. */
const signingKeys = sweepOf(
  'signing keys',
  (now, limit) => sql`
  delete from signing_keys where kid = any(array(
    select kid from signing_keys where retired_at < ${now} - interval '1 year'
    order by retired_at limit ${limit} for update skip locked))`,
);

/** Reads the whole table, which holds no more than the notices of one day. */
const notices = sweepOf(
  'notices',
  (now, limit) => sql`
  with old as materialized (
    select account_id, kind from notices where sent_at < ${now} - interval '1 day'
    limit ${limit} for update skip locked)
  delete from notices n using old where n.account_id = old.account_id and n.kind = old.kind`,
);

const idempotencyKeys = sweepOf(
  'idempotency keys',
  (now, limit) => sql`
  delete from idempotency_keys where ctid = any(array(
    select ctid from idempotency_keys where expires_at <= ${now}
    order by expires_at limit ${limit} for update skip locked))`,
);

interface BudgetKey {
  readonly subject: Buffer;
  readonly channel: string;
  readonly lane: string;
}

const BEGINNING: BudgetKey = { subject: Buffer.alloc(0), channel: '', lane: '' };

/**
 * Budgets that say nothing any more: no lock, and a long window that is over. They carry no index on
 * times, which every guess would have to keep; so this walks the table by its key, a stretch each time.
 */
function guessBudgets(): Sweep {
  let after = BEGINNING;
  return {
    name: 'guess budgets',
    async sweep(db, clock, limit) {
      const { rows } = await sql<BudgetKey>`
        with stretch as materialized (
          select ctid, subject, channel, lane, window_started_at, locked_until from guess_budgets
          where (subject, channel, lane) > (${after.subject}::bytea, ${after.channel}::text, ${after.lane}::text)
          order by subject, channel, lane limit ${limit}
        ),
        swept as (
          -- A row that was charged meanwhile stands elsewhere by now, and stays.
          delete from guess_budgets where ctid = any(array(
            select ctid from stretch
            where window_started_at <= ${sqlNowOnce(clock)} - interval '30 days'
              and coalesce(locked_until <= ${sqlNowOnce(clock)}, true)))
        )
        select subject, channel, lane from stretch order by subject, channel, lane`.execute(db);
      const last = rows.at(-1);
      after = rows.length < limit || last === undefined ? BEGINNING : last;
      // One stretch a run: what it deletes is not counted, or a long table would be walked at once.
      return 0;
    },
  };
}

function sweepOf(
  name: string,
  statement: (now: RawBuilder<Date>, limit: number) => RawBuilder<unknown>,
): Sweep {
  return {
    name,
    async sweep(db: Db, clock: Clock, limit: number): Promise<number> {
      const { numAffectedRows } = await statement(sqlNowOnce(clock), limit).execute(db);
      return Number(numAffectedRows ?? 0n);
    },
  };
}
