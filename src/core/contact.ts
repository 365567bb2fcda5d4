/**
 * The one canonicaliser (rule 11): every email, phone, username, name and locale that enters the
 * house passes through here, and what comes out is exactly what the unique indexes see.
 */

export { parseEmail } from './contact/email.js';
export {
  type Channel,
  classifyIdentifier,
  type IdentifierType,
} from './contact/identifier-shape.js';
export { maskDestination, maskEmail, maskPhone } from './contact/mask.js';
export {
  isSupportedRegion,
  type PhonePolicy,
  parsePhone,
  regionOfPhone,
} from './contact/phone.js';
export {
  type Locale,
  type NameLimits,
  negotiateLocale,
  parseLocale,
  parseName,
} from './contact/text.js';
export { parseAnyUsername, parseUsername } from './contact/username.js';
