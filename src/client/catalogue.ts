import { AccountStatus, IdentifierType } from '../../generated/countersign/v1/account.js';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import { CountersignError, type StatusName } from './countersign-error.js';
import { REASON_TEXTS } from './reason-texts.js';
import type { ReasonOrUnknown } from './reasons.js';
import { KeysUnavailableError, RoleRequiredError, TokenInvalidError } from './token-errors.js';
import { type CatalogueLocale, waitText } from './wait-text.js';

/**
 * The text a person reads for a reason (M3). `metadata` is the error's own; what is missing from it
 * is left out of the text. Plain text: escape it where it enters HTML.
 */
export function describeReason(
  reason: ReasonOrUnknown,
  locale: CatalogueLocale,
  metadata: Readonly<Record<string, string>> = {},
  retryAfter?: number,
): string {
  const text = REASON_TEXTS[reason][locale];
  if (typeof text === 'string') return text;
  return text({
    wait: waitText(retryAfter, locale),
    attemptsLeft: count(metadata['attempts_left']),
    min: count(metadata['min']),
    reference: reference(metadata['reference']),
  });
}

// A failure without a reason of ours never reached a rule, or a younger server named it: the code
// decides.
const REASON_BY_CODE: Readonly<Partial<Record<StatusName, ReasonOrUnknown>>> = {
  INVALID_ARGUMENT: 'FIELD_INVALID',
  UNAUTHENTICATED: 'ACCESS_TOKEN_INVALID',
  RESOURCE_EXHAUSTED: 'RATE_LIMITED',
  UNAVAILABLE: 'DEPENDENCY_UNAVAILABLE',
  DEADLINE_EXCEEDED: 'DEPENDENCY_UNAVAILABLE',
};

/** The text a person reads for whatever was caught. */
export function describeError(error: unknown, locale: CatalogueLocale): string {
  if (error instanceof TokenInvalidError) return describeReason('ACCESS_TOKEN_INVALID', locale);
  if (error instanceof RoleRequiredError) return describeReason('SCOPE_NOT_GRANTED', locale);
  if (error instanceof KeysUnavailableError)
    return describeReason('DEPENDENCY_UNAVAILABLE', locale);
  if (!(error instanceof CountersignError)) return describeReason('UNKNOWN', locale);
  const { reason, codeName, metadata, retryAfter } = error;
  const known = reason === 'UNKNOWN' ? (REASON_BY_CODE[codeName] ?? reason) : reason;
  return describeReason(known, locale, metadata, retryAfter);
}

type Labels<Key extends number> = Readonly<Record<Key, Readonly<Record<CatalogueLocale, string>>>>;

const NOT_KNOWN = { en: 'Unknown', vi: 'Không xác định' } as const;

const ACCOUNT_STATUS: Labels<AccountStatus> = {
  [AccountStatus.UNSPECIFIED]: NOT_KNOWN,
  [AccountStatus.ACTIVE]: { en: 'Active', vi: 'Đang hoạt động' },
  [AccountStatus.BLOCKED]: { en: 'Blocked', vi: 'Đã bị khóa' },
  [AccountStatus.DEACTIVATED]: { en: 'Deactivated', vi: 'Đã ngừng hoạt động' },
  [AccountStatus.CLOSED]: { en: 'Closed', vi: 'Đã đóng' },
  [AccountStatus.UNRECOGNIZED]: NOT_KNOWN,
};

const IDENTIFIER_TYPE: Labels<IdentifierType> = {
  [IdentifierType.UNSPECIFIED]: NOT_KNOWN,
  [IdentifierType.USERNAME]: { en: 'Username', vi: 'Tên đăng nhập' },
  [IdentifierType.EMAIL]: { en: 'Email', vi: 'Email' },
  [IdentifierType.PHONE]: { en: 'Phone number', vi: 'Số điện thoại' },
  [IdentifierType.UNRECOGNIZED]: NOT_KNOWN,
};

// "Not told" is an answer of its own: registered recovery does not say where the code went.
const CHANNEL: Labels<Channel> = {
  [Channel.UNSPECIFIED]: { en: 'Email or text message', vi: 'Email hoặc tin nhắn SMS' },
  [Channel.EMAIL]: { en: 'Email', vi: 'Email' },
  [Channel.SMS]: { en: 'Text message', vi: 'Tin nhắn SMS' },
  [Channel.UNRECOGNIZED]: NOT_KNOWN,
};

export function describeAccountStatus(status: AccountStatus, locale: CatalogueLocale): string {
  return (ACCOUNT_STATUS[status] ?? NOT_KNOWN)[locale];
}

export function describeIdentifierType(type: IdentifierType, locale: CatalogueLocale): string {
  return (IDENTIFIER_TYPE[type] ?? NOT_KNOWN)[locale];
}

export function describeChannel(channel: Channel, locale: CatalogueLocale): string {
  return (CHANNEL[channel] ?? NOT_KNOWN)[locale];
}

/** The badge beside an email or a phone. */
export function describeVerified(verified: boolean, locale: CatalogueLocale): string {
  if (locale === 'vi') return verified ? 'Đã xác minh' : 'Chưa xác minh';
  return verified ? 'Verified' : 'Not verified';
}

/** Whether an identifier may be used to sign in. */
export function describeSignInEnabled(enabled: boolean, locale: CatalogueLocale): string {
  if (locale === 'vi') return enabled ? 'Dùng để đăng nhập' : 'Không dùng để đăng nhập';
  return enabled ? 'Used to sign in' : 'Not used to sign in';
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : undefined;
}

function reference(text: string | undefined): string | undefined {
  return text !== undefined && /^[\w-]{1,64}$/.test(text) ? text : undefined;
}
