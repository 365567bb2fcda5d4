import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/core/errors.js';
import { parseNewPassword, parsePresentedPassword } from '../../src/passwords/index.js';

const policy = { minLength: 8 };

function outcome(parse: () => string): string {
  try {
    return parse();
  } catch (error) {
    if (error instanceof DomainError) return error.reason;
    throw error;
  }
}

function chosen(raw: string, personal: readonly string[] = [], minLength = 8): string {
  return outcome(() => parseNewPassword('password', raw, { minLength }, personal));
}

function presented(raw: string): string {
  return outcome(() => parsePresentedPassword('password', raw));
}

/** `count` code points that form no repetition or run. */
function varied(count: number, alphabet: readonly string[]): string {
  return Array.from(
    { length: count },
    (_, at) => alphabet[(at * at + 3 * at) % alphabet.length],
  ).join('');
}

const LATIN = Array.from('qzhtwkpgvx9');
const EMOJI = ['🦊', '🌵', '🚲', '🧊', '🥐', '🪁', '🛶'];

describe('choosing a password', () => {
  it.each([
    ['plain', 'tr0ub4dor&3'],
    ['a passphrase with spaces at both ends, which stay', '  correct horse battery  '],
    ['Vietnamese', 'mật khẩu rất dài'],
    ['Chinese, eight characters', '马到成功心想事成'],
    ['Arabic', 'كلمة سر طويلة'],
    ['Hindi with combining marks', 'मेरा पासवर्ड लंबा'],
    ['emoji only', '🦊🌵🚲🧊🥐🪁🛶🦊'],
    ['a tab inside', 'left\tright9'],
    ['letters only, no composition rule', 'mvxqtrzk'],
    ['digits only, no composition rule', '9174028365'],
  ])('takes %s (rule 14)', (_, raw) => {
    expect(chosen(raw)).toBe(raw.normalize('NFC'));
  });

  it.each([
    ['nothing', '', 'PASSWORD_TOO_SHORT'],
    ['seven letters', 'mvxqtrz', 'PASSWORD_TOO_SHORT'],
    ['seven emoji, which are fourteen UTF-16 units', '🦊🌵🚲🧊🥐🪁🛶', 'PASSWORD_TOO_SHORT'],
    ['four letters with accents typed apart', 'a\u0301e\u0301i\u0301o\u0301', 'PASSWORD_TOO_SHORT'],
    ['257 code points', varied(257, LATIN), 'PASSWORD_TOO_LONG'],
    ['1,025 bytes in 257 code points', `${varied(256, EMOJI)}a`, 'PASSWORD_TOO_LONG'],
    ['64 MiB', 'x'.repeat(64 * 1_024 * 1_024), 'PASSWORD_TOO_LONG'],
    ['NUL', 'abc\0defghij', 'FIELD_INVALID'],
    ['a lone high surrogate', 'abcdefg\ud83e', 'FIELD_INVALID'],
    ['a lone low surrogate', '\udd8aabcdefgh', 'FIELD_INVALID'],
    ['what a decoder left of another encoding', 'pa\ufffd\ufffdw\ufffdrt', 'FIELD_INVALID'],
  ])('refuses %s (rule 14)', (_, raw, reason) => {
    expect(chosen(raw)).toBe(reason);
  });

  it('takes 256 code points of 1,024 bytes whole, neither trimmed nor truncated (rule 14)', () => {
    const raw = varied(256, EMOJI);
    expect(Buffer.byteLength(raw)).toBe(1_024);
    expect(chosen(raw)).toBe(raw);
    expect(chosen(`${varied(255, LATIN)} `)).toBe(`${varied(255, LATIN)} `);
  });

  it('judges bytes apart from code points: expansion by NFC counts (rule 14)', () => {
    // U+1D160 is one code point of 4 bytes and composes to three of 12.
    const expanding = '\u{1d160}'.repeat(86);
    expect(Buffer.byteLength(expanding)).toBe(344);
    expect(chosen(expanding)).toBe('PASSWORD_TOO_LONG');
    expect(presented(expanding)).toBe('PASSWORD_TOO_LONG');
  });

  it('names the field and the bounds, never the value', () => {
    const attempt = (raw: string) => () => parseNewPassword('new_password', raw, policy, []);
    expect(attempt('mvxq7tz')).toThrow(
      expect.objectContaining({
        reason: 'PASSWORD_TOO_SHORT',
        metadata: { field: 'new_password', min: '8' },
        violations: [{ field: 'new_password', description: expect.not.stringContaining('mvxq') }],
      }),
    );
    expect(attempt('x'.repeat(4_000))).toThrow(
      expect.objectContaining({
        metadata: { field: 'new_password', max: '256', max_bytes: '1024' },
      }),
    );
    expect(attempt('password123')).toThrow(
      expect.objectContaining({
        reason: 'PASSWORD_TOO_COMMON',
        metadata: { field: 'new_password' },
        message: expect.not.stringContaining('password123'),
      }),
    );
  });

  it('raises the minimum by policy and never lowers it below 8 (rule 14)', () => {
    expect(chosen(varied(14, LATIN), [], 15)).toBe('PASSWORD_TOO_SHORT');
    expect(chosen(varied(15, LATIN), [], 15)).toBe(varied(15, LATIN));
    expect(chosen('mvxqtrz', [], 1)).toBe('PASSWORD_TOO_SHORT');
  });
});

