import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { negotiateLocale, parseLocale, parseName } from '../../../src/core/contact.js';
import { accepted, refusal } from './refusal.js';

const LIMITS = { max: 20 };
const parse = (raw: string) => parseName('display_name', raw, LIMITS);

describe('names that people read', () => {
  it.each([
    ['Nguyễn Văn An', 'Nguyễn Văn An'],
    ['Nguye\u0302\u0303n', 'Nguyễn'],
    ['  An \u3000', 'An'],
    ['محمد', 'محمد'],
    ['王小明', '王小明'],
    ['👩‍👩‍👧‍👦 An', '👩‍👩‍👧‍👦 An'],
    ["O'Neil & Søns <x>", "O'Neil & Søns <x>"],
    ['😀'.repeat(20), '😀'.repeat(20)],
    ['e\u0301'.repeat(20), 'é'.repeat(20)],
  ])('accepts %j', (raw, name) => {
    expect(parse(raw)).toBe(name);
  });

  it.each([
    ['nothing', ''],
    ['white space alone', ' \u00a0 '],
    ['invisible characters alone', '\u200b\u3164\u2060'],
    ['21 code points', '😀'.repeat(21)],
    ['a megabyte', 'a'.repeat(1 << 20)],
    ['NUL', 'An\0'],
    ['a line feed', 'An\nBcc: x'],
    ['a tab', 'An\tBinh'],
    ['a C1 control', 'An\u0085'],
    ['a line separator', 'An\u2028'],
    ['a right-to-left override', 'An\u202egpj'],
    ['an isolate', '\u2066An\u2069'],
    ['a lone surrogate', 'An\ud83d'],
  ])('refuses %s', (_, raw) => {
    refusal('FIELD_INVALID', 'display_name', () => parse(raw));
  });

  it('counts from and to the given limits in code points', () => {
    expect(parseName('organization_name', '😀😀', { min: 2, max: 2 })).toBe('😀😀');
    refusal('FIELD_INVALID', 'organization_name', () =>
      parseName('organization_name', '😀', { min: 2, max: 2 }),
    );
    expect(parseName('organization_name', '  ', { min: 0, max: 2 })).toBe('');
  });

  it('is idempotent and throws nothing but a DomainError on any text', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ unit: 'grapheme', maxLength: 20 }),
    );
    fc.assert(
      fc.property(text, (raw) => {
        const name = accepted(() => parse(raw));
        if (name === undefined) return;
        expect(parse(name)).toBe(name);
        expect([...name].length).toBeLessThanOrEqual(LIMITS.max);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('locales (M3)', () => {
  it.each([
    ['en', 'en'],
    ['vi', 'vi'],
    ['vi-VN', 'vi'],
    ['VI-vn', 'vi'],
    ['vi-Latn-VN-u-nu-latn', 'vi'],
    ['en-GB', 'en'],
    ['fr-CA', 'en'],
    ['zh-Hant-TW', 'en'],
    ['', undefined],
    [undefined, undefined],
  ])('takes the field %j as %s', (raw, locale) => {
    expect(parseLocale('locale', raw)).toBe(locale);
  });

  it.each([
    'vi_VN',
    'v',
    '*',
    'vi-',
    'vi VN',
    'tiếng Việt',
    'vi\n',
    'vi\0',
    `vi-${'x'.repeat(33)}`,
    '../vi',
  ])('refuses the malformed tag %j', (raw) => {
    refusal('FIELD_INVALID', 'locale', () => parseLocale('locale', raw));
  });

  it.each([
    [undefined, 'en'],
    ['', 'en'],
    ['vi', 'vi'],
    ['vi-VN,vi;q=0.9,en-US;q=0.8,en;q=0.7', 'vi'],
    ['en-US,en;q=0.9,vi;q=0.8', 'en'],
    ['en;q=0.2, vi;q=0.8', 'vi'],
    ['fr-FR, vi;q=0.1', 'vi'],
    ['fr, de;q=0.9', 'en'],
    ['fr, *;q=0.5, vi;q=0.4', 'en'],
    ['vi;q=0', 'en'],
    ['vi;q=2, vi;q=0.0001', 'en'],
    ['vi;q=1.000', 'vi'],
    ['vi ; q=0.5', 'vi'],
    [';;;,,,vi', 'vi'],
    [`${'fr,'.repeat(84)}vi`, 'vi'],
    [`${'fr,'.repeat(86)}vi`, 'en'],
  ])('negotiates %j to %s', (header, locale) => {
    expect(negotiateLocale(header)).toBe(locale);
  });

  it('never throws on any header, and refuses any tag but by a DomainError', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (raw) => {
        expect(['en', 'vi']).toContain(negotiateLocale(raw));
        accepted(() => parseLocale('locale', raw));
      }),
      { numRuns: 3000 },
    );
  });
});
