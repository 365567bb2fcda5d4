import {
  type CountryCode,
  isSupportedCountry,
  type PhoneNumber,
  type PhoneNumberType,
  parsePhoneNumberFromString,
} from 'libphonenumber-js/max';
import { invalid } from '../errors.js';

/** Which countries' numbers are taken (`SMS_ALLOWED_REGIONS`). */
export interface PhonePolicy {
  /**
   * As `regionOfPhone` gives them: upper-case ISO 3166-1 alpha-2, or a calling code such as `+883`
   * for numbers of no country. Undefined: all.
   */
  readonly allowedRegions?: ReadonlySet<string> | undefined;
}

/** A generously punctuated international number; E.164 itself has at most 16 characters. */
export const MAX_PHONE_INPUT_LENGTH = 32;
/** The CLDR's code for "unknown region". */
export const UNKNOWN_REGION = 'ZZ';

const PHONE_CHARACTERS = /^ *\+?[0-9 ().-]+$/;
const SEPARATORS = /[ ().-]/g;
const REGION = /^[A-Za-z]{2}$/;

/** P6: somebody earns money by each message to these. */
const REFUSED_TYPES: ReadonlySet<PhoneNumberType> = new Set<PhoneNumberType>([
  'PREMIUM_RATE',
  'SHARED_COST',
]);

/**
 * The one E.164 form of a phone number, or `PHONE_INVALID`. `region` is what national numbers and
 * international prefixes (`00`) are read by; a number with a leading + needs none. A region that is
 * no region is refused even then, and named as the field at fault.
 *
 * Only ASCII digits and separators reach the library: its own parser also reads extensions,
 * `tel:` links, other scripts' digits and the number inside a sentence, each of which would give
 * one number many spellings, or a text a meaning that nobody typed (rule 11).
 */
export function parsePhone(
  field: string,
  raw: string,
  region: string | undefined,
  policy: PhonePolicy,
): string {
  const country = parseRegion(region);
  const digits = diallable(field, raw);
  if (!digits.startsWith('+') && country === undefined) {
    throw refused(field, 'a number without a leading + and country code needs a region');
  }
  const first = parse(digits, country);
  // Judged as the index will see it, without the region it was typed with: the canonical form is
  // then a fixed point by construction.
  const phone = first === undefined || first.number === digits ? first : parse(first.number);
  // Of a number that is not valid the library knows no type.
  const type = phone?.getType();
  if (phone === undefined || phone.number !== first?.number || type === undefined) {
    throw refused(field, 'this is not a valid phone number');
  }
  if (REFUSED_TYPES.has(type)) {
    throw refused(field, 'premium-rate and shared-cost numbers are not accepted');
  }
  if (policy.allowedRegions !== undefined && !policy.allowedRegions.has(regionOf(phone))) {
    throw refused(field, 'numbers of this country are not accepted');
  }
  return phone.number;
}

/**
 * The country of a canonical number, for limits and policy: ISO 3166-1 alpha-2, the calling code
 * (`+883`) where it belongs to no country, or `ZZ` where the numbering plan no longer knows it.
 * Never throws, and has few hundred possible answers, so that it may key a limit or a metric.
 */
export function regionOfPhone(e164: string): string {
  if (e164.length > MAX_PHONE_INPUT_LENGTH) return UNKNOWN_REGION;
  const phone = parse(e164);
  return phone === undefined ? UNKNOWN_REGION : regionOf(phone);
}

/** Whether national numbers can be read by this region; in upper or lower case. */
export function isSupportedRegion(region: string): boolean {
  return REGION.test(region) && isSupportedCountry(region.toUpperCase());
}

function parseRegion(region: string | undefined): CountryCode | undefined {
  if (region === undefined || region === '') return undefined;
  const code = REGION.test(region) ? region.toUpperCase() : '';
  if (isSupportedCountry(code)) return code;
  throw refused('region', 'the region must be a known ISO 3166-1 alpha-2 code such as VN');
}

/** Digits with an optional leading +, or a refusal that says what is wrong with the characters. */
function diallable(field: string, raw: string): string {
  if (raw.length === 0) throw refused(field, 'a phone number is required');
  if (raw.length > MAX_PHONE_INPUT_LENGTH) {
    throw refused(field, `a phone number has at most ${MAX_PHONE_INPUT_LENGTH} characters`);
  }
  if (!PHONE_CHARACTERS.test(raw)) {
    throw refused(
      field,
      'only the digits 0-9, spaces, dots, dashes, parentheses and a leading + are accepted: no letters, extensions or digits of other scripts',
    );
  }
  return raw.replace(SEPARATORS, '');
}

function parse(digits: string, defaultCountry?: CountryCode): PhoneNumber | undefined {
  return parsePhoneNumberFromString(
    digits,
    defaultCountry === undefined ? { extract: false } : { extract: false, defaultCountry },
  );
}

function regionOf(phone: PhoneNumber): string {
  return phone.country ?? `+${phone.countryCallingCode}`;
}

function refused(field: string, description: string) {
  return invalid('PHONE_INVALID', field, description);
}
