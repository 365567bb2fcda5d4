export { type Account, type AccountStatus, etagOf, parseEtag } from './account.js';
export {
  insertAccount,
  isAccount,
  isSignedIn,
  liveSession,
  type NewAccount,
  readAccount,
} from './account-store.js';
export { type CloseAccountDeps, closeAccount } from './close-account.js';
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
export { generateUsername } from './generated-username.js';
export { type GetAccountDeps, getAccount } from './get-account.js';
export { checkHandles, type HandleCheck } from './handle-check.js';
export {
  channelOfType,
  type Identifier,
  isVerified,
  type ProofPolicy,
  typeOfChannel,
} from './identifier.js';
export {
  type Claim,
  claimAddress,
  findHandle,
  insertProven,
  rivalClaims,
} from './identifier-store.js';
export { dueNote, insertNote, type Note, type NoteKind } from './notes.js';
export {
  type AccountContacts,
  areNoticed,
  contactsOf,
  draftNotices,
  insertNotices,
  NOTICE_LIFETIME_SECONDS,
  type Notices,
} from './notices.js';
export { accountOfPhone, phoneSignsIn, provePhoneAgain } from './phone-store.js';
export { removeContact } from './remove-contact.js';
export { type ResolveConfirmationDeps, resolveConfirmation } from './resolve-confirmation.js';
export {
  type SendVerificationCodeDeps,
  type SendVerificationCodeInput,
  sendVerificationCode,
} from './send-verification-code.js';
export { type SetPhoneNumberDeps, setPhoneNumber } from './set-phone-number.js';
export {
  type SetSignInEnabledDeps,
  type SetSignInEnabledInput,
  setSignInEnabled,
} from './set-sign-in-enabled.js';
export type { UpdateAccountDeps } from './update-account.js';
export { type UpdateProfileInput, updateProfile } from './update-profile.js';
export { type UpdateSettingsInput, updateSettings } from './update-settings.js';
export { hasWayIn, ownIdentifiers } from './ways-in.js';
