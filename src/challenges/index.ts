export { loadBudgetSecret } from './budget-secret.js';
export type { Challenge } from './challenge.js';
export {
  accountSubject,
  budgetsOfSend,
  chargeGuess,
  type GuessTarget,
  guessSubjects,
  type LiveChallenge,
  openSlot,
  redeemChallenge,
  type SlotRequest,
  standInSubject,
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
  isCodeShut,
  type Lane,
  laneOf,
  liftBudgets,
  lockBudgets,
  PASSWORD_WINDOW_FAILURES,
  refundBudgets,
  waitSeconds,
} from './guess-budget.js';
export { type CodeRecipient, issueCode, liveFlow } from './issue-code.js';
export { judgeCode, judgeFlow, type ProvenCode } from './judge-code.js';
export { mayCompare, wrongGuess } from './judge-guess.js';
export {
  type FlowRequest,
  flowSubject,
  type OpenedFlow,
  type OpenFlowDeps,
  openFlow,
  voidFlow,
} from './open-flow.js';
export {
  addressSubject,
  type CodeDeps,
  type CodeMakingDeps,
  openDestination,
  type PreparedCode,
  prepareCode,
  typedSubject,
} from './prepare-code.js';
export { readChallenges } from './read-challenges.js';
