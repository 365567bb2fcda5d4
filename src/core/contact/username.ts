import { invalid } from '../errors.js';

const MIN_LENGTH = 3;
const MAX_LENGTH = 32;

/** A letter, then letters and digits, with single separators between them: linear time. */
const USERNAME = /^[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*$/;
const USERNAME_CHARACTERS = /^[A-Za-z0-9._-]*$/;

/** Names that would let their bearer speak for the house; compared without separators. */
const RESERVED: ReadonlySet<string> = new Set([
  'abuse',
  'admin',
  'administrator',
  'countersign',
  'helpdesk',
  'hostmaster',
  'moderator',
  'noreply',
  'null',
  'official',
  'operator',
  'postmaster',
  'root',
  'security',
  'staff',
  'superuser',
  'support',
  'sysadmin',
  'system',
  'undefined',
  'webmaster',
]);

/**
 * The canonical form of a username: lower-case ASCII, so that two sign-ups that differ in case
 * meet in the unique index. Throws `USERNAME_INVALID`, also for names kept for the service itself.
 *
 * It can be neither an email (no @) nor a phone: it starts with a letter, and a phone is read from
 * the whole text or not at all (`parsePhone`), so that `a0912345678` is a name and nothing else.
 * Other scripts are refused: their look-alikes (Cyrillic а) would let one person pass for another,
 * and a display name has room for every script.
 */
export function parseUsername(field: string, raw: string): string {
  const username = parseAnyUsername(field, raw);
  if (RESERVED.has(username.replace(/[._-]/g, ''))) {
    throw refused(field, 'this username is reserved');
  }
  return username;
}

/**
 * As `parseUsername`, reserved names included: for reading names that may already exist, and for
 * operators, who may want to be called `admin`.
 */
export function parseAnyUsername(field: string, raw: string): string {
  if (raw.length < MIN_LENGTH || raw.length > MAX_LENGTH) {
    throw refused(field, `a username has ${MIN_LENGTH} to ${MAX_LENGTH} characters`);
  }
  // Before lower-casing: some letters beyond ASCII (the Kelvin sign) have an ASCII lower case.
  if (!USERNAME_CHARACTERS.test(raw)) {
    throw refused(
      field,
      'a username is made of the letters a-z, digits, dots, dashes and underscores',
    );
  }
  const username = raw.toLowerCase();
  if (!USERNAME.test(username)) {
    throw refused(
      field,
      'a username starts with a letter, ends with a letter or digit, and has no two separators in a row',
    );
  }
  return username;
}

function refused(field: string, description: string) {
  return invalid('USERNAME_INVALID', field, description);
}
