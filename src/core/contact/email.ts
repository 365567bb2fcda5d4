import { domainToASCII, domainToUnicode } from 'node:url';
import { invalid } from '../errors.js';

/** RFC 5321 §4.5.3.1.3: a path holds 256 octets, two of which are its angle brackets. */
export const MAX_EMAIL_LENGTH = 254;
const MAX_LOCAL_LENGTH = 64;
const MAX_LABEL_LENGTH = 63;

/** RFC 5322 dot-atom over ASCII. Each alternative starts where the last ended: linear time. */
const LOCAL_PART = /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const LDH_LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
/** Top-level domains are letters, or an A-label: this is also what keeps IP addresses out. */
const TOP_LEVEL_DOMAIN = /^(?:[a-z]{2,}|xn--[a-z0-9-]+)$/;
/**
 * What IDNA 2008 lets stand in a U-label: letters, marks, digits, hyphen and the few punctuation
 * marks with a context rule. The URL standard behind `domainToASCII` would let symbols through.
 */
const U_LABEL = /^[\p{L}\p{M}\p{Nd}\-\u00b7\u05f3\u05f4\u30fb]+$/u;
const ASCII = /^[\x20-\x7e]*$/;

/**
 * The canonical form of an email address: lower case, domain as A-labels. Throws `EMAIL_INVALID`.
 *
 * - Nothing is trimmed, unquoted or otherwise repaired: what needs repair is refused.
 * - Nothing is folded by provider (dots, plus tags): whether two such addresses are one mailbox is
 *   the provider's business, and a wrong guess would hand one person another's address.
 * - The local part is lower-cased although RFC 5321 lets it be case-sensitive: no provider of
 *   note is, and two accounts that differ in case alone would be an impersonation.
 * - Local parts beyond ASCII (RFC 6531) are refused: they need SMTPUTF8 on every hop, and have no
 *   agreed canonical form.
 */
export function parseEmail(field: string, raw: string): string {
  if (raw.length === 0) throw refused(field, 'an email address is required');
  if (raw.length > MAX_EMAIL_LENGTH) throw tooLong(field);
  const at = raw.indexOf('@');
  if (at < 0) throw refused(field, 'an email address has the form local-part@domain');
  if (raw.indexOf('@', at + 1) >= 0) throw refused(field, 'exactly one address is expected');
  const local = localPart(field, raw.slice(0, at));
  const email = `${local}@${domain(field, raw.slice(at + 1))}`;
  if (email.length > MAX_EMAIL_LENGTH) throw tooLong(field);
  return email;
}

function localPart(field: string, raw: string): string {
  if (raw.length > MAX_LOCAL_LENGTH) {
    throw refused(field, `the part before @ has at most ${MAX_LOCAL_LENGTH} characters`);
  }
  // Before lower-casing: some letters beyond ASCII (the Kelvin sign) have an ASCII lower case.
  if (!ASCII.test(raw)) {
    throw refused(field, 'the part before @ must be printable ASCII without white space');
  }
  const local = raw.toLowerCase();
  if (!LOCAL_PART.test(local)) {
    throw refused(
      field,
      "the part before @ must be letters, digits and !#$%&'*+/=?^_`{|}~- in groups joined by single dots",
    );
  }
  return local;
}

function domain(field: string, raw: string): string {
  const ascii = ASCII.test(raw) ? raw.toLowerCase() : fromUnicode(raw);
  const labels = ascii?.split('.') ?? [];
  const wellFormed =
    labels.length >= 2 &&
    labels.every((label) => label.length <= MAX_LABEL_LENGTH && LDH_LABEL.test(label)) &&
    TOP_LEVEL_DOMAIN.test(labels.at(-1) ?? '');
  if (ascii === undefined || !wellFormed || !isInternationalised(ascii)) {
    throw refused(field, 'the part after @ must be a domain name such as example.com');
  }
  return ascii;
}

/**
 * A domain in U-labels becomes A-labels only if it is already the spelling those stand for, case
 * and normal form apart: the mapping of UTS 46 also folds full-width letters, ideographic stops,
 * soft hyphens and percent escapes into another, quite different looking domain.
 */
function fromUnicode(raw: string): string | undefined {
  const ascii = domainToASCII(raw);
  if (ascii === '') return undefined;
  return domainToUnicode(ascii) === raw.toLowerCase().normalize('NFC') ? ascii : undefined;
}

/** Whether each `xn--` label is the one encoding of a label that does need encoding. */
function isInternationalised(ascii: string): boolean {
  if (!/(?:^|\.)xn--/.test(ascii)) return true;
  const unicode = domainToUnicode(ascii);
  if (domainToASCII(unicode) !== ascii) return false;
  const labels = ascii.split('.');
  return unicode
    .split('.')
    .every(
      (label, i) => !labels[i]?.startsWith('xn--') || (!ASCII.test(label) && U_LABEL.test(label)),
    );
}

function tooLong(field: string) {
  return refused(field, `an email address has at most ${MAX_EMAIL_LENGTH} characters`);
}

function refused(field: string, description: string) {
  return invalid('EMAIL_INVALID', field, description);
}
