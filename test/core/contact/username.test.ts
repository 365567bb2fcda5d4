import fc from 'fast-check';
import { getCountries, isValidPhoneNumber } from 'libphonenumber-js/max';
import { describe, expect, it } from 'vitest';
import {
  parseAnyUsername,
  parseEmail,
  parsePhone,
  parseUsername,
} from '../../../src/core/contact.js';
import { accepted, refusal } from './refusal.js';

const parse = (raw: string) => parseUsername('username', raw);

describe('the canonical form of a username (rule 11, model: identifiers)', () => {
  it.each([
    ['ann', 'ann'],
    ['Nguyen.An', 'nguyen.an'],
    ['a_b-c.d', 'a_b-c.d'],
    ['a0912345678', 'a0912345678'],
    ['X12345678', 'x12345678'],
    ['a'.repeat(32), 'a'.repeat(32)],
  ])('accepts %s as %s', (raw, canonical) => {
    expect(parse(raw)).toBe(canonical);
  });

  it.each([
    ['nothing', ''],
    ['two characters', 'an'],
    ['33 characters', 'a'.repeat(33)],
    ['an email', 'an@example.com'],
    ['an @ alone', '@an'],
    ['a phone number', '+84912345678'],
    ['a national phone number', '0912345678'],
    ['a punctuated phone number', '091-234-5678'],
    ['digits alone', '12345'],
    ['a vanity number', '1800flowers'],
    ['a letter before a +', 'x+84912345678'],
    ['a digit first', '1ann'],
    ['a leading dot', '.ann'],
    ['a leading underscore', '_ann'],
    ['a trailing dash', 'ann-'],
    ['a double dot', 'a..n'],
    ['two different separators in a row', 'a._n'],
    ['white space', 'a nn'],
    ['outer white space', ' ann'],
    ['a trailing line feed', 'ann\n'],
    ['NUL', 'an\0n'],
    ['Vietnamese letters', 'nguyễn'],
    ['a Cyrillic look-alike', 'аnn'],
    ['a Kelvin sign, whose lower case is k', '\u212aevin'],
    ['a dotted capital I', 'İrem'],
    ['full-width letters', 'ａｎｎ'],
    ['an emoji', 'ann😀'],
    ['a zero-width joiner', 'an\u200dn'],
    ['a slash', 'a/nn'],
    ['a wild card', 'ann%'],
  ])('refuses %s', (_, raw) => {
    refusal('USERNAME_INVALID', 'username', () => parse(raw));
  });

  it('says which characters a name of another script may have', () => {
    expect(refusal('USERNAME_INVALID', 'username', () => parse('nguyễn')).message).toContain('a-z');
  });

  it.each([
    'admin',
    'ADMIN',
    'ad.min',
    'root',
    'Support',
    'no-reply',
    'countersign',
    'count_ersign',
  ])('keeps %s for the service, but reads it where it exists', (raw) => {
    expect(refusal('USERNAME_INVALID', 'username', () => parse(raw)).message).toContain('reserved');
    expect(parseAnyUsername('username', raw)).toBe(raw.toLowerCase());
  });

  const likely = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9]{1,9}(?:[._-][a-zA-Z0-9]{1,6}){0,3}$/);
  const phoneLike = fc.stringMatching(
    /^(?:[a-zA-Z]|ext|tel|x)[0-9]{2,4}(?:[._-]?[0-9]{2,4}){1,4}[a-z]?$/,
  );

  it('makes names that differ in case collide, and is idempotent', () => {
    fc.assert(
      fc.property(likely, (raw) => {
        const canonical = accepted(() => parse(raw));
        if (canonical === undefined) return;
        expect(canonical).toMatch(/^[a-z][a-z0-9._-]{2,31}$/);
        for (const spelling of [canonical, raw.toUpperCase(), raw.toLowerCase()]) {
          expect(parse(spelling)).toBe(canonical);
        }
      }),
      { numRuns: 3000 },
    );
  });

  // A hundred thousand readings of numbers: ten seconds of computing and more.
  it('accepts no name that is an email, or a phone in any region', { timeout: 120_000 }, () => {
    let count = 0;
    fc.assert(
      fc.property(fc.oneof(likely, phoneLike), (raw) => {
        const username = accepted(() => parseAnyUsername('username', raw));
        if (username === undefined) return;
        count += 1;
        expect(accepted(() => parseEmail('email', username))).toBeUndefined();
        for (const region of [undefined, ...getCountries()]) {
          expect(accepted(() => parsePhone('phone_number', username, region, {}))).toBeUndefined();
          // Not only by our own, stricter reading.
          expect(isValidPhoneNumber(username, region)).toBe(false);
        }
      }),
      { numRuns: 400 },
    );
    expect(count).toBeGreaterThan(150);
  });

  it('throws nothing but a DomainError on any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (raw) => {
        accepted(() => parse(raw));
      }),
      { numRuns: 3000 },
    );
  });
});
