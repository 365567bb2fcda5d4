import { DomainError } from '../errors.js';
import { MAX_EMAIL_LENGTH, parseEmail } from './email.js';
import { isSupportedRegion, type PhonePolicy, parsePhone } from './phone.js';
import { parseAnyUsername } from './username.js';

export type IdentifierType = 'username' | 'email' | 'phone';

/** What a code or a notice travels by. */
export type Channel = 'email' | 'sms';

/** No message shows it: nothing that is thrown here leaves. */
const FIELD = 'identifier';

/**
 * What a person typed into the one sign-in field (A2), in its canonical form. The three shapes are
 * disjoint: an email alone has an @, a username alone starts with a letter.
 *
 * Undefined where it is none of them; the caller then does the decoy's work, since this field is
 * never refused by its shape. For the same reason an unknown region counts as none, and reserved
 * usernames pass: they may stand in old rows. Never throws.
 */
export function classifyIdentifier(
  raw: string,
  region: string | undefined,
  policy: PhonePolicy,
): { readonly type: IdentifierType; readonly value: string } | undefined {
  if (raw.length === 0 || raw.length > MAX_EMAIL_LENGTH) return undefined;
  if (raw.includes('@')) return shaped('email', () => parseEmail(FIELD, raw));
  const known = region !== undefined && isSupportedRegion(region) ? region : undefined;
  return (
    shaped('phone', () => parsePhone(FIELD, raw, known, policy)) ??
    shaped('username', () => parseAnyUsername(FIELD, raw))
  );
}

function shaped(type: IdentifierType, parse: () => string) {
  try {
    return { type, value: parse() };
  } catch (error) {
    if (error instanceof DomainError) return undefined;
    throw error;
  }
}
