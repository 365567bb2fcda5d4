import { fieldInvalid } from '../errors.js';

/** The languages that every text a person reads exists in (M3). */
export type Locale = 'en' | 'vi';
export const DEFAULT_LOCALE: Locale = 'en';

export interface NameLimits {
  /** In code points, after normalisation. */
  readonly max: number;
  /** In code points; 1 if not given. */
  readonly min?: number;
}

/** UTF-16 units per code point (2) times the most code points that NFC composes into one (4). */
const UNITS_PER_CODE_POINT = 8;

/** Control characters, lone surrogates, and the two separators that break lines. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029]/u;
/** Overrides and isolates reorder the text around a name: `annexe.exe` shown as something else. */
const BIDI_CONTROL = /[\u202a-\u202e\u2066-\u2069]/;
/** Something that leaves ink: neither white space nor, like U+200B or U+3164, ignorable. */
const VISIBLE = /[^\p{White_Space}\p{Default_Ignorable_Code_Point}]/u;

/**
 * A name that people read (`display_name`, `organization_name`), in any script: NFC, without outer
 * white space. Throws `FIELD_INVALID`. Names are shown, never compared: look-alikes stay.
 */
export function parseName(field: string, raw: string, { max, min = 1 }: NameLimits): string {
  const tooLong = `at most ${max} characters are accepted`;
  // The cheap bound first: normalising and counting a long text costs.
  if (raw.length > max * UNITS_PER_CODE_POINT) throw fieldInvalid(field, tooLong);
  if (UNPRINTABLE.test(raw)) {
    throw fieldInvalid(
      field,
      'control characters, line breaks and broken characters are not accepted',
    );
  }
  if (BIDI_CONTROL.test(raw)) {
    throw fieldInvalid(field, 'characters that override the writing direction are not accepted');
  }
  const name = raw.normalize('NFC').trim();
  const length = [...name].length;
  if (length > max) throw fieldInvalid(field, tooLong);
  if (length < min) throw fieldInvalid(field, `at least ${min} characters are needed`);
  if (length > 0 && !VISIBLE.test(name)) {
    throw fieldInvalid(field, 'at least one visible character is needed');
  }
  return name;
}

/** RFC 5646 §4.4.1: enough for any tag with language, script, region and variants. */
const MAX_TAG_LENGTH = 35;

/**
 * The locale that a BCP 47 tag asks for; English where it is well-formed and we do not speak it.
 * Absent or empty: undefined, so that the next best source decides. Throws `FIELD_INVALID`.
 */
export function parseLocale(field: string, raw: string | undefined): Locale | undefined {
  if (raw === undefined || raw === '') return undefined;
  const language = raw.length > MAX_TAG_LENGTH ? undefined : languageOf(raw);
  if (language === undefined) {
    throw fieldInvalid(field, 'the locale must be a BCP 47 language tag such as vi or en-GB');
  }
  return spoken(language) ?? DEFAULT_LOCALE;
}

function languageOf(tag: string): string | undefined {
  try {
    return new Intl.Locale(tag).language;
  } catch {
    return undefined;
  }
}

const MAX_ACCEPT_LANGUAGE_LENGTH = 256;
/** RFC 9110 §12.5.4: a language range and its weight, which has at most three decimals. */
const LANGUAGE_RANGE =
  /^(\*|[a-z]{1,8})(?:-[a-z0-9-]*)?(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?$/i;

/**
 * The locale for an `accept-language` header: the spoken language with the highest weight, the
 * first of equals, English if there is none. The header is a wish, not a field: what is malformed
 * or over-long in it is passed over, never refused.
 */
export function negotiateLocale(acceptLanguage: string | undefined): Locale {
  if (acceptLanguage === undefined || acceptLanguage.length > MAX_ACCEPT_LANGUAGE_LENGTH) {
    return DEFAULT_LOCALE;
  }
  let best: Locale = DEFAULT_LOCALE;
  let bestWeight = 0;
  for (const range of acceptLanguage.split(',')) {
    const [, language = '', weight = '1'] = LANGUAGE_RANGE.exec(range.trim()) ?? [];
    const locale = language === '*' ? DEFAULT_LOCALE : spoken(language.toLowerCase());
    if (locale !== undefined && Number(weight) > bestWeight) {
      best = locale;
      bestWeight = Number(weight);
    }
  }
  return best;
}

function spoken(language: string): Locale | undefined {
  return language === 'en' || language === 'vi' ? language : undefined;
}
