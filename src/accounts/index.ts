export type { Account, AccountStatus } from './account.js';
export { insertAccount, type NewAccount, readAccount } from './account-store.js';
export {
  type ConfirmedIdentifier,
  type ConfirmIdentifierDeps,
  type ConfirmIdentifierInput,
  confirmIdentifier,
} from './confirm-identifier.js';
export {
  type AccountsReason,
  usernameTaken,
} from './errors.js';
export { type GetAccountDeps, getAccount } from './get-account.js';
export {
  type Identifier,
  isVerified,
  type ProofPolicy,
  typeOfChannel,
} from './identifier.js';
export { type Claim, claimAddress, findHandle, insertUsername } from './identifier-store.js';
export {
  type SendVerificationCodeDeps,
  type SendVerificationCodeInput,
  sendVerificationCode,
} from './send-verification-code.js';
