import { type RawBuilder, sql } from 'kysely';
import {
  accountOfPhone,
  insertNote,
  NOTICE_LIFETIME_SECONDS,
  ownIdentifiers,
  phoneSignsIn,
  provePhoneAgain,
  rivalClaims,
} from '../accounts/index.js';
import { changeBy, insertChange } from '../audit/index.js';
import {
  accountSubject,
  type BudgetPolicy,
  clearBudgets,
  type GuessKey,
  type GuessTarget,
  isCodeShut,
  type LiveChallenge,
  liftBudgets,
  redeemChallenge,
  refundBudgets,
} from '../challenges/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Locale } from '../core/contact.js';
import { clockCte, type Db, statementNow } from '../db/index.js';
import type { Outbox, PreparedMessage } from '../delivery/index.js';
import {
  type GrantedScope,
  resolveScope,
  type ScopeRequest,
  type ScopeRow,
  toScope,
} from '../organizations/index.js';
import {
  epochRaisedSince,
  insertSession,
  type PreparedSession,
  type SessionDeps,
} from '../sessions/index.js';

export interface PhoneSignInStoreDeps extends SessionDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly budgetPolicy: BudgetPolicy;
}

/** A right code, and what is to come of it. */
export interface PhoneProof {
  readonly target: GuessTarget;
  readonly guess: LiveChallenge;
  /** Where the code went. */
  readonly phone: string;
  readonly session: PreparedSession;
  readonly scope: ScopeRequest | undefined;
}

export interface OpenedByPhone {
  readonly accountId: string;
  readonly authTime: Date;
  readonly grant: GrantedScope;
}

/** The codes that numbers sign in by are typed by people who are not signed in. */
export const PHONE_KEY: GuessKey = { channel: 'sms', lane: 'anonymous' };
const now = statementNow;

interface HolderRow extends ScopeRow {
  signs_in: boolean;
  redeemed: boolean;
  auth_time: Date | null;
  /** Language of the note, where one was queued. */
  noted: Locale | null;
}

/**
 * Signs in to the account that the code was made for, or, where it was made for nobody, to whom the number
 * belongs by now. `nobody`: there is no such account, or it does not have the number any more. `refused`: it has,
 * and the number does not sign in. `dead`: the code was used or has died since the guess was charged.
 */
export async function signInToHolder(
  deps: PhoneSignInStoreDeps,
  call: Call,
  proof: PhoneProof,
): Promise<OpenedByPhone | 'nobody' | 'refused' | 'scope' | 'dead'> {
  const note = deps.outbox.prepare({
    kind: 'sign_in_refused',
    channel: 'sms',
    to: proof.phone,
    locale: call.locale,
    variables: {},
    lifetimeSeconds: NOTICE_LIFETIME_SECONDS,
  });
  // Completed although the caller may have left: the code is used up, and the note is owed.
  const { rows } = await holderStatement(deps, call, proof, note).execute(deps.db);
  const row = rows[0];
  if (row === undefined) return 'nobody';
  if (row.noted !== null) {
    deps.outbox.dispatch([{ ...note, message: { ...note.message, locale: row.noted } }]);
  }
  if (!row.signs_in) return 'refused';
  if (!row.scope_granted) return 'scope';
  if (row.auth_time === null) return 'dead';
  return { accountId: row.account_id, authTime: row.auth_time, grant: toScope(row) };
}

function holderStatement(
  deps: PhoneSignInStoreDeps,
  call: Call,
  proof: PhoneProof,
  note: PreparedMessage,
): RawBuilder<HolderRow> {
  return sql<HolderRow>`
    with ${clockCte(deps.clock)},
    ${judging(proof)}
    ${opening(deps, proof)}
    refused as materialized (
      select j.account_id, coalesce(l.locale, ${call.locale}::text) as locale from judged j
      join account_settings l on l.account_id = j.account_id where not j.signs_in
    ),
    ${insertNote(now, note, sql`refused`)}
    audited as (${audit(deps, call, proof.session)}),
    audited_proof as (${auditProof(deps, call)})
    select scope.*, j.signs_in, s.auth_time, (select r.locale from refused r join noted on true) as noted
    from judged j join scope on true left join session s on true`;
}

/**
 * CTEs: the number as its account's own (`judged`), and where the code is to be used up about it (`ready`). Locks in
 * the order of the house; the challenge too before it is used up, since the number decides about it.
 */
function judging({ guess, phone, scope }: PhoneProof): RawBuilder<unknown> {
  const { accountId } = guess;
  const who = accountId === undefined ? sql`(${accountOfPhone(phone)})` : sql`${accountId}::uuid`;
  return sql`
    account as materialized (
      select a.account_id, a.status, a.proof_epoch, a.session_epoch, a.password_hash is not null as has_password,
        a.session_epoch = (select s.session_epoch from accounts s where s.account_id = a.account_id) as steady,
        a.last_organization_id as preferred_organization_id, null::uuid as preferred_merchant_id
      from accounts a where a.account_id = ${who} for no key update
    ),
    budgets as materialized (${lockAll(guess)}),
    challenge as materialized (
      select a.*, c.issued_at from account a join challenges c on c.challenge_id = ${guess.challengeId}::uuid
      where (select count(*) from budgets) >= 0 for no key update of c
    ),
    own as materialized (${ownIdentifiers(sql`challenge`)}),
    scope as materialized (${resolveScope({ who: sql`account`, requested: scope })}),
    judged as materialized (
      select a.*, i.state, ${phoneSignsIn(sql`own`)} as signs_in
      from challenge a join own i on i.type = 'phone' and i.value = ${phone}::text and i.state <> 'claimed'
        and ${
          // One that was removed and proven again since is another number.
          accountId === undefined ? sql`true` : sql`i.created_at <= a.issued_at`
        }
    ),
    ready as materialized (
      select j.* from judged j join scope s on s.scope_granted or not j.signs_in
      where ${accountId === undefined ? opensForNobody(guess) : sql`true`}
    ),`;
}

