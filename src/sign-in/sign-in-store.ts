import { type RawBuilder, sql } from 'kysely';
import { findHandle } from '../accounts/index.js';
import { changeBy, insertChange } from '../audit/index.js';
import {
  type BudgetPolicy,
  chargeBudgets,
  clearBudgets,
  type GuessKey,
  lockBudgets,
  PASSWORD_WINDOW_FAILURES,
  refundBudgets,
  standInSubject,
  waitSeconds,
} from '../challenges/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { IdentifierType } from '../core/contact.js';
import { clockCte, type Db, statementNow } from '../db/index.js';
import {
  type GrantedScope,
  resolveScope,
  type ScopeRequest,
  type ScopeRow,
  toScope,
} from '../organizations/index.js';
import type { PasswordHash } from '../passwords/index.js';
import { insertSession, type PreparedSession, type SessionDeps } from '../sessions/index.js';

/** Passwords are guessed at by people who are not signed in. */
const KEY: GuessKey = { channel: 'password', lane: 'anonymous' };
const now = statementNow;
/** What was typed has no long window: for an account without another way back it would never open. */
const NO_LIMIT = sql`2147483647`;

/** What somebody typed to sign in with, and what its budget row is known by. */
export interface TypedIdentifier {
  readonly type: IdentifierType | undefined;
  readonly value: string;
  readonly subject: Buffer;
}

export interface PasswordGuess {
  readonly account:
    | {
        readonly accountId: string;
        readonly proofEpoch: number;
        readonly sessionEpoch: number;
        readonly password: PasswordHash | undefined;
      }
    | undefined;
  /** Set where what was typed is locked, for whoever types it. */
  readonly lockedSeconds: number | undefined;
  /**
   * Which rows the guess was counted in, the account's or what stands in for it. The account's own hash may be
   * compared where both were open.
   */
  readonly charged: { readonly typed: boolean; readonly account: boolean };
}

interface GuessRow {
  account_id: string | null;
  proof_epoch: number;
  session_epoch: number;
  password_hash: string | null;
  password_pepper: string | null;
  typed_charged: boolean;
  account_charged: boolean;
  typed_wait: number | null;
}

/**
 * Finds the account and charges the guess, in one statement that commits by itself: to what was typed,
 * known or not (rule 8), and to the account, or to a row that stands in for one (rule 9). While what was
 * typed is shut nothing is charged, to known and unknown alike: guesses that cannot be judged must not
 * shut the account's other ways in.
 */
export async function chargePassword(
  deps: { readonly db: Db; readonly clock: Clock; readonly passwordBudget: BudgetPolicy },
  typed: TypedIdentifier,
): Promise<PasswordGuess> {
  const { rows } = await sql<GuessRow>`
    with ${clockCte(deps.clock)},
    handle as materialized (${findHandle(typed.type, typed.value)}),
    typed as materialized (
      select ${waitSeconds(sql`t.now`, NO_LIMIT)} as wait from t cross join guess_budgets g
      where g.subject = ${typed.subject}::bytea and g.channel = 'password' and g.lane = 'anonymous'
    ),
    chargeable as materialized (
      select s.*, t.now from (
      select ${typed.subject}::bytea as subject, null::int as window_limit
      union all
      select coalesce(uuid_send(h.account_id), ${standIn(typed)}), ${windowLimitOf(sql`h.account_id`)}
      from t left join handle h on true
      ) s cross join t where not exists (select from typed where wait is not null)
    ),
    charged as (${chargeBudgets(sql`s.now`, { channel: sql`'password'`, lane: KEY.lane }, deps.passwordBudget, sql`select * from chargeable`)})
    select h.account_id, h.proof_epoch, h.session_epoch, h.password_hash, h.password_pepper,
      exists (select from charged where subject = ${typed.subject}::bytea) as typed_charged,
      exists (select from charged where subject = coalesce(uuid_send(h.account_id), ${standIn(typed)})) as account_charged,
      (select wait from typed) as typed_wait
    from t left join handle h on true`.execute(deps.db);
  const [row] = rows;
  if (row === undefined) throw new Error('the statement always returns one row');
  return toGuess(row, deps.passwordBudget);
}

/** What a guess is charged to beside what was typed, where that is nobody's. */
const standIn = ({ subject }: TypedIdentifier): RawBuilder<unknown> =>
  standInSubject(sql`${subject}::bytea`);

/**
 * How many wrong passwords the account's row takes in a long window, which closes only where another way back
 * exists: for an account without a proven channel waits just grow, and there is no limit (null).
 */
export function windowLimitOf(accountId: RawBuilder<unknown>): RawBuilder<number | null> {
  return sql<number | null>`case when exists (
        select from identifiers i where i.account_id = ${accountId} and i.type in ('email', 'phone') and i.state = 'verified'
      ) then ${sql.lit(PASSWORD_WINDOW_FAILURES)} end`;
}

