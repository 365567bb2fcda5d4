import { DomainError } from '../core/errors.js';

export type AccountsReason =
  | 'USERNAME_TAKEN'
  | 'IDENTIFIER_TAKEN'
  | 'REAUTHENTICATION_REQUIRED'
  | 'LAST_SIGN_IN_METHOD'
  | 'IDENTIFIER_NOT_VERIFIED'
  | 'ETAG_STALE';

export const usernameTaken = () =>
  new DomainError<AccountsReason>('USERNAME_TAKEN', 'another account has this username', {
    metadata: { field: 'username' },
  });

/** Only ever told to somebody who has just proven the channel. */
export const identifierTaken = () =>
  new DomainError<AccountsReason>('IDENTIFIER_TAKEN', 'another account holds this address');

export const reauthenticationRequired = () =>
  new DomainError<AccountsReason>(
    'REAUTHENTICATION_REQUIRED',
    'sign in again to change the ways into this account',
  );

export const lastSignInMethod = () =>
  new DomainError<AccountsReason>('LAST_SIGN_IN_METHOD', 'this is the last way into the account');

export const identifierNotVerified = () =>
  new DomainError<AccountsReason>(
    'IDENTIFIER_NOT_VERIFIED',
    'the account has no proven identifier of this type',
  );

export const etagStale = () =>
  new DomainError<AccountsReason>('ETAG_STALE', 'the account has changed; read it again', {
    metadata: { field: 'etag' },
  });