describe('the blocklist', () => {
  it.each([
    'password1',
    'PASSWORD1',
    'qwertyuiop',
    'iloveyou',
    'ｐａｓｓｗｏｒｄ１',
    'aaaaaaaa',
    'ZZZZZZZZZZZZ',
    '12121212',
    'abcabcabc',
    'abcdefgh',
    '87654321',
    'countersign',
    'CounterSign2026',
    '!countersign!',
  ])('refuses %s (rule 14)', (raw) => {
    expect(chosen(raw)).toBe('PASSWORD_TOO_COMMON');
  });

  const ann = ['ann.bellamy', 'Annie99@mail.example.org', '+84 901 234 567', 'Ann Bellamy-Tran'];

  it.each([
    ['the username', 'ann.bellamy'],
    ['the username in capitals with a year', 'ANN.BELLAMY2026'],
    ['the username without its dot', 'annbellamy'],
    ['the username after digits', '99annbellamy'],
    ['the address', 'annie99@mail.example.org'],
    ['the local part of the address', 'annie99!'],
    ['the phone number', '+84901234567'],
    ['the phone number in national form', '0901234567'],
    ['the phone number with other signs', '84-901-234-567'],
    ['the display name', 'Ann Bellamy-Tran'],
    ['the display name run together', 'annbellamytran1'],
    ['a part of the display name', 'bellamy-tran!1'],
  ])("refuses %s: one's own identifier or nearly (rule 14)", (_, raw) => {
    expect(chosen(raw, ann)).toBe('PASSWORD_TOO_COMMON');
    expect(chosen(raw, [])).toBe(raw);
  });

  it.each([
    ['a passphrase that only contains the username', 'ann.bellamy walks at noon'],
    ['an identifier with five digits', 'annbellamy20267'],
    ['a passphrase that contains the service name', 'my countersign is green'],
    ['another phone number', '0907654321'],
    ['a long repetition, which nobody guesses first', 'ab'.repeat(40)],
  ])('takes %s', (_, raw) => {
    expect(chosen(raw, ann)).toBe(raw);
  });

  it('is not confused by empty, short or huge identifiers', () => {
    const odd = ['', ' ', 'a', '@', '+', '-', 'x'.repeat(100_000)];
    expect(chosen('mvxqtrzk', odd)).toBe('mvxqtrzk');
  });

  it('catches any identifier with up to four signs or digits around it (rule 14)', () => {
    const username = fc.stringMatching(/^[a-z][a-z0-9._]{7,20}$/);
    const sign = fc.constantFrom(...'0123456789!?#$*');
    const additions = fc.tuple(fc.array(sign, { maxLength: 2 }), fc.array(sign, { maxLength: 2 }));
    fc.assert(
      fc.property(username, additions, fc.boolean(), (name, [before, after], capitals) => {
        const base = `${before.join('')}${name}${after.join('')}`;
        expect(chosen(capitals ? base.toUpperCase() : base, [name])).toBe('PASSWORD_TOO_COMMON');
      }),
    );
  });
});

describe('presenting a password', () => {
  it('asks neither minimum nor blocklist, which may have changed since', () => {
    expect(presented('x')).toBe('x');
    expect(presented('password1')).toBe('password1');
  });

  it.each([
    ['nothing', '', 'FIELD_INVALID'],
    ['NUL', 'abc\0defghij', 'FIELD_INVALID'],
    ['a lone surrogate', 'abcdefg\ud83e', 'FIELD_INVALID'],
    ['257 code points', varied(257, LATIN), 'PASSWORD_TOO_LONG'],
    ['64 MiB', 'x'.repeat(64 * 1_024 * 1_024), 'PASSWORD_TOO_LONG'],
  ])('refuses %s', (_, raw, reason) => {
    expect(presented(raw)).toBe(reason);
  });

  it('makes composed and decomposed spellings one password, at every length (rule 14)', () => {
    expect(chosen('cafe\u0301-au-lait')).toBe('caf\u00e9-au-lait');
    expect(presented('cafe\u0301-au-lait')).toBe(chosen('caf\u00e9-au-lait'));
    // Decomposed this is 768 code points and 1,280 bytes; composed it is within both limits.
    const longest = varied(256, ['ệ', 'ữ', 'ằ', 'ổ', 'ậ']);
    expect(presented(longest.normalize('NFD'))).toBe(longest);
    expect(chosen(longest.normalize('NFD'))).toBe(longest);
  });

  it('gives every canonical spelling of any text the same outcome, stable when repeated', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 });
    const accented = fc.string({
      unit: fc.constantFrom('e', 'ệ', 'ΐ', '한', '\u0301', '🦊', 'क़'),
      maxLength: 400,
    });
    fc.assert(
      fc.property(fc.oneof(text, accented), (raw) => {
        for (const parse of [chosen, presented]) {
          const result = parse(raw.normalize('NFD'));
          expect(parse(raw.normalize('NFC'))).toBe(result);
        }
        const accepted = presented(raw);
        if (accepted === raw.normalize('NFC')) {
          expect(Buffer.byteLength(accepted)).toBeLessThanOrEqual(1_024);
          expect(Array.from(accepted).length).toBeLessThanOrEqual(256);
          expect(presented(accepted)).toBe(accepted);
        }
      }),
      { numRuns: 500 },
    );
  });
});
