import { describe, expect, it } from 'vitest';
import { maskEmail, maskPhone } from '../../src/core/contact.js';
import {
  type MessageKind,
  type MessageVariables,
  type OutgoingMessage,
  type RenderedText,
  renderText,
} from '../../src/delivery/index.js';

const GSM = /^[A-Za-z0-9 \n@£$¥èéùìòÇØøÅå_ÆæßÉ!"#%&'()*+,\-./:;<=>?¡ÄÖÑÜ§¿äöñüà]*$/;
const VIETNAMESE = /[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệịỉĩọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]/;
const LONG_CODE = '01234567890123456789';
const AT = new Date('2026-09-30T23:58:12.345Z');

const phone = { contactType: 'phone', maskedAddress: maskPhone('+84901234567') } as const;
const longEmail = {
  contactType: 'email',
  maskedAddress: maskEmail('a@b.international'),
} as const;

/** Of every kind what makes its text longest. */
const LONGEST: MessageVariables = {
  verification_code: { purpose: 'reset', code: LONG_CODE, minutes: 10 },
  contact_added: longEmail,
  contact_changed: longEmail,
  contact_removed: longEmail,
  sign_in_enabled: longEmail,
  sign_in_disabled: longEmail,
  password_changed: {},
  password_reset: {},
  account_closed: {},
  sign_in_refused: {},
  reset_refused: {},
  confirmation_requested: {},
};
const kinds = Object.keys(LONGEST) as MessageKind[];
const notCodes = kinds.filter((kind) => kind !== 'verification_code');

function words<Kind extends MessageKind>(
  kind: Kind,
  channel: 'email' | 'sms',
  locale: 'en' | 'vi',
  variables: MessageVariables[Kind] = LONGEST[kind],
): RenderedText {
  const message = { kind, variables, channel, locale, to: 'x', lifetimeSeconds: 60 };
  return renderText(message as unknown as OutgoingMessage, AT);
}

const everyWay = (['email', 'sms'] as const).flatMap((channel) =>
  (['en', 'vi'] as const).map((locale) => ({ channel, locale })),
);

describe('texts of messages (M3)', () => {
  it.each(kinds)('say %s in both languages and both channels', (kind) => {
    for (const channel of ['email', 'sms'] as const) {
      const english = words(kind, channel, 'en');
      const vietnamese = words(kind, channel, 'vi');
      expect(english.text).not.toMatch(VIETNAMESE);
      expect(vietnamese.text).toMatch(VIETNAMESE);
      for (const { subject, text, html } of [english, vietnamese]) {
        expect(text).toContain('Countersign');
        expect(subject === null).toBe(channel === 'sms');
        expect(html === null).toBe(channel === 'sms');
        expect(text).not.toMatch(/undefined|null|\[object|NaN/);
      }
    }
  });

  it.each(kinds)('fit %s in one English SMS of the GSM alphabet', (kind) => {
    const { text } = words(kind, 'sms', 'en');
    expect(text).toMatch(GSM);
    expect(text.length).toBeLessThanOrEqual(160);
  });

  it('are told apart, kind by kind', () => {
    for (const { channel, locale } of everyWay) {
      expect(new Set(kinds.map((kind) => words(kind, channel, locale).text)).size).toBe(
        kinds.length,
      );
    }
  });

  it('keep even the long code in one piece, in text, HTML and SMS', () => {
    for (const locale of ['en', 'vi'] as const) {
      const mail = words('verification_code', 'email', locale);
      expect(mail.text).toContain(`\n${LONG_CODE}\n`);
      expect(mail.html).toContain(`>${LONG_CODE}</p>`);
      expect(mail.subject).not.toContain(LONG_CODE);
      expect(words('verification_code', 'sms', locale).text).toContain(`${LONG_CODE} `);
    }
  });

  it.each([
    ['en', 'verify', 'Countersign code'],
    ['en', 'sign_in', 'Countersign sign-in code'],
    ['en', 'reset', 'Countersign password reset code'],
    ['vi', 'verify', 'mã xác thực'],
    ['vi', 'sign_in', 'mã đăng nhập'],
    ['vi', 'reset', 'mã đặt lại mật khẩu'],
  ] as const)('say in %s what a code to %s is for', (locale, purpose, name) => {
    const variables = { purpose, code: '493021', minutes: 5 };
    const mail = words('verification_code', 'email', locale, variables);
    const named = new RegExp(name, 'i');
    expect(mail.subject).toMatch(named);
    expect(mail.text).toMatch(named);
    expect(words('verification_code', 'sms', locale, variables).text).toMatch(named);
  });
});

describe('notices and notes (rule 12)', () => {
  it.each(notCodes)('of kind %s say when, in UTC', (kind) => {
    expect(words(kind, 'email', 'en').text).toContain('on 30 September at 23:58 UTC');
    expect(words(kind, 'sms', 'en').text).toContain('on 30 Sep at 23:58 UTC');
    for (const channel of ['email', 'sms'] as const) {
      expect(words(kind, channel, 'vi').text).toContain('lúc 23:58 UTC ngày 30/9');
    }
  });

  it.each(notCodes)('of kind %s say what to do for whom it was not', (kind) => {
    for (const { channel, locale } of everyWay) {
      expect(words(kind, channel, locale).text).toMatch(
        locale === 'en' ? /not you/i : /không phải bạn/i,
      );
    }
  });

  it.each(notCodes)('of kind %s hold nothing that a reader or a phone takes for a code', (kind) => {
    for (const { channel, locale } of everyWay) {
      const { subject, text } = words(kind, channel, locale);
      expect(`${subject}${text}`).not.toMatch(/[0-9]{3}/);
    }
  });

  it('show what was changed: masked addresses, bullets or not', () => {
    const email = { contactType: 'email', maskedAddress: maskEmail('lan@example.vn') } as const;
    for (const kind of [
      'contact_added',
      'contact_changed',
      'contact_removed',
      'sign_in_enabled',
      'sign_in_disabled',
    ] as const) {
      expect(words(kind, 'email', 'vi', email).text).toMatch(/địa chỉ email/i);
      expect(words(kind, 'email', 'vi', email).text).toContain('l•••@e•••.vn');
      expect(words(kind, 'sms', 'vi', email).text).toContain('l***@e***.vn');
      expect(words(kind, 'sms', 'en', phone).text).toContain('phone number');
    }
    expect(words('sign_in_enabled', 'email', 'en', phone).text).toContain('•••••••67');
  });

  it.each(['sign_in_enabled', 'sign_in_disabled'] as const)('name in %s no username', (kind) => {
    const username = { contactType: 'username' } as const;
    expect(words(kind, 'sms', 'en', username).text).toContain('sign-in with your username was');
    expect(words(kind, 'email', 'vi', username).text).toContain('bằng tên đăng nhập của bạn đã');
  });

  it('let no text from outside become markup or a link (rule 23)', () => {
    const hostile = {
      contactType: 'email',
      maskedAddress: '<a href="https://evil.example/x">\r\nevil.example',
    } as const;
    for (const kind of [
      'contact_added',
      'contact_changed',
      'contact_removed',
      'sign_in_enabled',
      'sign_in_disabled',
    ] as const) {
      for (const { channel, locale } of everyWay) {
        const { html, text } = words(kind, channel, locale, hostile);
        expect(html ?? '').not.toContain('<a');
        expect(`${html}${text}`).not.toContain('evil.example');
        if (channel === 'sms') expect(text).not.toMatch(/[\r\n]/);
      }
    }
  });
});
