export {
  type AccessTokenClaims,
  type AccessTokens,
  type AccessTokensDeps,
  createAccessTokens,
  MAX_ACCESS_TOKEN_LENGTH,
  type TokenGrant,
} from './access-token.js';
export { type RevokedAccountRow, revokedAccount } from './ended-session-store.js';
export {
  createEndedSessions,
  type EndedSessions,
  type EndedSessionsDeps,
} from './ended-sessions.js';
export { accessTokenInvalid, refreshTokenInvalid, type SessionsReason } from './errors.js';
export {
  createRefreshTokens,
  type NewRefreshToken,
  type PresentedRefreshToken,
  type RefreshTokens,
  type SuccessorToken,
} from './refresh-token.js';
export {
  type ListedSigningKey,
  listSigningKeys,
  PUBLICATION_LEAD_SECONDS,
  type RotationStep,
  replaceSigningKeys,
  rotateSigningKey,
  type SigningKeyDeps,
  stepSigningKeys,
} from './rotate-signing-keys.js';
export {
  type Grant,
  rolesOf,
  type SessionLifetime,
  type SessionScope,
  type TokenSet,
} from './session.js';
export { openClient, type SessionClient } from './session-client.js';
export { carrySessionOver, epochRaisedSince, recordRaisedEpoch } from './session-epoch-store.js';
export {
  type ListedSessionRow,
  type SessionPlace,
  selectLiveSessions,
} from './session-list-store.js';
export {
  type EndReason,
  endSessions,
  lockAndJudge,
  moveSession,
  rotateSession,
  sessionIsAlive,
} from './session-store.js';
export type { SigningKey } from './signing-key.js';
export { createSigningKeys, type SigningKeys, type SigningKeysDeps } from './signing-keys.js';
export {
  insertSession,
  type PreparedSession,
  prepareSession,
  type SessionParts,
  type StartedSessionRow,
} from './start-session.js';
export { type SessionDeps, type TokenSetInput, tokenSet } from './token-set.js';
export { MAX_VERIFIED_TOKENS } from './verified-tokens.js';
