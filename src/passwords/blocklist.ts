import { dictionary } from '@zxcvbn-ts/language-common';

/** The shortest password any policy allows (rule 14). */
export const MIN_CODE_POINTS = 8;

const SERVICE_NAME = 'countersign';

/**
 * Built when the process loads this module (tens of milliseconds) and never changed: the first
 * sign-up must not pay for it. Entries below the shortest allowed password can never be asked for.
 */
const COMMON: ReadonlySet<string> = new Set(
  dictionary['passwords-common']
    .map(fold)
    .filter((password) => codePoints(password) >= MIN_CODE_POINTS),
);

/** Letters-free additions that make an identifier no harder to guess: `ann.bell` → `ann.bell2024`. */
const TRIVIAL_ADDITION = 4;

/** Words of a name shorter than this turn up in good passphrases by accident. */
const MIN_CORE = 4;

/** A name is read this far for its parts; what follows is no help to anybody who guesses. */
const MAX_IDENTIFIER = 320;

/** Longest repetition or run that counts as common. */
const MAX_PATTERN = 16;

/** Whether guessers try it first, whoever the person is. */
export function isCommon(password: string): boolean {
  const folded = fold(password);
  return COMMON.has(folded) || isPattern(folded);
}

/**
 * Whether it is the service's name or an identifier of the person (username, email address, phone
 * number, display name; as typed or canonical), or one of them with up to four digits or signs
 * before or after it, in any case, width or punctuation.
 */
export function isPersonal(password: string, personal: readonly string[]): boolean {
  const folded = fold(password);
  const spellings = [folded, squash(folded)];
  const cores = [SERVICE_NAME, ...personal.flatMap(coresOf)];
  return cores.some((core) => spellings.some((spelling) => isTriviallyDerived(spelling, core)));
}

export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** For comparing only: what is hashed stays as typed. NFKC makes full-width letters plain ones. */
function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase();
}

function squash(folded: string): string {
  return folded.replace(/[\s._\-+@()'/]/gu, '');
}

/**
 * The common list leaves out what a strength meter finds by itself: one to three characters
 * repeated (`aaaaaaaa`, `12121212`) and runs (`abcdefgh`, `87654321`). They are as common as what
 * it lists. Longer ones are nobody's habit, and judging those would be a composition rule.
 */
function isPattern(folded: string): boolean {
  const points = Array.from(folded, (character) => character.codePointAt(0) ?? 0);
  if (points.length > MAX_PATTERN) return false;
  const repeats = [1, 2, 3].some((unit) =>
    points.every((point, at) => at < unit || point === points[at - unit]),
  );
  const runs = [1, -1].some((step) =>
    points.every((point, at) => at === 0 || point - (points[at - 1] ?? 0) === step),
  );
  return repeats || runs;
}

/** The strings that give one identifier away, each as it stands and without its separators. */
function coresOf(identifier: string): string[] {
  const folded = fold(identifier.slice(0, MAX_IDENTIFIER)).trim();
  const parts = [folded, ...partsOf(folded)];
  return parts.flatMap((part) => [part, squash(part)]).filter((c) => codePoints(c) >= MIN_CORE);
}

function partsOf(folded: string): string[] {
  if (/^[+\d][\d\s().-]*$/u.test(folded)) {
    // Country codes have one to three digits; a national zero is a trivial addition anyway.
    const digits = folded.replace(/\D/gu, '');
    return [digits, digits.slice(1), digits.slice(2), digits.slice(3)];
  }
  const at = folded.lastIndexOf('@');
  if (at > 0) return [folded.slice(0, at)];
  return folded.split(/\s+/u);
}

function isTriviallyDerived(password: string, core: string): boolean {
  const at = password.indexOf(core);
  if (at < 0) return false;
  const added = password.slice(0, at) + password.slice(at + core.length);
  return codePoints(added) <= TRIVIAL_ADDITION && !/\p{L}/u.test(added);
}
