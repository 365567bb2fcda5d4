/**
 * What other backend services import: typed clients, typed errors, texts for people, and a verifier
 * that checks access tokens offline. See docs/clients.md.
 */
export { status as GrpcStatus } from '@grpc/grpc-js';
export {
  Account,
  AccountStatus,
  Identifier,
  IdentifierType,
  Profile,
  Settings,
} from '../../generated/countersign/v1/account.js';
export type * from '../../generated/countersign/v1/auth_service.js';
export { Challenge, Channel } from '../../generated/countersign/v1/challenge.js';
export { ErrorReason } from '../../generated/countersign/v1/error_reason.js';
export { Grant, Scope, TokenSet } from '../../generated/countersign/v1/token.js';
export type { CallOptions } from './call-options.js';
export {
  describeAccountStatus,
  describeChannel,
  describeError,
  describeIdentifierType,
  describeReason,
  describeSignInEnabled,
  describeVerified,
} from './catalogue.js';
export { CountersignError, isReason, type StatusName } from './countersign-error.js';
export {
  type AuthClient,
  type CountersignClient,
  type CountersignClientOptions,
  createCountersignClient,
} from './create-client.js';
export type { TlsCredentials } from './credentials.js';
export type { FieldViolation } from './error-details.js';
export { HTTP_STATUS_BY_CODE, HTTP_STATUS_BY_REASON, httpHeadersOf, httpStatusOf } from './http.js';
export type { TokenAlgorithm } from './key-set.js';
export type { KeySource } from './key-source.js';
export type { Answer, PromiseClient, RequestInput, UnaryMethod } from './promise-client.js';
export { REASONS, type Reason, type ReasonOrUnknown } from './reasons.js';
export {
  type AccessTokenClaims,
  hasPlatformRole,
  hasRole,
  type RoleScope,
  requireRole,
  type TokenGrant,
} from './token-claims.js';
export {
  KeysUnavailableError,
  RoleRequiredError,
  TokenInvalidError,
  type TokenInvalidReason,
} from './token-errors.js';
export {
  createTokenVerifier,
  type TokenVerifier,
  type TokenVerifierOptions,
} from './token-verifier.js';
export type { CatalogueLocale } from './wait-text.js';