function toGuess(row: GuessRow, policy: BudgetPolicy): PasswordGuess {
  const password =
    row.password_hash === null
      ? undefined
      : { hash: row.password_hash, pepper: row.password_pepper };
  return {
    account:
      row.account_id === null
        ? undefined
        : {
            accountId: row.account_id,
            proofEpoch: row.proof_epoch,
            sessionEpoch: row.session_epoch,
            password,
          },
    lockedSeconds: row.typed_charged
      ? undefined
      : Math.max(1, row.typed_wait ?? policy.lockoutSeconds),
    charged: { typed: row.typed_charged, account: row.account_charged },
  };
}

/** Takes a charge back whose guess was shed before any hash was computed: nothing was learnt by it. */
export async function refundPassword(
  deps: { readonly db: Db; readonly passwordBudget: BudgetPolicy },
  typed: TypedIdentifier,
  { account, charged }: PasswordGuess,
): Promise<void> {
  await refundBudgets(KEY, deps.passwordBudget, [
    ...(charged.typed ? [sql`${typed.subject}::bytea`] : []),
    ...(charged.account
      ? [account === undefined ? standIn(typed) : sql`uuid_send(${account.accountId}::uuid)`]
      : []),
  ])?.execute(deps.db);
}

export interface OpenedSession {
  /** Undefined: the password was right, and the scope is not granted. */
  readonly grant: (GrantedScope & { readonly authTime: Date }) | undefined;
}

interface OpenedRow extends ScopeRow {
  auth_time: Date | null;
}

/**
 * What a proven password does: clears the budgets, replaces an outdated hash, begins the session.
 * Undefined: since the guess was charged the account was blocked, its password changed (which raises its
 * epochs), or the identifier stopped signing in. One that stops while this waits for the account's lock counts
 * as later: that ends no session either.
 */
export async function openSession(
  deps: SessionDeps & { readonly db: Db; readonly clock: Clock },
  call: Call,
  input: {
    account: NonNullable<PasswordGuess['account']>;
    typed: TypedIdentifier;
    rehashed: PasswordHash | undefined;
    session: PreparedSession;
    scope: ScopeRequest | undefined;
  },
): Promise<OpenedSession | undefined> {
  const subjects = sql`select v.subject, true as charged from account
    cross join lateral (values (uuid_send(account_id)), (${input.typed.subject}::bytea)) v (subject)`;
  const { rows } = await sql<OpenedRow>`
    with ${clockCte(deps.clock)},
    account as materialized (
      select a.account_id, a.session_epoch, a.last_organization_id as preferred_organization_id,
        null::uuid as preferred_merchant_id
      from accounts a
      where a.account_id = ${input.account.accountId}::uuid and a.status = 'active'
        and a.proof_epoch = ${input.account.proofEpoch}::int
        and a.session_epoch = ${input.account.sessionEpoch}::int
        and exists (select from identifiers i where i.account_id = a.account_id
          and i.type = ${input.typed.type ?? null}::text and i.value = ${input.typed.value}::text
          and i.sign_in_enabled and i.state = 'verified')
      for no key update
    ),
    locked as materialized (${lockBudgets(KEY, subjects)}),
    cleared as (${clearBudgets(KEY, {
      locked: sql`locked`,
      when: sql`select from account`,
    })}),
    scope as materialized (${resolveScope({ who: sql`account`, requested: input.scope })}),
    touched as (${rememberSignIn(input.rehashed, input.scope)}),
    session as (${insertSession(now, input.session, deps.sessionLifetime, {
      accountId: sql`a.account_id`,
      sessionEpoch: sql`a.session_epoch`,
      organizationId: sql`scope.organization_id`,
      merchantId: sql`scope.merchant_id`,
      from: sql`account a join scope on scope.scope_granted`,
    })}),
    audited as (${insertChange(
      now,
      changeBy(deps.random, call, 'session_started', {
        sessionId: input.session.sessionId,
        amr: input.session.amr,
      }),
      { accountId: sql`session.account_id`, from: sql`session` },
    )})
    select scope.*, s.auth_time from scope left join session s on true`.execute(deps.db);
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    grant: row.auth_time === null ? undefined : { ...toScope(row), authTime: row.auth_time },
  };
}

/** The account's row, where the sign-in changes it: a better hash, a chosen organization. */
function rememberSignIn(
  rehashed: PasswordHash | undefined,
  requested: ScopeRequest | undefined,
): RawBuilder<unknown> {
  if (rehashed === undefined && requested === undefined) return sql`select 1`;
  const hash =
    rehashed === undefined
      ? sql``
      : sql`password_hash = ${rehashed.hash}::text, password_pepper = ${rehashed.pepper}::text`;
  const organization =
    requested === undefined ? sql`` : sql`last_organization_id = scope.organization_id`;
  const comma = rehashed === undefined || requested === undefined ? sql`` : sql`, `;
  return sql`update accounts a set ${hash}${comma}${organization} from account, scope
    where a.account_id = account.account_id and scope.scope_granted`;
}
