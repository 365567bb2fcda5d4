import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEmail } from '../../../src/core/contact.js';
import { accepted, refusal } from './refusal.js';

const parse = (raw: string) => parseEmail('email', raw);
const label63 = 'a'.repeat(63);

describe('the canonical form of an email (rule 11)', () => {
  it.each([
    ['an@example.com', 'an@example.com'],
    ['Nguyen.An@Example.COM', 'nguyen.an@example.com'],
    [
      "o'neil+shop!#$%&*/=?^_`{|}~-@mail.example.co.uk",
      "o'neil+shop!#$%&*/=?^_`{|}~-@mail.example.co.uk",
    ],
    ['an@exämple.com', 'an@xn--exmple-cua.com'],
    ['an@EXÄMPLE.com', 'an@xn--exmple-cua.com'],
    ['an@exa\u0308mple.com', 'an@xn--exmple-cua.com'],
    ['an@XN--exmple-CUA.com', 'an@xn--exmple-cua.com'],
    ['an@straße.de', 'an@xn--strae-oqa.de'],
    ['an@例え.テスト', 'an@xn--r8jz45g.xn--zckzah'],
    ['an@thư-điện-tử.vn', 'an@xn--th-in-t-i7a34l285nbma.vn'],
    ['an@r3---sn.example.com', 'an@r3---sn.example.com'],
    [`${'l'.repeat(64)}@example.com`, `${'l'.repeat(64)}@example.com`],
    [`an@${label63}.com`, `an@${label63}.com`],
  ])('accepts %s', (raw, canonical) => {
    const email = parse(raw);
    expect(email).toBe(canonical);
    expect(parse(email)).toBe(email);
  });

  it('folds nothing by provider: dots and tags are different addresses', () => {
    expect(parse('a.n+x@gmail.com')).toBe('a.n+x@gmail.com');
  });

  it('gives a domain in either spelling the same form', () => {
    expect(parse('an@bücher.example')).toBe(parse('an@xn--bcher-kva.example'));
  });

  it.each([
    ['nothing', ''],
    ['no @', 'example.com'],
    ['a username', 'nguyen.an'],
    ['no local part', '@example.com'],
    ['no domain', 'an@'],
    ['two recipients', 'an@example.com,binh@example.com'],
    ['two @', 'an@binh@example.com'],
    ['a display name', 'An <an@example.com>'],
    ['a quoted local part', '"an"@example.com'],
    ['a quoted local part with an @', '"a@n"@example.com'],
    ['a comment', 'an(at work)@example.com'],
    ['a leading dot', '.an@example.com'],
    ['a trailing dot', 'an.@example.com'],
    ['a double dot', 'a..n@example.com'],
    ['outer white space', ' an@example.com'],
    ['trailing white space', 'an@example.com '],
    ['inner white space', 'a n@example.com'],
    ['CR LF', 'an@example.com\r\nBcc: binh'],
    ['a lone LF at the end', 'an@example.com\n'],
    ['NUL', 'an\0@example.com'],
    ['NUL in the domain', 'an@exam\0ple.com'],
    ['DEL', 'an\u007f@example.com'],
    ['an IPv4 literal', 'an@[127.0.0.1]'],
    ['an IPv6 literal', 'an@[IPv6:::1]'],
    ['a bare IPv4 address', 'an@127.0.0.1'],
    ['a hexadecimal last label', 'an@127.0x1'],
    ['one label', 'an@localhost'],
    ['a numeric top-level domain', 'an@example.123'],
    ['a root dot', 'an@example.com.'],
    ['an empty label', 'an@example..com'],
    ['a label starting with a dash', 'an@-example.com'],
    ['a label ending with a dash', 'an@example-.com'],
    ['an underscore in the domain', 'an@exam_ple.com'],
    ['a label of 64', `an@${label63}a.com`],
    ['a local part of 65', `${'l'.repeat(65)}@example.com`],
    ['255 characters', `an@${`${label63}.`.repeat(3)}${'a'.repeat(56)}.com`],
    [
      '254 characters that grow as A-labels',
      `an@${`${'a'.repeat(50)}é.`.repeat(4)}${'a'.repeat(39)}.com`,
    ],
    ['a local part of another script', 'nguyễn@example.com'],
    ['a Kelvin sign', '\u212aelvin@example.com'],
    ['a percent escape in the domain', 'an@ex%61mple.com'],
    ['a percent escape in a domain of another script', 'an@%65xämple.com'],
    ['full-width letters', 'an@ｅxample.com'],
    ['an ideographic full stop', 'an@example。com'],
    ['a soft hyphen', 'an@exam\u00adple.com'],
    ['a zero-width space', 'an@exam\u200bple.com'],
    ['a symbol in the domain', 'an@☃.com'],
    ['the same symbol as an A-label', 'an@xn--n3h.com'],
    ['an A-label that decodes to nothing', 'an@xn--a.com'],
    ['an A-label that needed no encoding', 'an@xn--abc-.com'],
    ['a lone surrogate', 'an@ex\ud800mple.com'],
    ['a right-to-left override', 'an@\u202eexample.com'],
  ])('refuses %s', (_, raw) => {
    refusal('EMAIL_INVALID', 'email', () => parse(raw));
  });

  it('names the field as the caller spells it and never repeats the value (rule 22)', () => {
    const error = refusal('EMAIL_INVALID', 'users[3].email', () =>
      parseEmail('users[3].email', 'secret-person@bad_domain.com'),
    );
    expect(JSON.stringify(error.violations) + error.message).not.toContain('secret-person');
  });

  it('is idempotent, bounded and ASCII for whatever it accepts', () => {
    const email = fc.oneof(
      fc.emailAddress(),
      fc
        .tuple(fc.emailAddress(), fc.stringMatching(/^[a-zéßäöσж例đươ.-]{1,20}$/u))
        .map(([address, u]) => `${address.split('@')[0]}@${u}.com`),
    );
    let count = 0;
    fc.assert(
      fc.property(email, (raw) => {
        const canonical = accepted(() => parse(raw));
        if (canonical === undefined) return;
        count += 1;
        expect(parse(canonical)).toBe(canonical);
        expect(parse(canonical.toUpperCase())).toBe(canonical);
        expect(canonical).toMatch(/^[\x21-\x7e]{5,254}$/);
        expect(canonical.split('@')).toHaveLength(2);
      }),
      { numRuns: 2000 },
    );
    expect(count).toBeGreaterThan(500);
  });

  it('throws nothing but a DomainError, and quickly, on any text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.string({ unit: 'binary' }),
        (a, b) => {
          accepted(() => parse(a));
          accepted(() => parse(`${a}@${b}.com`));
        },
      ),
      { numRuns: 2000 },
    );
    const started = performance.now();
    for (const hostile of [
      'a.'.repeat(1 << 20),
      `${'a'.repeat(63)}!@`.repeat(4),
      `a@${'-'.repeat(240)}`,
    ]) {
      expect(accepted(() => parse(hostile))).toBeUndefined();
    }
    expect(performance.now() - started).toBeLessThan(100);
  });
});