/** CTEs: the code is used up, and where the number signs in (`signed`) what a sign-in does is done. */
function opening(
  deps: PhoneSignInStoreDeps,
  { target, guess, phone, session, scope }: PhoneProof,
): RawBuilder<unknown> {
  return sql`
    redeemed as (${redeemChallenge(deps.clock, guess, target, {
      account: guess.accountId === undefined ? undefined : sql`ready`,
      after: sql`ready`,
      when: sql`ready`,
    })}),
    cleared as (${clearBudgets(PHONE_KEY, {
      locked: sql`(select subject, charged from budgets where channel = 'sms')`,
      when: sql`select from redeemed`,
    })}),
    signed as materialized (
      select r.* from ready r where r.signs_in and exists (select from redeemed)
    ),
    lifted as (${liftBudgets(sql`(select b.* from budgets b, signed where b.channel = 'password')`)}),
    proven as (${provePhoneAgain(now, phone, sql`signed`)}),
    rivals as (${rivalClaims({ type: 'phone', value: phone })}),
    touched as (${touchAccount(scope)}),
    session as (${insertSession(now, session, deps.sessionLifetime, {
      accountId: sql`a.account_id`,
      sessionEpoch: sql`a.session_epoch`,
      organizationId: sql`scope.organization_id`,
      merchantId: sql`scope.merchant_id`,
      from: sql`signed a join scope on true`,
    })}),`;
}

/**
 * CTE body: every budget that a sign-in by code touches, in key order. `spent`: the account's own row is shut,
 * and was not asked before the code was compared, since the code was made for nobody.
 */
function lockAll(guess: LiveChallenge): RawBuilder<unknown> {
  const own = sql`(uuid_send(account.account_id), 'sms', false, true),`;
  return sql`select g.subject, g.channel, g.lane, v.charged, v.own and ${isCodeShut(now)} as spent
    from account cross join lateral (values
      (${accountSubject(guess)}, 'sms', ${guess.account.charged}::boolean, false),
      (${guess.addressSubject}::bytea, 'sms', ${guess.address.charged}::boolean, false),
      ${guess.accountId === undefined ? own : sql``}
      (uuid_send(account.account_id), 'password', false, false)) v (subject, channel, charged, own)
    join guess_budgets g on g.subject = v.subject and g.channel = v.channel and g.lane = 'anonymous'
    order by g.subject, g.channel, g.lane for update of g`;
}

/**
 * Condition on `j`, a number that is an account's (`steady`: its epoch did not rise while its lock was waited for):
 * what would have kept a code of the account's own from opening it does not stand against this one, which was
 * made for nobody.
 */
function opensForNobody({ longCode }: LiveChallenge): RawBuilder<boolean> {
  const spent = longCode ? sql`false` : sql`exists (select from budgets where spent)`;
  return sql<boolean>`(j.steady and not ${epochRaisedSince(sql`j.account_id`, sql`j.issued_at`)} and not ${spent})`;
}

/** CTE body: the account's row, where the sign-in changes it: a chosen organization, a number proven again. */
function touchAccount(requested: ScopeRequest | undefined): RawBuilder<unknown> {
  const organization =
    requested === undefined ? sql`a.last_organization_id` : sql`scope.organization_id`;
  const lapsed = sql`(signed.state = 'lapsed')`;
  return sql`update accounts a set last_organization_id = ${organization}, revision = a.revision + ${lapsed}::int,
      updated_at = case when ${lapsed} then ${now} else a.updated_at end
    from signed, scope
    where a.account_id = signed.account_id and (${lapsed} or ${requested !== undefined}::boolean)`;
}

function audit(
  deps: PhoneSignInStoreDeps,
  call: Call,
  { sessionId, amr }: PreparedSession,
): RawBuilder<unknown> {
  return insertChange(now, changeBy(deps.random, call, 'session_started', { sessionId, amr }), {
    accountId: sql`session.account_id`,
    from: sql`session`,
  });
}

function auditProof(deps: PhoneSignInStoreDeps, call: Call): RawBuilder<unknown> {
  return insertChange(now, changeBy(deps.random, call, 'identifier_proven', { channel: 'sms' }), {
    accountId: sql`proven.account_id`,
    from: sql`proven`,
  });
}

/** Takes the guess back: the code was right, nothing came of it, and it is good still. One trip. */
export async function refundGuess(
  deps: Pick<PhoneSignInStoreDeps, 'db' | 'budgetPolicy'>,
  { guess }: PhoneProof,
): Promise<void> {
  await refundBudgets(PHONE_KEY, deps.budgetPolicy, [
    ...(guess.account.charged ? [accountSubject(guess)] : []),
    ...(guess.address.charged ? [sql`${guess.addressSubject}::bytea`] : []),
  ])?.execute(deps.db);
}
