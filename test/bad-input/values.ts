import type { Reason } from '../../src/client/index.js';

/** A value that a field refuses. `what` names it in the test's title. */
export interface BadValue {
  readonly what: string;
  readonly value: string;
  readonly reason: Reason;
  /** Of the violation, where it is another field than the value's own. */
  readonly field?: string;
  /** Sent along. */
  readonly region?: string;
}

const table = (reason: Reason, values: Readonly<Record<string, string>>): readonly BadValue[] =>
  Object.entries(values).map(([what, value]) => ({ what, value, reason }));

/** Of `SMS_ALLOWED_REGIONS` in these tests. */
export const ALLOWED_REGIONS = 'VN,GB';

export const badUsernames: readonly BadValue[] = table('USERNAME_INVALID', {
  'an empty username': '',
  'two characters': 'ab',
  '33 characters': 'a'.repeat(33),
  '20,000 characters': 'a'.repeat(20_000),
  'an email': 'lan@example.com',
  'a phone number': '+84912345678',
  'a national phone number': '0912345678',
  'digits alone': '84912345678',
  'a digit first': '1lan',
  'a space': 'lan anh',
  'a leading dot': '.lan',
  'two dots in a row': 'lan..anh',
  'a trailing dash': 'lan-',
  'a line break': 'lan\nanh',
  'a NUL': 'lan\0',
  'an escape': 'lan\u001b[0m',
  'a zero-width space': 'lan\u200banh',
  Vietnamese: 'đặng',
  'a Cyrillic look-alike': 'аlice',
  'full-width letters': 'ｌａｎ',
  'the Kelvin sign': '\u212aaren',
  Chinese: '李小龍先生',
  'an emoji': 'lan😀',
  'a reserved name': 'Admin',
  'a reserved name with separators': 'ad.min',
});

export const badPasswords: readonly BadValue[] = [
  ...table('PASSWORD_TOO_SHORT', {
    'an empty password': '',
    'seven characters': 'k7!qz2v',
    'seven code points in 28 bytes': '😀😂😅😇😎😘😱',
  }),
  ...table('PASSWORD_TOO_LONG', {
    '257 characters': 'correct horse '.repeat(19).slice(0, 257),
    '20,000 characters': 'correct horse '.repeat(1_500).slice(0, 20_000),
  }),
  ...table('PASSWORD_TOO_COMMON', {
    'a common one': 'password123',
    'one character repeated': 'aaaaaaaaaa',
    'the name of the service': 'countersign1',
  }),
  ...table('FIELD_INVALID', {
    'a NUL in a password': 'correct horse\0battery',
    'a password in another encoding': 'correct horse \ufffd battery',
  }),
];

export const badEmails: readonly BadValue[] = table('EMAIL_INVALID', {
  'no @': 'lan.example.com',
  'a phone number for an email': '+84912345678',
  quotes: '"lan"@example.com',
  'a quoted space': '"lan anh"@example.com',
  'two recipients': 'lan@example.com,hoa@example.com',
  'two recipients by semicolon': 'lan@example.com;hoa@example.com',
  'two @': 'lan@hoa@example.com',
  'a display name': 'Lan <lan@example.com>',
  'a comment': 'lan(work)@example.com',
  'a header break': 'lan@example.com\r\nBcc: hoa@example.com',
  'a NUL': 'lan\0@example.com',
  'a tab': 'lan\t@example.com',
  'a leading space': ' lan@example.com',
  'a trailing space': 'lan@example.com ',
  'a dot first': '.lan@example.com',
  'two dots in a row': 'lan..anh@example.com',
  'a local part in another script': 'lần@example.com',
  'a host without a domain': 'lan@localhost',
  'an address literal': 'lan@[127.0.0.1]',
  'a bare IP address': 'lan@127.0.0.1',
  'a label with a leading dash': 'lan@-example.com',
  'an underscore in the domain': 'lan@ex_ample.com',
  'an empty label': 'lan@example..com',
  'a trailing dot': 'lan@example.com.',
  'an IDN that is no IDN': 'lan@xn--example.com',
  'a symbol in an IDN': 'lan@i❤.com',
  'full-width letters in the domain': 'lan@ｅxample.com',
  'an ideographic full stop': 'lan@example。com',
  '65 characters before @': `${'l'.repeat(65)}@example.com`,
  '255 characters': `lan@${'a.'.repeat(124)}com`,
  '20,000 characters': `lan@${'a.'.repeat(9_998)}com`,
});

