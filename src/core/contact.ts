/**
 * The one canonicaliser (rule 11): every email, phone, username, name and locale that enters the
 * house passes through here, and what comes out is exactly what the unique indexes see.
 */

export { MAX_EMAIL_LENGTH, parseEmail } from './contact/email.js';
export {
  type Channel,
  classifyIdentifier,
  type IdentifierType,
} from './contact/identifier-shape.js';
export { maskDestination, maskEmail, maskPhone } from './contact/mask.js';
export {
  isSupportedRegion,
  MAX_PHONE_INPUT_LENGTH,
  type PhonePolicy,
  parsePhone,
  regionOfPhone,
  UNKNOWN_REGION,
} from './contact/phone.js';
export {
  DEFAULT_LOCALE,
  type Locale,
  type NameLimits,
  negotiateLocale,
  parseLocale,
  parseName,
} from './contact/text.js';
export { parseAnyUsername, parseUsername } from './contact/username.js';
