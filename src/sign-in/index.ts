export {
  type ChangePasswordDeps,
  type ChangePasswordInput,
  changePassword,
} from './change-password.js';
export {
  type CompletePhoneSignInDeps,
  type CompletePhoneSignInInput,
  completePhoneSignIn,
  type SignedInByPhone,
} from './complete-phone-sign-in.js';
export type { SignInReason } from './errors.js';
export { type IntrospectTokenDeps, introspectToken } from './introspect-token.js';
export {
  type ListedSession,
  type ListSessionsDeps,
  listSessions,
  type SessionPage,
} from './list-sessions.js';
export { type RefreshSessionDeps, refreshSession } from './refresh-session.js';
export { type ResolvePhoneSignInDeps, resolvePhoneSignIn } from './resolve-phone-sign-in.js';
export { type RevokeSessionDeps, revokeSession } from './revoke-session.js';
export { type SignedIn, type SignInDeps, type SignInInput, signIn } from './sign-in.js';
export { type SignOutDeps, signOut } from './sign-out.js';
export { type SignOutEverywhereDeps, signOutEverywhere } from './sign-out-everywhere.js';
