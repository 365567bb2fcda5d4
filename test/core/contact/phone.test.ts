import fc from 'fast-check';
import { getCountries, getCountryCallingCode, getExampleNumber } from 'libphonenumber-js/max';
import examples from 'libphonenumber-js/mobile/examples';
import { describe, expect, it } from 'vitest';
import { isSupportedRegion, parsePhone, regionOfPhone } from '../../../src/core/contact.js';
import { accepted, refusal } from './refusal.js';

const parse = (raw: string, region?: string, allowed?: readonly string[]) =>
  parsePhone('phone_number', raw, region, allowed ? { allowedRegions: new Set(allowed) } : {});

const CALLING_CODES = [
  ...new Set([
    ...getCountries().map((region) => getCountryCallingCode(region)),
    '800',
    '808',
    '870',
    '883',
    '888',
    '979',
  ]),
];

/** Digits that often enough are a number somewhere: an example with its last digits redrawn. */
const nearExample = fc
  .tuple(fc.constantFrom(...getCountries()), fc.nat({ max: 9999 }), fc.boolean())
  .map(([region, tail, national]) => {
    const example = getExampleNumber(region, examples);
    if (example === undefined) throw new Error(`no example for ${region}`);
    const whole = national ? example.formatNational().replace(/[^0-9]/g, '') : example.number;
    return { raw: whole.slice(0, -4) + String(tail).padStart(4, '0'), region };
  });

