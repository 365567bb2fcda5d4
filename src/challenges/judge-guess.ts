import { codeAttemptsExhausted, codeInvalid, verificationLocked } from './errors.js';
import type { BudgetPolicy, Lane } from './guess-budget.js';

/** What charging a guess found out about one of its two rows. */
export interface ChargedRow {
  readonly charged: boolean;
  /** Failures in a row, this guess included; meaningful where charged. */
  readonly failures: number;
  /** Seconds until the row opens, as the statement saw it; null: it saw it open. */
  readonly waitSeconds: number | null;
  /** The code is older than the row's last lock. */
  readonly dead: boolean;
}

export interface ChargedGuess {
  readonly account: ChargedRow;
  readonly address: ChargedRow;
  readonly longCode: boolean;
}

/**
 * Decides, after the charge, whether the code may be compared: throws where the caller may know that
 * it may not, returns false where it must look like a wrong guess. Precedence: shut, then dead.
 *
 * In the anonymous lane only the address row is visible: a wait, a lock or a count of the account row
 * would tell a stranger about an account (docs/architecture.md, "Guess budgets").
 *
 * A long code is compared in either lane, whatever is shut: no number of guesses brings 66 bits down.
 */
export function mayCompare(guess: ChargedGuess, lane: Lane, policy: BudgetPolicy): boolean {
  if (guess.longCode) return true;
  const visible = visibleRows(guess, lane);
  const dead = visible.some((row) => row.dead);
  const waits = visible
    .filter((row) => isShut(row, dead))
    .map((row) => row.waitSeconds ?? policy.lockoutSeconds);
  if (waits.length > 0) throw verificationLocked(Math.max(1, ...waits));
  if (dead) throw codeAttemptsExhausted();
  return [guess.account, guess.address].every((row) => row.charged && !row.dead);
}

/** The error of a wrong guess, with what the caller may know of the tries left. */
export function wrongGuess(field: string, guess: ChargedGuess, lane: Lane, policy: BudgetPolicy) {
  const left = visibleRows(guess, lane).map((row) =>
    row.charged ? policy.maxFailures - row.failures : 0,
  );
  return codeInvalid(field, Math.max(0, Math.min(...left)));
}

function visibleRows(guess: ChargedGuess, lane: Lane): readonly ChargedRow[] {
  return lane === 'session' ? [guess.account, guess.address] : [guess.address];
}

/**
 * Refused by the charge's guard: a lock, a full window, or a rival who shut the row a moment ago. A dead
 * code charges neither row (`chargeGuess`), so that beside one a row without a wait is not shut.
 */
function isShut(row: ChargedRow, dead: boolean): boolean {
  return !row.charged && (row.waitSeconds !== null || !dead);
}
