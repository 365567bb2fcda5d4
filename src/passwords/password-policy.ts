import { fieldInvalid } from '../core/errors.js';
import { codePoints, isCommon, isPersonal, MIN_CODE_POINTS } from './blocklist.js';
import { passwordTooCommon, passwordTooLong, passwordTooShort } from './errors.js';

/** What an operator may choose; everything else of rule 14 is fixed. */
export interface PasswordPolicy {
  /** In code points. A lower figure than 8 counts as 8 (rule 14). */
  readonly minLength: number;
}

const MAX_CODE_POINTS = 256;
const MAX_BYTES = 1_024;

/**
 * Composing (NFC) makes UTF-8 at most three times shorter, so that more bytes than this cannot
 * come down to the limit. It bounds the cost of normalising; the limit itself is judged on the
 * normal form, or one password would be accepted from one keyboard and refused from another.
 */
const MAX_RAW_BYTES = 3 * MAX_BYTES;

/**
 * A password that somebody wants to have, in the form that is hashed: NFC, never trimmed, never
 * truncated, of any script, with no rule about its composition (rule 14).
 *
 * `personal` holds the person's own identifiers, as typed or canonical: username, email address,
 * phone number, display name. Parts of them (local part, national number) are worked out here.
 *
 * @throws FIELD_INVALID, PASSWORD_TOO_LONG, PASSWORD_TOO_SHORT, PASSWORD_TOO_COMMON
 */
export function parseNewPassword(
  field: string,
  raw: string,
  policy: PasswordPolicy,
  personal: readonly string[],
): string {
  const password = normalised(field, raw);
  const min = Math.max(MIN_CODE_POINTS, policy.minLength);
  if (codePoints(password) < min) throw passwordTooShort(field, min);
  if (isCommon(password) || isPersonal(password, personal)) throw passwordTooCommon(field);
  return password;
}

/**
 * A password presented as proof. Only what no account can ever have had is refused, so that the
 * answer depends on nothing but what was typed; the blocklist and the minimum may have changed
 * since it was chosen, and are not asked.
 *
 * @throws FIELD_INVALID, PASSWORD_TOO_LONG
 */
export function parsePresentedPassword(field: string, raw: string): string {
  if (raw === '') throw fieldInvalid(field, 'must not be empty');
  return normalised(field, raw);
}

function normalised(field: string, raw: string): string {
  // A UTF-16 unit is at least one byte of UTF-8: the cheap test comes before any walk.
  if (raw.length > MAX_RAW_BYTES || Buffer.byteLength(raw, 'utf8') > MAX_RAW_BYTES) {
    throw tooLong(field);
  }
  refuseBroken(field, raw);
  const password = raw.normalize('NFC');
  if (Buffer.byteLength(password, 'utf8') > MAX_BYTES) throw tooLong(field);
  if (codePoints(password) > MAX_CODE_POINTS) throw tooLong(field);
  return password;
}

/**
 * Lone surrogates have no UTF-8: each would be hashed as U+FFFD, and different passwords would
 * become one. U+FFFD itself is what a decoder leaves of bytes in another encoding, with the same
 * effect. NUL ends strings elsewhere. Other control characters are a person's own business.
 */
function refuseBroken(field: string, raw: string): void {
  if (/[\p{Surrogate}\u{fffd}]/u.test(raw)) throw fieldInvalid(field, 'must be valid Unicode');
  if (raw.includes('\0')) throw fieldInvalid(field, 'must not contain NUL');
}

function tooLong(field: string): ReturnType<typeof passwordTooLong> {
  return passwordTooLong(field, MAX_CODE_POINTS, MAX_BYTES);
}