describe('the canonical form of a phone number (rule 11, V2)', () => {
  it.each([
    ['+84912345678', undefined],
    ['+84 91 234 56 78', undefined],
    ['+84 (91) 234-56.78', undefined],
    ['  +84912345678  ', undefined],
    ['+84 (0) 912345678', undefined],
    ['0912 345 678', 'VN'],
    ['0912345678', 'vn'],
    ['912345678', 'VN'],
    ['84912345678', 'VN'],
    ['00 84 912345678', 'VN'],
    ['011 84 912345678', 'US'],
    ['+84912345678', 'US'],
    ['+84912345678', ''],
  ])('reads %s in %s as +84912345678', (raw, region) => {
    expect(parse(raw, region)).toBe('+84912345678');
  });

  it.each([
    ['nothing', ''],
    ['white space alone', '   '],
    ['a lone +', '+'],
    ['separators alone', '().-'],
    ['a national number without a region', '0912345678'],
    ['an international prefix without a region', '0084912345678'],
    ['digits with a country code but no +', '84912345678'],
    ['an extension with x', '+84912345678x12'],
    ['an extension with ext.', '+84912345678 ext. 12'],
    ['an extension with ;ext=', '+84912345678;ext=12'],
    ['an extension with #', '+84912345678#12'],
    ['an extension with a comma', '+84912345678,12'],
    ['vanity letters', '+1 800 FLOWERS'],
    ['a tel: link', 'tel:+84912345678'],
    ['a sentence', 'call +84912345678'],
    ['a second number', '+84912345678/+84912345679'],
    ['a + in the middle', '+84+912345678'],
    ['two leading +', '++84912345678'],
    ['a + in parentheses', '(+84)912345678'],
    ['Arabic-Indic digits', '+٨٤٩١٢٣٤٥٦٧٨'],
    ['full-width digits', '+８４９１２３４５６７８'],
    ['a full-width +', '＋84912345678'],
    ['a non-breaking space', '+84\u00a0912345678'],
    ['an en dash', '+84–912345678'],
    ['a tab', '+84\t912345678'],
    ['CR LF', '+84912345678\r\n'],
    ['NUL', '+84912345678\0'],
    ['a word joiner', '\u2060+84912345678'],
    ['a right-to-left mark', '\u200f+84912345678'],
    ['33 characters', `+84912345678${' '.repeat(21)}`],
    ['too many digits', '+849123456789012'],
    ['too few digits', '+8491'],
    ['a number outside the plan', '+84112345678'],
    ['a country code that is none', '+999123456789'],
    ['a country code beginning with 0', '+0084912345678'],
    ['an email', 'an@example.com'],
    ['a username', 'nguyen.an'],
  ])('refuses %s', (_, raw) => {
    refusal('PHONE_INVALID', 'phone_number', () => parse(raw));
  });

  it('takes 32 characters and says at 33 how many there may be', () => {
    expect(parse(`+84912345678${' '.repeat(20)}`)).toBe('+84912345678');
    const { message } = refusal('PHONE_INVALID', 'phone_number', () =>
      parse('1'.repeat(5000), 'US'),
    );
    expect(message).toContain('32');
  });

  it.each(['ZZ', 'V', 'VNM', '84', '001', 'V N', 'ＶＮ', 'vn\n', '__proto__'])(
    'refuses the unknown region %j by the name of its own field',
    (region) => {
      refusal('PHONE_INVALID', 'region', () => parse('0912345678', region));
      refusal('PHONE_INVALID', 'region', () => parse('+84912345678', region));
      expect(isSupportedRegion(region)).toBe(false);
    },
  );

  it.each([
    ['premium rate, United States', '+1 900 555 0123', undefined],
    ['premium rate, United Kingdom', '+44 909 879 0000', undefined],
    ['premium rate, Viet Nam, national', '1900 1234', 'VN'],
    ['premium rate, Germany', '+49 900 1234567', undefined],
    ['premium rate, international', '+979 1 2345 6789', undefined],
    ['shared cost, international', '+808 1234 5678', undefined],
    ['shared cost, Germany', '+49 180 1234567', undefined],
    ['shared cost, France', '+33 810 123 456', undefined],
  ])('refuses %s (P6)', (_, raw, region) => {
    refusal('PHONE_INVALID', 'phone_number', () => parse(raw, region));
  });

  it('says why a premium-rate number is refused', () => {
    expect(() => parse('+19005550123')).toThrow(/premium-rate/);
    expect(() => parse('+80812345678')).toThrow(/shared-cost/);
  });

  it('takes only numbers of the allowed countries, whatever region they were typed with (P6)', () => {
    expect(parse('0912345678', 'VN', ['VN'])).toBe('+84912345678');
    expect(() => parse('+12125550100', 'VN', ['VN'])).toThrow(/country/);
    refusal('PHONE_INVALID', 'phone_number', () => parse('+84912345678', undefined, ['US']));
    refusal('PHONE_INVALID', 'phone_number', () => parse('+84912345678', undefined, []));
  });

  it('tells countries that share a calling code apart (P6)', () => {
    expect(regionOfPhone(parse('+12125550100'))).toBe('US');
    expect(regionOfPhone(parse('+14165550100'))).toBe('CA');
    expect(regionOfPhone(parse('+77012345678'))).toBe('KZ');
    refusal('PHONE_INVALID', 'phone_number', () => parse('+14165550100', 'US', ['US']));
    refusal('PHONE_INVALID', 'phone_number', () => parse('+77012345678', 'RU', ['RU']));
  });

  it('knows numbers of no country by their calling code', () => {
    expect(regionOfPhone('+80012345678')).toBe('+800');
    expect(parse('+80012345678', undefined, ['+800'])).toBe('+80012345678');
    refusal('PHONE_INVALID', 'phone_number', () => parse('+80012345678', undefined, ['US']));
  });

  it('answers ZZ for what is no number, without throwing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (raw) => {
        expect(regionOfPhone(raw)).toMatch(/^(?:[A-Z]{2}|\+[0-9]{1,3})$/);
      }),
    );
    expect(regionOfPhone('+999123456')).toBe('ZZ');
    expect(regionOfPhone(`+1212${'5'.repeat(400)}`)).toBe('ZZ');
  });

  it('reads an example number of every region, nationally and internationally, as one', () => {
    for (const region of getCountries()) {
      const example = getExampleNumber(region, examples);
      if (example === undefined) throw new Error(`no example for ${region}`);
      expect(parse(example.number), region).toBe(example.number);
      expect(parse(example.formatInternational()), region).toBe(example.number);
      expect(parse(example.formatNational(), region), region).toBe(example.number);
      expect(regionOfPhone(example.number)).toMatch(/^[A-Z]{2}$/);
      expect(isSupportedRegion(region.toLowerCase())).toBe(true);
    }
  });

  it('gives stable E.164: idempotent, and the same under every region', () => {
    let count = 0;
    const anyDigits = fc
      .tuple(
        fc.constantFrom(...CALLING_CODES),
        fc.stringMatching(/^[0-9]{4,13}$/),
        fc.constantFrom(...getCountries()),
      )
      .map(([code, digits, region]) => ({ raw: `+${code}${digits}`, region }));
    fc.assert(
      fc.property(
        fc.oneof(nearExample, anyDigits),
        fc.constantFrom(...getCountries()),
        ({ raw, region }, other) => {
          const canonical = accepted(() => parse(raw, region));
          if (canonical === undefined) return;
          count += 1;
          expect(canonical).toMatch(/^\+[1-9][0-9]{3,14}$/);
          expect(parse(canonical)).toBe(canonical);
          expect(parse(canonical, other)).toBe(canonical);
          expect(parse(canonical.split('').join('-').replace('+-', '+ '), other)).toBe(canonical);
        },
      ),
      { numRuns: 5000 },
    );
    expect(count).toBeGreaterThan(1500);
  });

  it('throws nothing but a DomainError on any text in any region', () => {
    const region = fc.option(
      fc.oneof(fc.constantFrom(...getCountries()), fc.string({ unit: 'binary' })),
      {
        nil: undefined,
      },
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.stringMatching(/^[+0-9 ().;=x#,٠-٩-]{0,40}$/u),
    );
    fc.assert(
      fc.property(text, region, (raw, where) => {
        accepted(() => parse(raw, where));
      }),
      { numRuns: 3000 },
    );
  });
});