const phone = (what: string, value: string, region?: string): BadValue => ({
  what,
  value,
  reason: 'PHONE_INVALID',
  ...(region === undefined ? {} : { region }),
});

export const badPhones: readonly BadValue[] = [
  phone('an extension', '+84912345678 ext. 12'),
  phone('an extension by x', '+84912345678x12'),
  phone('an extension by RFC 3966', '+84912345678;ext=12'),
  phone('a tel: link', 'tel:+84912345678'),
  phone('letters', '+84 91 CALLNOW'),
  phone('letters in a national number', '0912-CALLNOW', 'VN'),
  phone('Arabic-Indic digits', '+٨٤٩١٢٣٤٥٦٧٨'),
  phone('full-width digits', '+８４９１２３４５６７８'),
  phone('Devanagari digits', '+८४९१२३४५६७८'),
  phone('a full-width plus', '＋84912345678'),
  phone('an email for a phone', 'lan@example.com'),
  phone('two numbers', '+84912345678,+84912345679'),
  phone('no region', '0912345678'),
  phone('an international prefix without a region', '0084912345678'),
  phone('too few digits', '+8491234'),
  phone('too many digits', '+849123456789012'),
  phone('a number that no country has', '+999912345678'),
  phone('a national number of another region', '0912345678', 'GB'),
  phone('a line break', '+84912345678\n'),
  phone('a NUL', '+84912345678\0'),
  phone('a tab', '+84\t912345678'),
  phone('20,000 characters', `+84${'9'.repeat(19_997)}`),
  phone('a refused country', '+6591234567'),
  phone('a refused country by its region', '91234567', 'SG'),
  phone('a premium-rate number', '+449098790123'),
  phone('a premium-rate number, nationally', '1900123456', 'VN'),
  phone('a shared-cost number', '+448450123456'),
  ...['XX', 'ZZ', 'VNM', '84', 'V', 'вн', 'V\0', 'VN '.repeat(5_000)].map(
    (region): BadValue => ({
      ...phone(`the unknown region ${JSON.stringify(region.slice(0, 6))}`, '0912345678', region),
      field: 'region',
    }),
  ),
];

export const badNames: readonly BadValue[] = table('FIELD_INVALID', {
  'white space alone': '   ',
  'something invisible alone': '\u200b\u200d',
  '101 characters': 'ă'.repeat(101),
  '20,000 characters': 'a'.repeat(20_000),
  'a line break': 'Lan\nAdmin',
  'a NUL': 'Lan\0',
  'an escape': '\u001b[31mLan',
  'a line separator': 'Lan\u2028Anh',
  'a direction override': 'Lan\u202egnp.exe',
});

export const badLocales: readonly BadValue[] = table('FIELD_INVALID', {
  'a word': 'vietnamese language',
  'an underscore': 'vi_VN',
  'a single letter': 'v',
  'a line break': 'vi\n',
  'a NUL': 'vi\0',
  'another script': 'Việt',
  '36 characters': `vi-${'a'.repeat(33)}`,
  '20,000 characters': 'v'.repeat(20_000),
});

const UUID = '0189f7a2-3b4c-4d5e-8f60-718293a4b5c6';

/** Of `request_id` and `challenge_id`. */
export const badIds: readonly BadValue[] = table('FIELD_INVALID', {
  'a word': 'latest',
  'a number': '1',
  'a UUID without dashes': UUID.replaceAll('-', ''),
  'a UUID in braces': `{${UUID}}`,
  'a UUID and more': `${UUID}0`,
  'a UUID and a space': `${UUID} `,
  'a UUID and a NUL': `${UUID}\0`,
  'a letter that is no hex digit': UUID.replace('f', 'g'),
  'full-width digits': UUID.replace('0', '０'),
  'a line of SQL': "' or 1 = 1 --",
  '20,000 characters': UUID.repeat(555),
});

export const badCodes: readonly BadValue[] = table('CODE_MALFORMED', {
  'an empty code': '',
  'five digits': '12345',
  'seven digits': '1234567',
  '19 digits': '1'.repeat(19),
  '21 digits': '1'.repeat(21),
  '20,000 digits': '1'.repeat(20_000),
  'a leading space': ' 123456',
  'a space within': '123 456',
  'a trailing line break': '123456\n',
  'a NUL': '12345\0',
  'a sign': '-12345',
  'a letter': '12345O',
  'a hexadecimal number': '0x1234',
  'full-width digits': '１２３４５６',
  'Arabic-Indic digits': '١٢٣٤٥٦',
});
