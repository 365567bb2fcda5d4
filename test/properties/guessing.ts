import type { Lane } from './budgets.js';
import type { Expected } from './expected.js';
import { accountOf, type Challenge, isExpired, type Model, rowsOf } from './model.js';

/** A code that was typed, and what the model expects to become of it. */
export interface Guessed extends Expected {
  /** The rows that it is counted in, and whether an ordinary code was compared: for the ledger. */
  readonly compared?: {
    readonly rows: readonly string[];
    readonly right: boolean;
    readonly ordinary: boolean;
  };
  readonly right: boolean;
  /** The rest of a success: only a code that is redeemed clears its rows. */
  redeem(): void;
}

const LONG = 20;
const nothing = () => {};

/**
 * Counts a guess and judges it. `whileHolds`: the account's codes must not have died for it to be looked at
 * at all; anonymous codes are looked at all the same, and only a right one learns that it is dead.
 */
export function guessAt(
  model: Model,
  challenge: Challenge | undefined,
  { code, lane, whileHolds }: { code: string; lane: Lane; whileHolds: boolean },
): Guessed {
  const gone: Guessed = { answer: 'CODE_EXPIRED', right: false, redeem: nothing };
  if (challenge === undefined || challenge.used || isExpired(model, challenge)) return gone;
  if (whileHolds && !holds(model, challenge)) return gone;
  const rows = rowsOf(challenge, lane);
  const longTyped = code.length === LONG;
  const judgement = model.budgets.guess(model.now, {
    ...rows,
    lane,
    issuedAt: challenge.issuedAt,
    longChallenge: challenge.long,
    longTyped,
  });
  if (!judgement.judged)
    return { answer: judgement.refusal ?? 'CODE_INVALID', right: false, redeem: nothing };
  const right = challenge.code !== undefined && challenge.code === code;
  const ordinary = !(challenge.long && longTyped);
  return {
    answer: right ? 'OK' : 'CODE_INVALID',
    compared: { rows: [rows.account, rows.address], right, ordinary },
    right,
    redeem() {
      judgement.succeed();
      challenge.used = true;
    },
  };
}

/** Whether the account that the code was issued for, if any, has not changed in a way that kills its codes. */
export function holds(model: Model, { accountId, epoch }: Challenge): boolean {
  if (accountId === undefined) return true;
  const account = accountOf(model, { accountId });
  return account.status === 'active' && account.proofEpoch === epoch;
}
