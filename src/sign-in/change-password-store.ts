import { type RawBuilder, sql } from 'kysely';
import {
  type AccountContacts,
  areNoticed,
  contactsOf,
  insertNotices,
  liveSession,
  type Notices,
} from '../accounts/index.js';
import { changeBy, insertChange } from '../audit/index.js';
import {
  type BudgetPolicy,
  chargeBudgets,
  clearBudgets,
  type GuessKey,
  refundBudgets,
  waitSeconds,
} from '../challenges/index.js';
import type { Person, PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { clockCte, type Db, sqlNow, statementNow } from '../db/index.js';
import type { PasswordHash } from '../passwords/index.js';
import {
  carrySessionOver,
  type RevokedAccountRow,
  recordRaisedEpoch,
  revokedAccount,
} from '../sessions/index.js';
import { windowLimitOf } from './sign-in-store.js';

/** A person's own guesses, apart from strangers' at the sign-in: neither can lock the other's row. */
const KEY: GuessKey = { channel: 'password', lane: 'session' };
const SIGN_IN: GuessKey = { channel: 'password', lane: 'anonymous' };
const now = statementNow;

interface StoreDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly passwordBudget: BudgetPolicy;
}

/** A charged guess at the present password, and what else a change of it has to know. */
export interface CurrentPasswordGuess {
  readonly proofEpoch: number;
  /** Undefined: the account has none, and nothing matches. */
  readonly password: PasswordHash | undefined;
  /** Set where nothing is compared now; then nothing was charged. */
  readonly lockedSeconds: number | undefined;
  readonly contacts: AccountContacts;
  /** What the new password must not be made of. */
  readonly personal: readonly string[];
}

interface GuessRow {
  proof_epoch: number;
  password_hash: string | null;
  password_pepper: string | null;
  charged: boolean;
  wait: number | null;
  contacts: AccountContacts;
  personal: readonly string[];
}

/**
 * Charges a guess at the account's password to its row of the session lane, by a statement that commits by
 * itself. Undefined: the session has ended.
 */
export async function chargeCurrentPassword(
  deps: StoreDeps,
  person: Person,
): Promise<CurrentPasswordGuess | undefined> {
  const { rows } = await sql<GuessRow>`
    with ${clockCte(deps.clock)},
    person as materialized (
      select a.account_id, a.proof_epoch, a.password_hash, a.password_pepper
      from accounts a where ${liveSession(now, person)}
    ),
    chargeable as materialized (
      select uuid_send(p.account_id) as subject, t.now, ${windowLimitOf(sql`p.account_id`)} as window_limit
      from person p cross join t
    ),
    standing as materialized (
      select ${waitSeconds(sql`c.now`, sql`c.window_limit`)} as wait
      from chargeable c join guess_budgets g on g.subject = c.subject
      where g.channel = 'password' and g.lane = 'session'
    ),
    charged as (${chargeBudgets(sql`s.now`, { channel: sql`'password'`, lane: KEY.lane }, deps.passwordBudget, sql`select * from chargeable`)})
    select p.proof_epoch, p.password_hash, p.password_pepper, exists (select from charged) as charged,
      s.wait, ${contactsOf(sql`p.account_id`)} as contacts,
      array(select i.value from identifiers i where i.account_id = p.account_id) || f.display_name as personal
    from person p join profiles f on f.account_id = p.account_id left join standing s on true`.execute(
    deps.db,
  );
  return rows[0] && toGuess(rows[0], deps.passwordBudget);
}

function toGuess(row: GuessRow, policy: BudgetPolicy): CurrentPasswordGuess {
  const { password_hash: hash, password_pepper: pepper, contacts, personal } = row;
  return {
    proofEpoch: row.proof_epoch,
    password: hash === null ? undefined : { hash, pepper },
    lockedSeconds: row.charged ? undefined : Math.max(1, row.wait ?? policy.lockoutSeconds),
    contacts,
    personal,
  };
}

/** Takes the charge back: no hash was compared with the guess. */
export async function refundCurrentPassword(
  deps: Pick<StoreDeps, 'db' | 'passwordBudget'>,
  { accountId }: Person,
): Promise<void> {
  const subject = sql`uuid_send(${accountId}::uuid)`;
  await refundBudgets(KEY, deps.passwordBudget, [subject])?.execute(deps.db);
}

export interface NewPassword {
  readonly password: PasswordHash;
  /** As the guess found it: a password that was changed meanwhile was not the one that proved right. */
  readonly proofEpoch: number;
  readonly notices: Notices;
}

export interface ReplacedPassword {
  readonly noticed: boolean;
  readonly revoked: RevokedAccountRow;
}

/** Undefined: the session has ended since the guess was charged, or the password was changed. */
export async function replacePassword(
  deps: StoreDeps,
  call: PersonCall,
  { password, proofEpoch, notices }: NewPassword,
): Promise<ReplacedPassword | undefined> {
  const event = changeBy(deps.random, call, 'password_changed');
  const { rows } = await sql<RevokedAccountRow & { noticed: boolean }>`
    with ${clockCte(deps.clock)},
    account as materialized (
      select a.account_id from accounts a
      where ${liveSession(now, call.person)} and a.proof_epoch = ${proofEpoch}::int
      for no key update of a
    ),
    budgets as materialized (${lockPasswordBudgets(sql`account`)}),
    cleared as (${clearBudgets(KEY, { locked: budgetsOf(KEY), when: sql`select from account` })}),
    unlocked as (${clearBudgets(SIGN_IN, { locked: budgetsOf(SIGN_IN), when: sql`select from account` })}),
    raised as (
      update accounts a set password_hash = ${password.hash}::text, password_pepper = ${password.pepper}::text,
        proof_epoch = a.proof_epoch + 1, session_epoch = a.session_epoch + 1
      from account where a.account_id = account.account_id and (select count(*) from budgets) >= 0
      returning a.account_id, a.session_epoch, ${sqlNow(deps.clock)} as raised_at
    ),
    carried as (${carrySessionOver(call.person.sessionId, sql`raised`)}),
    recorded as (${recordRaisedEpoch(sql`r.raised_at`, sql`raised`)}),
    ${insertNotices(now, notices, sql`raised`)}
    audited as (${insertChange(now, event, { accountId: sql`raised.account_id`, from: sql`raised` })})
    select ${revokedAccount}, ${areNoticed(notices)} as noticed
    from raised e`.execute(deps.db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { noticed, ...revoked } = row;
  return { noticed, revoked: keeping(call.person.sessionId, revoked) };
}

/** CTE body: both rows, in key order. The guess was counted in the session lane alone. */
function lockPasswordBudgets(account: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`select b.subject, b.lane, b.lane = ${KEY.lane}::text as charged
    from ${account} a join guess_budgets b on b.subject = uuid_send(a.account_id)
    where b.channel = ${KEY.channel}::text
    order by b.subject, b.channel, b.lane for update of b`;
}

const budgetsOf = ({ lane }: GuessKey): RawBuilder<unknown> =>
  sql`(select b.subject, b.charged from budgets b where b.lane = ${lane}::text)`;

/** The statement's snapshot still has the session in the epoch that it was carried over from. */
function keeping(sessionId: string, revoked: RevokedAccountRow): RevokedAccountRow {
  const casualties = revoked.casualties.filter((id) => id !== sessionId);
  return { ...revoked, casualties, survivors: [...revoked.survivors, sessionId] };
}
