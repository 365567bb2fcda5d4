import type { CodePurpose, MessageVariables } from './message.js';
import { BRAND, type Texts, utc } from './texts.js';

const NOUNS = { username: 'tên đăng nhập', email: 'địa chỉ email', phone: 'số điện thoại' };

const CODES: Readonly<Record<CodePurpose, { name: string; unwanted: string }>> = {
  verify: {
    name: 'mã xác thực',
    unwanted: 'Nếu bạn không yêu cầu mã này, vui lòng bỏ qua thư này.',
  },
  sign_in: {
    name: 'mã đăng nhập',
    unwanted:
      'Nếu bạn không đăng nhập, vui lòng bỏ qua thư này: không ai vào được tài khoản khi không có mã.',
  },
  reset: {
    name: 'mã đặt lại mật khẩu',
    unwanted:
      'Nếu bạn không yêu cầu đặt lại mật khẩu, vui lòng bỏ qua thư này: mật khẩu vẫn giữ nguyên.',
  },
};

const FINE = 'Nếu chính bạn đã thực hiện, bạn không cần làm gì thêm.';
/** A reset and not a change: it ends every session, and works for whoever has no password. */
const NOT_YOU =
  'Nếu không phải bạn, hãy đặt lại mật khẩu ngay: mọi thiết bị sẽ bị đăng xuất khỏi tài khoản.';
const NOT_YOU_SMS = 'Không phải bạn? Hãy đặt lại mật khẩu ngay.';

/** What the reader may no longer be able to mend alone. */
const LOST =
  'Nếu không phải bạn, hãy đặt lại mật khẩu ngay, hoặc liên hệ bộ phận hỗ trợ nếu không làm được.';
const IGNORE = 'Nếu không phải bạn, vui lòng bỏ qua thư này.';
const IGNORE_SMS = 'Không phải bạn? Hãy bỏ qua tin này.';

