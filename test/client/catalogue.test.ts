import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import {
  AccountStatus,
  Channel,
  CountersignError,
  describeAccountStatus,
  describeChannel,
  describeError,
  describeIdentifierType,
  describeReason,
  describeSignInEnabled,
  describeVerified,
  IdentifierType,
  KeysUnavailableError,
  REASONS,
  RoleRequiredError,
  TokenInvalidError,
} from '../../src/client/index.js';
import { waitText } from '../../src/client/wait-text.js';

const LOCALES = ['en', 'vi'] as const;
const VIETNAMESE = /[àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ]/i;

describe('reasons (M3)', () => {
  it('has a whole sentence for every reason in both languages', () => {
    for (const reason of [...REASONS, 'UNKNOWN'] as const) {
      const [en, vi] = LOCALES.map((locale) => describeReason(reason, locale)) as [string, string];
      expect(en, reason).toMatch(/^[A-Z][^_]+\.$/);
      expect(vi, reason).toMatch(/^\p{Lu}[^_]+\.$/u);
      expect(vi, reason).toMatch(VIETNAMESE);
      expect(en, reason).not.toMatch(VIETNAMESE);
      // NFC, or screens and comparisons treat the same letters differently.
      expect(vi).toBe(vi.normalize('NFC'));
      expect(`${en}${vi}`).not.toMatch(/undefined|NaN|\{|\}/);
    }
  });

  it('says what the metadata adds', () => {
    expect(describeReason('CODE_INVALID', 'en', { attempts_left: '3' })).toBe(
      'This code is not right. You have 3 tries left.',
    );
    expect(describeReason('CODE_INVALID', 'en', { attempts_left: '1' })).toContain('1 try left');
    expect(describeReason('CODE_INVALID', 'vi', { attempts_left: '3' })).toBe(
      'Mã không đúng. Bạn còn 3 lần thử.',
    );
    expect(describeReason('PASSWORD_TOO_SHORT', 'en', { min: '8' })).toContain('8 characters');
    expect(describeReason('PASSWORD_TOO_SHORT', 'vi', { min: '8' })).toContain('8 ký tự');
    expect(describeReason('INTERNAL', 'vi', { reference: 'r-1' })).toContain('r-1');
    expect(describeReason('SIGN_IN_LOCKED', 'en', {}, 900)).toContain('in 15 minutes');
    expect(describeReason('SIGN_IN_LOCKED', 'vi', {}, 900)).toContain('sau 15 phút');
  });

  it('leaves out metadata that is not what it should be', () => {
    const odd = { attempts_left: '<b>', min: '-1', reference: '"><script>' };
    for (const locale of LOCALES) {
      for (const reason of REASONS)
        expect(describeReason(reason, locale, odd)).toBe(describeReason(reason, locale));
    }
  });

  it.each([
    [undefined, 'later', 'sau ít phút'],
    [0, 'in 1 second', 'sau 1 giây'],
    [45, 'in 45 seconds', 'sau 45 giây'],
    [120, 'in 2 minutes', 'sau 2 phút'],
    [121, 'in 3 minutes', 'sau 3 phút'],
    [7_200, 'in 2 hours', 'sau 2 giờ'],
    [172_800, 'in 2 days', 'sau 2 ngày'],
  ])('says a wait of %s seconds as people do', (seconds, en, vi) => {
    expect([waitText(seconds, 'en'), waitText(seconds, 'vi')]).toEqual([en, vi]);
  });
});

describe('describeError', () => {
  it('takes everything from the error', () => {
    const details = { reason: 'RESEND_TOO_SOON', retryAfter: 30 };
    const error = new CountersignError(
      status.RESOURCE_EXHAUSTED,
      'SendEmailVerificationCode',
      '',
      details,
    );
    expect(describeError(error, 'en')).toBe(
      'A code was sent a moment ago. You can ask for another one in 30 seconds.',
    );
    expect(describeError(error, 'vi')).toBe(
      'Mã vừa được gửi cho bạn. Bạn có thể yêu cầu mã mới sau 30 giây.',
    );
  });

  it('knows the errors of the verifier', () => {
    const texts = [
      new TokenInvalidError('EXPIRED'),
      new RoleRequiredError('owner'),
      new KeysUnavailableError(),
    ];
    const reasons = [
      'ACCESS_TOKEN_INVALID',
      'SCOPE_NOT_GRANTED',
      'DEPENDENCY_UNAVAILABLE',
    ] as const;
    expect(texts.map((error) => describeError(error, 'vi'))).toEqual(
      reasons.map((reason) => describeReason(reason, 'vi')),
    );
  });

  it('falls back on the code for a reason it does not know', () => {
    const young = new CountersignError(status.UNAVAILABLE, 'SignIn', '', {
      reason: 'MERCHANT_ASLEEP',
    });
    expect(describeError(young, 'en')).toBe(describeReason('DEPENDENCY_UNAVAILABLE', 'en'));
    const other = new CountersignError(status.ABORTED, 'SignIn', 'x');
    expect(describeError(other, 'vi')).toBe(describeReason('UNKNOWN', 'vi'));
    expect(describeError(new Error('secret'), 'en')).toBe(describeReason('UNKNOWN', 'en'));
  });
});

describe('statuses and labels (M3)', () => {
  it('has a label for every value of each enum in both languages, and for none of them', () => {
    const numbers = (values: object) =>
      Object.values(values).filter((value) => typeof value === 'number');
    for (const locale of LOCALES) {
      for (const value of [...numbers(AccountStatus), 77])
        expect(describeAccountStatus(value, locale)).toMatch(/^\p{Lu}/u);
      for (const value of [...numbers(IdentifierType), 77])
        expect(describeIdentifierType(value, locale)).toMatch(/^\p{Lu}/u);
      for (const value of [...numbers(Channel), 77])
        expect(describeChannel(value, locale)).toMatch(/^\p{Lu}/u);
    }
    expect(describeAccountStatus(AccountStatus.BLOCKED, 'vi')).toBe('Đã bị khóa');
  });

  it('tells verified from unverified, and sign-in handles from others', () => {
    expect([true, false].map((is) => describeVerified(is, 'en'))).toEqual([
      'Verified',
      'Not verified',
    ]);
    expect([true, false].map((is) => describeVerified(is, 'vi'))).toEqual([
      'Đã xác minh',
      'Chưa xác minh',
    ]);
    for (const locale of LOCALES) {
      expect(describeSignInEnabled(true, locale)).not.toBe(describeSignInEnabled(false, locale));
    }
  });
});
