import type { ReasonOrUnknown } from './reasons.js';
import type { CatalogueLocale } from './wait-text.js';

/** What a text may mention; each may be missing. */
export interface TextValues {
  /** `in 2 minutes`, `sau 2 phút`, or `later`. */
  readonly wait: string;
  readonly attemptsLeft: number | undefined;
  readonly min: number | undefined;
  readonly reference: string | undefined;
}

type Text = string | ((values: TextValues) => string);

/**
 * Written for the person at the screen: what is wrong and what to do next, never how the service
 * works. A new reason does not compile until it has both languages.
 */
export const REASON_TEXTS: Readonly<
  Record<ReasonOrUnknown, Readonly<Record<CatalogueLocale, Text>>>
> = {
  FIELD_INVALID: {
    en: 'Please check what you entered: something is missing or not in the right form.',
    vi: 'Vui lòng kiểm tra lại thông tin: có mục còn thiếu hoặc chưa đúng định dạng.',
  },
  USERNAME_INVALID: {
    en:
      'A username has 3 to 32 characters, begins with a letter, and uses only the letters a–z, ' +
      'digits, dots, hyphens and underscores.',
    vi:
      'Tên đăng nhập dài từ 3 đến 32 ký tự, bắt đầu bằng chữ cái và chỉ gồm chữ cái không dấu ' +
      '(a–z), chữ số, dấu chấm, dấu gạch ngang và dấu gạch dưới.',
  },
  EMAIL_INVALID: {
    en: 'This is not a valid email address.',
    vi: 'Địa chỉ email không hợp lệ.',
  },
  PHONE_INVALID: {
    en: 'This phone number is not valid, or cannot be used here.',
    vi: 'Số điện thoại không hợp lệ hoặc chưa được hỗ trợ.',
  },
  PASSWORD_TOO_SHORT: {
    en: ({ min }) =>
      min === undefined
        ? 'This password is too short.'
        : `The password needs at least ${min} characters.`,
    vi: ({ min }) =>
      min === undefined ? 'Mật khẩu quá ngắn.' : `Mật khẩu phải có ít nhất ${min} ký tự.`,
  },
  PASSWORD_TOO_LONG: {
    en: 'This password is too long.',
    vi: 'Mật khẩu quá dài.',
  },
  PASSWORD_TOO_COMMON: {
    en: 'This password is too easy to guess. Please choose another one.',
    vi: 'Mật khẩu này quá dễ đoán. Vui lòng chọn mật khẩu khác.',
  },
  CODE_MALFORMED: {
    en: 'Please enter the code just as it stands in the message, digits only.',
    vi: 'Vui lòng nhập đúng mã trong tin nhắn, chỉ gồm các chữ số.',
  },
  CODE_INVALID: {
    en: ({ attemptsLeft: left }) =>
      left === undefined
        ? 'This code is not right. Please check it and try again.'
        : `This code is not right. You have ${left} ${left === 1 ? 'try' : 'tries'} left.`,
    vi: ({ attemptsLeft: left }) =>
      left === undefined
        ? 'Mã không đúng. Vui lòng kiểm tra và nhập lại.'
        : `Mã không đúng. Bạn còn ${left} lần thử.`,
  },
  CREDENTIALS_INVALID: {
    en: 'These sign-in details are not right.',
    vi: 'Thông tin đăng nhập không đúng.',
  },
  ACCESS_TOKEN_INVALID: {
    en: 'Please sign in to go on.',
    vi: 'Vui lòng đăng nhập để tiếp tục.',
  },
  REFRESH_TOKEN_INVALID: {
    en: 'Your session has ended. Please sign in again.',
    vi: 'Phiên đăng nhập đã kết thúc. Vui lòng đăng nhập lại.',
  },
  CALLER_UNKNOWN: {
    en: 'This app is not set up correctly. Please tell its support team.',
    vi: 'Ứng dụng chưa được cấu hình đúng. Vui lòng báo cho bộ phận hỗ trợ.',
  },
  SCOPE_NOT_GRANTED: {
    en: 'You have no access to this organization or merchant.',
    vi: 'Bạn không có quyền truy cập tổ chức hoặc cửa hàng này.',
  },
  CALLER_NOT_ALLOWED: {
    en: 'This app is not allowed to do that. Please tell its support team.',
    vi: 'Ứng dụng không được phép thực hiện thao tác này. Vui lòng báo cho bộ phận hỗ trợ.',
  },
  USERNAME_TAKEN: {
    en: 'This username is taken. Please choose another one.',
    vi: 'Tên đăng nhập này đã có người dùng. Vui lòng chọn tên khác.',
  },
  IDENTIFIER_TAKEN: {
    en: 'This email address or phone number belongs to another account.',
    vi: 'Email hoặc số điện thoại này đã thuộc về một tài khoản khác.',
  },
  CODE_EXPIRED: {
    en: 'This code no longer works. Please ask for a new one.',
    vi: 'Mã không còn hiệu lực. Vui lòng yêu cầu mã mới.',
  },
  CODE_ATTEMPTS_EXHAUSTED: {
    en: 'Too many wrong tries: this code no longer works. Please ask for a new one.',
    vi: 'Bạn đã nhập sai quá nhiều lần nên mã này không còn hiệu lực. Vui lòng yêu cầu mã mới.',
  },
  REAUTHENTICATION_REQUIRED: {
    en: 'For your security, please sign in again before you change this.',
    vi: 'Để bảo đảm an toàn, vui lòng đăng nhập lại trước khi thay đổi thông tin này.',
  },
  LAST_SIGN_IN_METHOD: {
    en: 'This is the last way into your account. Please add another one first.',
    vi: 'Đây là cách đăng nhập cuối cùng của tài khoản. Vui lòng thêm một cách khác trước.',
  },
  IDENTIFIER_NOT_VERIFIED: {
    en: 'This email address or phone number is not verified yet.',
    vi: 'Email hoặc số điện thoại này chưa được xác thực.',
  },
  RESEND_TOO_SOON: {
    en: ({ wait }) => `A code was sent a moment ago. You can ask for another one ${wait}.`,
    vi: ({ wait }) => `Mã vừa được gửi cho bạn. Bạn có thể yêu cầu mã mới ${wait}.`,
  },
  VERIFICATION_LOCKED: {
    en: ({ wait }) => `Too many wrong codes. Please try again ${wait}.`,
    vi: ({ wait }) => `Bạn đã nhập sai mã quá nhiều lần. Vui lòng thử lại ${wait}.`,
  },
  SIGN_IN_LOCKED: {
    en: ({ wait }) => `Too many failed sign-ins. Please try again ${wait}.`,
    vi: ({ wait }) => `Đăng nhập sai quá nhiều lần. Vui lòng thử lại ${wait}.`,
  },
  RATE_LIMITED: {
    en: ({ wait }) => `Too many requests. Please try again ${wait}.`,
    vi: ({ wait }) => `Bạn đã gửi quá nhiều yêu cầu. Vui lòng thử lại ${wait}.`,
  },
  OVERLOADED: {
    en: ({ wait }) => `The service is busy. Please try again ${wait}.`,
    vi: ({ wait }) => `Hệ thống đang bận. Vui lòng thử lại ${wait}.`,
  },
  REQUEST_ID_REUSED: {
    en: 'This request was already sent. Please start again.',
    vi: 'Yêu cầu này đã được gửi trước đó. Vui lòng thực hiện lại từ đầu.',
  },
  ETAG_STALE: {
    en: 'This has changed in the meantime. Please look at it again.',
    vi: 'Thông tin đã thay đổi trong lúc đó. Vui lòng xem lại.',
  },
  DEPENDENCY_UNAVAILABLE: {
    en: 'The service is not available at the moment. Please try again later.',
    vi: 'Dịch vụ tạm thời gián đoạn. Vui lòng thử lại sau ít phút.',
  },
  INTERNAL: {
    en: ({ reference }) =>
      reference === undefined
        ? 'Something went wrong on our side.'
        : `Something went wrong on our side. Reference: ${reference}.`,
    vi: ({ reference }) =>
      reference === undefined
        ? 'Đã xảy ra lỗi hệ thống.'
        : `Đã xảy ra lỗi hệ thống. Mã tham chiếu: ${reference}.`,
  },
  UNKNOWN: {
    en: 'Something went wrong. Please try again.',
    vi: 'Đã xảy ra lỗi. Vui lòng thử lại.',
  },
};