export const vietnamese: Texts = {
  verification_code: ({ purpose, code, minutes }) => {
    const { name, unwanted } = CODES[purpose];
    return {
      subject: `${capitalised(name)} ${BRAND} của bạn`,
      paragraphs: [
        `${capitalised(name)} ${BRAND} của bạn là:`,
        code,
        `Mã có hiệu lực trong ${minutes} phút và chỉ dùng được một lần.`,
        `Tuyệt đối không chia sẻ mã này với bất kỳ ai. Nhân viên ${BRAND} không bao giờ hỏi mã của bạn.`,
        unwanted,
      ],
      sms: `${code} là ${name} ${BRAND} của bạn, có hiệu lực trong ${minutes} phút. Không chia sẻ mã này với bất kỳ ai.`,
    };
  },
  contact_added: ({ contactType, maskedAddress }, at) => {
    const noun = NOUNS[contactType];
    return {
      subject: `Tài khoản ${BRAND} của bạn có ${noun} mới`,
      paragraphs: [
        `Tài khoản ${BRAND} của bạn đã được thêm ${noun} ${maskedAddress} ${when(at)}.`,
        FINE,
        NOT_YOU,
      ],
      sms: `${BRAND}: tài khoản của bạn đã được thêm ${noun} ${maskedAddress} ${when(at)}. ${NOT_YOU_SMS}`,
    };
  },
  contact_changed: ({ contactType, maskedAddress }, at) => {
    const noun = NOUNS[contactType];
    return {
      subject: `Tài khoản ${BRAND} của bạn đã đổi ${noun}`,
      paragraphs: [
        `Tài khoản ${BRAND} của bạn đã đổi ${noun} thành ${maskedAddress} ${when(at)}.`,
        FINE,
        LOST,
      ],
      sms: `${BRAND}: ${noun} của bạn đã đổi thành ${maskedAddress} ${when(at)}. ${NOT_YOU_SMS}`,
    };
  },
  contact_removed: ({ contactType, maskedAddress }, at) => {
    const noun = NOUNS[contactType];
    return {
      subject: `Tài khoản ${BRAND} của bạn đã gỡ ${noun}`,
      paragraphs: [
        `${capitalised(noun)} ${maskedAddress} đã được gỡ khỏi tài khoản ${BRAND} của bạn ${when(at)}.`,
        FINE,
        LOST,
      ],
      sms: `${BRAND}: ${noun} ${maskedAddress} đã được gỡ khỏi tài khoản của bạn ${when(at)}. ${NOT_YOU_SMS}`,
    };
  },
  sign_in_enabled: (identifier, at) => {
    const which = named(identifier);
    return {
      subject: `Đã bật đăng nhập ${BRAND} bằng ${NOUNS[identifier.contactType]} của bạn`,
      paragraphs: [
        `Đăng nhập vào tài khoản ${BRAND} của bạn bằng ${which} đã được bật ${when(at)}.`,
        FINE,
        NOT_YOU,
      ],
      sms: `${BRAND}: đăng nhập bằng ${which} đã được bật ${when(at)}. ${NOT_YOU_SMS}`,
    };
  },
  sign_in_disabled: (identifier, at) => {
    const which = named(identifier);
    return {
      subject: `Đã tắt đăng nhập ${BRAND} bằng ${NOUNS[identifier.contactType]} của bạn`,
      paragraphs: [
        `Đăng nhập vào tài khoản ${BRAND} của bạn bằng ${which} đã bị tắt ${when(at)}.`,
        FINE,
        NOT_YOU,
      ],
      sms: `${BRAND}: đăng nhập bằng ${which} đã bị tắt ${when(at)}. ${NOT_YOU_SMS}`,
    };
  },
  password_changed: (_, at) => ({
    subject: `Tài khoản ${BRAND} của bạn đã đổi mật khẩu`,
    paragraphs: [
      `Mật khẩu tài khoản ${BRAND} của bạn đã được đổi ${when(at)}. Các thiết bị khác đã bị đăng xuất.`,
      FINE,
      NOT_YOU,
    ],
    sms: `${BRAND}: mật khẩu của bạn đã được đổi ${when(at)}. ${NOT_YOU_SMS}`,
  }),
  password_reset: (_, at) => ({
    subject: `Mật khẩu tài khoản ${BRAND} của bạn đã được đặt lại`,
    paragraphs: [
      `Mật khẩu tài khoản ${BRAND} của bạn đã được đặt lại ${when(at)}. Mọi thiết bị đã bị đăng xuất.`,
      FINE,
      // Whoever did it has read a code: resetting once more is of use only once they no longer can.
      'Nếu không phải bạn, có người đọc được email hoặc tin nhắn của bạn: hãy bảo vệ chúng trước, rồi đặt lại mật khẩu lần nữa, hoặc liên hệ bộ phận hỗ trợ.',
    ],
    sms: `${BRAND}: mật khẩu của bạn đã được đặt lại ${when(at)}. Không phải bạn? Hãy đặt lại lần nữa, hoặc liên hệ bộ phận hỗ trợ.`,
  }),
  account_closed: (_, at) => ({
    subject: `Tài khoản ${BRAND} của bạn đã đóng`,
    paragraphs: [
      `Tài khoản ${BRAND} của bạn đã được đóng ${when(at)}. Không ai còn đăng nhập vào được nữa.`,
      FINE,
      'Nếu không phải bạn, hãy liên hệ bộ phận hỗ trợ ngay.',
    ],
    sms: `${BRAND}: tài khoản của bạn đã được đóng ${when(at)}. Không phải bạn? Hãy liên hệ bộ phận hỗ trợ ngay.`,
  }),
  sign_in_refused: (_, at) => ({
    subject: `Có người thử đăng nhập ${BRAND} bằng số điện thoại của bạn`,
    paragraphs: [
      `Có người đã yêu cầu mã để đăng nhập ${BRAND} bằng số điện thoại của bạn ${when(at)}. Hiện số này không dùng để đăng nhập được, nên không có mã nào được gửi.`,
      'Nếu là bạn, hãy đăng nhập bằng cách khác, hoặc liên hệ bộ phận hỗ trợ.',
      IGNORE,
    ],
    sms: `${BRAND}: hiện số này không dùng để đăng nhập được (yêu cầu ${when(at)}). Hãy đăng nhập bằng cách khác hoặc liên hệ bộ phận hỗ trợ. ${IGNORE_SMS}`,
  }),
  reset_refused: (_, at) => ({
    subject: `Hiện không thể đặt lại mật khẩu ${BRAND} của bạn`,
    paragraphs: [
      `Có người đã yêu cầu đặt lại mật khẩu tài khoản ${BRAND} của bạn ${when(at)}. Hiện tài khoản này không đặt lại mật khẩu được, và không có gì thay đổi.`,
      'Nếu là bạn, hãy liên hệ bộ phận hỗ trợ.',
      IGNORE,
    ],
    sms: `${BRAND}: hiện không thể đặt lại mật khẩu của bạn (yêu cầu ${when(at)}). Hãy liên hệ bộ phận hỗ trợ. ${IGNORE_SMS}`,
  }),
  confirmation_requested: (_, at) => ({
    subject: `Có người yêu cầu xác nhận địa chỉ email này cho ${BRAND}`,
    paragraphs: [
      `Có người đã yêu cầu mã để xác nhận địa chỉ email này cho ${BRAND} ${when(at)}. Không có mã nào được gửi.`,
      `Nếu là bạn, hãy đăng nhập ${BRAND} và yêu cầu mã tại đó.`,
      IGNORE,
    ],
    sms: `${BRAND}: có người đã yêu cầu xác nhận địa chỉ email của bạn ${when(at)}. Để nhận mã, hãy đăng nhập và yêu cầu tại đó. ${IGNORE_SMS}`,
  }),
};

function named(identifier: MessageVariables['sign_in_enabled']): string {
  if (identifier.contactType === 'username') return `${NOUNS.username} của bạn`;
  return `${NOUNS[identifier.contactType]} ${identifier.maskedAddress}`;
}

function when(at: Date): string {
  const { month, day, time } = utc(at);
  return `lúc ${time} ngày ${day}/${month + 1}`;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
