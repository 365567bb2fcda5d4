export { loadBudgetSecret } from './budget-secret.js';
export type { Challenge } from './challenge.js';
export {
  budgetsOfSend,
  chargeGuess,
  type GuessTarget,
  type LiveChallenge,
  openSlot,
  redeemChallenge,
  type SlotRequest,
} from './challenge-store.js';
export {
  type ChallengePurpose,
  type CodeBinding,
  type CodePolicy,
  codeMatches,
  type DrawnCode,
  drawCode,
  LONG_CODE_LENGTH,
  parseCode,
} from './code.js';
export {
  type ChallengesReason,
  codeExpired,
  resendTooSoon,
  verificationLocked,
} from './errors.js';
export {
  type BudgetPolicy,
  chargeBudgets,
  clearBudgets,
  type GuessKey,
  type Lane,
  lockBudgets,
  PASSWORD_WINDOW_FAILURES,
  refundBudgets,
  waitSeconds,
} from './guess-budget.js';
export { mayCompare, wrongGuess } from './judge-guess.js';
export {
  addressSubject,
  type CodeDeps,
  openDestination,
  type PreparedCode,
  prepareCode,
} from './prepare-code.js';
export { readChallenges } from './read-challenges.js';
