export type { SignInReason } from './errors.js';
export { type IntrospectTokenDeps, introspectToken } from './introspect-token.js';
export { type RefreshSessionDeps, refreshSession } from './refresh-session.js';
export { type SignedIn, type SignInDeps, type SignInInput, signIn } from './sign-in.js';
export { type SignOutDeps, signOut } from './sign-out.js';
