import { sql } from 'kysely';
import { typeOfChannel } from '../accounts/index.js';
import { changeBy, insertChange } from '../audit/index.js';
import {
  type CodeMakingDeps,
  clearBudgets,
  codeExpired,
  type GuessKey,
  guessSubjects,
  judgeFlow,
  lockBudgets,
  type ProvenCode,
  redeemChallenge,
} from '../challenges/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import { clockCte, type Db, statementNow } from '../db/index.js';
import { makeResetToken, type NewResetToken } from './reset-token.js';

export interface VerifyResetCodeDeps extends CodeMakingDeps {
  readonly db: Db;
  readonly clock: Clock;
}

export interface VerifyResetCodeInput {
  readonly challengeId: string;
  /** Digits of a possible length (`parseCode`). */
  readonly code: string;
}

export interface VerifiedResetCode {
  readonly accountId: string;
  /** The email or phone, canonical, that the code went to. */
  readonly address: string;
  readonly resetToken: string;
}

const RESET_TOKEN_SECONDS = 600;

/**
 * Trades the code of a password reset for a token that sets a new password, once, within ten minutes.
 *
 * Two PostgreSQL trips, one for a wrong code: the guess is counted and committed before it is judged.
 * Atomic in the second: the code is used up, the token's hash stands in its place, the budgets are cleared.
 * It asks whether the account's codes have died since this one was sent, and whether the address is what it was.
 *
 * Throws, in this precedence: `CODE_EXPIRED`, `VERIFICATION_LOCKED`, `CODE_ATTEMPTS_EXHAUSTED`,
 * `CODE_INVALID`.
 */
export async function verifyResetCode(
  deps: VerifyResetCodeDeps,
  call: Call,
  input: VerifyResetCodeInput,
): Promise<VerifiedResetCode> {
  const flow = { challengeId: input.challengeId, purpose: 'reset', channel: undefined } as const;
  const proof = await judgeFlow(deps, call, flow, input.code);
  const { accountId, challengeId } = proof.guess;
  // A decoy's code is never right: there is an account.
  if (accountId === undefined) throw codeExpired();
  const token = makeResetToken(deps.random, challengeId);
  if (!(await issueToken(deps, call, { ...proof, accountId }, token))) throw codeExpired();
  return { accountId, address: proof.destination, resetToken: token.token };
}

/** The second trip. Locks in the order of the house, so that the challenge is locked before it is used up. */
async function issueToken(
  deps: VerifyResetCodeDeps,
  call: Call,
  { target, guess, accountId, destination }: ProvenCode & { readonly accountId: string },
  token: NewResetToken,
): Promise<boolean> {
  const now = statementNow;
  const key: GuessKey = { channel: guess.channel, lane: 'anonymous' };
  const subjects = sql`select v.* from account cross join ${guessSubjects(guess)}`;
  const { rows } = await sql`
    with ${clockCte(deps.clock)},
    account as materialized (
      select a.account_id, a.proof_epoch from accounts a
      where a.account_id = ${accountId}::uuid and a.status = 'active' for no key update
    ),
    locked as materialized (${lockBudgets(key, subjects)}),
    challenge as materialized (
      select a.account_id, a.proof_epoch, c.issued_at from account a join challenges c on c.account_id = a.account_id
      where c.challenge_id = ${guess.challengeId}::uuid and (select count(*) from locked) >= 0
      for no key update of c
    ),
    held as materialized (
      select c.account_id, c.proof_epoch from challenge c
      join identifiers i on i.account_id = c.account_id
      where i.type = ${typeOfChannel(guess.deliveredBy)}::text and i.value = ${destination}::text
        and i.state in ('verified', 'contact') and i.created_at <= c.issued_at
      for no key update of i
    ),
    redeemed as (${redeemChallenge(deps.clock, guess, target, {
      account: sql`held`,
      after: sql`held`,
      set: sql`reset_token_hash = ${token.hash}::bytea,
        reset_expires_at = ${now} + make_interval(secs => ${RESET_TOKEN_SECONDS}::float8)`,
    })}),
    cleared as (${clearBudgets(key, { locked: sql`locked`, when: sql`select from redeemed` })}),
    audited as (${insertChange(
      now,
      changeBy(deps.random, call, 'reset_code_redeemed', { channel: guess.deliveredBy }),
      { accountId: sql`redeemed.account_id`, from: sql`redeemed` },
    )})
    select from redeemed`.execute(deps.db);
  return rows.length > 0;
}
