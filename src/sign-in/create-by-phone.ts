import { type RawBuilder, sql } from 'kysely';
import {
  accountOfPhone,
  generateUsername,
  insertAccount,
  insertProven,
  rivalClaims,
} from '../accounts/index.js';
import { changeBy, insertChange, newAuditKey } from '../audit/index.js';
import {
  clearBudgets,
  codeExpired,
  guessSubjects,
  lockBudgets,
  redeemChallenge,
} from '../challenges/index.js';
import type { Call } from '../core/call.js';
import { clockCte, statementNow, uniqueViolation } from '../db/index.js';
import { insertOrganization, insertRoleAssignment } from '../organizations/index.js';
import { insertSession } from '../sessions/index.js';
import {
  type OpenedByPhone,
  PHONE_KEY,
  type PhoneProof,
  type PhoneSignInStoreDeps,
} from './phone-sign-in-store.js';

const now = statementNow;
/** A rival takes the number once at most, since then it is held; a username that is taken is drawn anew. */
const ATTEMPTS = 3;

/** Everything about the account that the database does not decide. */
interface NewAccount {
  readonly accountId: string;
  readonly username: string;
  readonly organizationId: string;
  readonly auditKey: Buffer;
}

/**
 * Makes an account of a number that is nobody's, whole, and signs in to it: one statement, all of it or none.
 * `held`: the number is somebody's by now, and nothing was done.
 *
 * Throws `CODE_EXPIRED` where the code was used or has expired since the guess was charged.
 */
export async function createByPhone(
  deps: PhoneSignInStoreDeps,
  call: Call,
  proof: PhoneProof,
): Promise<OpenedByPhone | 'held'> {
  for (let attempt = 1; ; attempt += 1) {
    const account = draftAccount(deps);
    try {
      const { rows } = await creation(deps, call, proof, account).execute(deps.db);
      const { held, auth_time: authTime } = rows[0] ?? { held: false, auth_time: null };
      if (held) return 'held';
      if (authTime === null) throw codeExpired();
      const { accountId, organizationId } = account;
      const grant = { scope: { organizationId }, grants: [{ role: 'owner' }], platformRoles: [] };
      return { accountId, authTime, grant };
    } catch (error) {
      if (uniqueViolation(error) !== 'identifiers_holder' || attempt === ATTEMPTS) throw error;
    }
  }
}

function draftAccount({ random }: PhoneSignInStoreDeps): NewAccount {
  return {
    accountId: random.id(),
    username: generateUsername(random),
    organizationId: random.id(),
    auditKey: newAuditKey(random),
  };
}

interface CreationRow {
  held: boolean;
  /** Null: no account was made. */
  auth_time: Date | null;
}

function creation(
  deps: PhoneSignInStoreDeps,
  call: Call,
  { target, guess, phone, session }: PhoneProof,
  draft: NewAccount,
): RawBuilder<CreationRow> {
  const { organizationId, username } = draft;
  const accountId = sql`${draft.accountId}::uuid`;
  const made = sql`redeemed`;
  const own = { accountId, from: made };
  const parts = insertAccount(
    now,
    { ...draft, password: undefined, displayName: '', locale: undefined },
    made,
  );
  const subjects = sql`select * from ${guessSubjects(guess)}`;
  return sql<CreationRow>`
    with ${clockCte(deps.clock)},
    free as materialized (select from t where not exists (${accountOfPhone(phone)})),
    locked as materialized (${lockBudgets(PHONE_KEY, subjects)}),
    redeemed as (${redeemChallenge(deps.clock, guess, target, {
      account: undefined,
      after: sql`locked`,
      when: sql`free`,
    })}),
    cleared as (${clearBudgets(PHONE_KEY, { locked: sql`locked`, when: sql`select from redeemed` })}),
    organization as (${insertOrganization(now, { organizationId, name: username }, made)}),
    account as (${parts.account}),
    profile as (${parts.profile}),
    settings as (${parts.settings}),
    username as (${insertProven(now, { type: 'username', value: username, by: 'generated' }, own)}),
    proven as (${insertProven(now, { type: 'phone', value: phone, by: 'code' }, own)}),
    rivals as (${rivalClaims({ type: 'phone', value: phone })}),
    owner as (${insertRoleAssignment(
      now,
      { id: deps.random.id(), role: 'owner', organizationId },
      own,
    )}),
    session as (${insertSession(now, session, deps.sessionLifetime, {
      accountId: sql`a.account_id`,
      sessionEpoch: sql`a.session_epoch`,
      organizationId: sql`${organizationId}::uuid`,
      merchantId: sql`null::uuid`,
      from: sql`account a`,
    })}),
    audited as (${insertChange(
      now,
      changeBy(deps.random, call, 'account_created', {
        channels: ['sms'],
        sessionId: session.sessionId,
        amr: session.amr,
      }),
      { accountId: sql`account.account_id`, from: sql`account` },
    )})
    select not exists (select from free) as held, s.auth_time from t left join session s on true`;
}
