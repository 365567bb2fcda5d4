import { DomainError } from '../core/errors.js';

export type AccountsReason = 'USERNAME_TAKEN' | 'IDENTIFIER_TAKEN' | 'REAUTHENTICATION_REQUIRED';

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
    'sign in again to add or change an email or a phone',
  );
