export {
  type ResetPasswordDeps,
  type ResetPasswordInput,
  resetPassword,
} from './reset-password.js';
export {
  type RecoveryPolicy,
  type ResetRequest,
  resetFlow,
  typedForReset,
} from './reset-request.js';
export { type ResolveResetDeps, resolveReset } from './resolve-reset.js';
export {
  type VerifiedResetCode,
  type VerifyResetCodeDeps,
  type VerifyResetCodeInput,
  verifyResetCode,
} from './verify-reset-code.js';
