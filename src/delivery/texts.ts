import type { Channel, Locale } from '../core/contact.js';
import { escapeHtml, plainLine } from './escape.js';
import type { MessageKind, MessageVariables, OutgoingMessage } from './message.js';

/** What a message says, before it is dressed as a mail or an SMS. */
interface Text {
  readonly subject: string;
  /** Paragraphs of the mail. The code stands in a paragraph of its own. */
  readonly paragraphs: readonly string[];
  /** In English at most 160 characters of the GSM alphabet, so that it is one SMS. */
  readonly sms: string;
}

type Texts = {
  readonly [Kind in MessageKind]: (variables: MessageVariables[Kind]) => Text;
};

export interface RenderedText {
  readonly subject: string | null;
  readonly text: string;
  readonly html: string | null;
}

const BRAND = 'Countersign';

const english: Texts = {
  verification_code: ({ code, minutes }) => {
    const validity = minutes === 1 ? '1 minute' : `${minutes} minutes`;
    return {
      subject: `Your ${BRAND} code`,
      paragraphs: [
        `Your ${BRAND} code is:`,
        code,
        `It is valid for ${validity} and works once.`,
        `Never share it with anyone. Nobody from ${BRAND} will ever ask you for it.`,
        'If you did not request this code, you can ignore this message.',
      ],
      sms: `${code} is your ${BRAND} code, valid for ${validity}. Never share it with anyone.`,
    };
  },
  contact_added: ({ contactType, maskedAddress }) => {
    const noun = contactType === 'email' ? 'email address' : 'phone number';
    return {
      subject: `A new ${noun} on your ${BRAND} account`,
      paragraphs: [
        `The ${noun} ${maskedAddress} was added to your ${BRAND} account.`,
        'If this was you, there is nothing to do.',
        'If it was not you, change your password now and sign out of all devices.',
      ],
      sms: `${BRAND}: the ${noun} ${maskedAddress} was added to your account. Not you? Change your password now.`,
    };
  },
  contact_changed: ({ contactType, maskedAddress }) => {
    const noun = contactType === 'email' ? 'email address' : 'phone number';
    return {
      subject: `The ${noun} on your ${BRAND} account has changed`,
      paragraphs: [
        `The ${noun} on your ${BRAND} account was changed to ${maskedAddress}.`,
        'If this was you, there is nothing to do.',
        'If it was not you, change your password now and sign out of all devices.',
      ],
      sms: `${BRAND}: your ${noun} was changed to ${maskedAddress}. Not you? Change your password now.`,
    };
  },
};

const vietnamese: Texts = {
  verification_code: ({ code, minutes }) => ({
    subject: `Mã xác thực ${BRAND} của bạn`,
    paragraphs: [
      `Mã xác thực ${BRAND} của bạn là:`,
      code,
      `Mã có hiệu lực trong ${minutes} phút và chỉ dùng được một lần.`,
      `Tuyệt đối không chia sẻ mã này với bất kỳ ai. Nhân viên ${BRAND} không bao giờ hỏi mã của bạn.`,
      'Nếu bạn không yêu cầu mã này, vui lòng bỏ qua thư này.',
    ],
    sms: `${code} là mã xác thực ${BRAND} của bạn, có hiệu lực trong ${minutes} phút. Không chia sẻ mã này với bất kỳ ai.`,
  }),
  contact_added: ({ contactType, maskedAddress }) => {
    const noun = contactType === 'email' ? 'địa chỉ email' : 'số điện thoại';
    return {
      subject: `Tài khoản ${BRAND} của bạn có ${noun} mới`,
      paragraphs: [
        `Tài khoản ${BRAND} của bạn vừa được thêm ${noun} ${maskedAddress}.`,
        'Nếu chính bạn đã thực hiện, bạn không cần làm gì thêm.',
        'Nếu không phải bạn, hãy đổi mật khẩu ngay và đăng xuất khỏi mọi thiết bị.',
      ],
      sms: `${BRAND}: tài khoản của bạn vừa được thêm ${noun} ${maskedAddress}. Không phải bạn? Hãy đổi mật khẩu ngay.`,
    };
  },
  contact_changed: ({ contactType, maskedAddress }) => {
    const noun = contactType === 'email' ? 'địa chỉ email' : 'số điện thoại';
    return {
      subject: `Tài khoản ${BRAND} của bạn đã đổi ${noun}`,
      paragraphs: [
        `Tài khoản ${BRAND} của bạn vừa đổi ${noun} thành ${maskedAddress}.`,
        'Nếu chính bạn đã thực hiện, bạn không cần làm gì thêm.',
        'Nếu không phải bạn, hãy đổi mật khẩu ngay và đăng xuất khỏi mọi thiết bị.',
      ],
      sms: `${BRAND}: ${noun} của bạn vừa đổi thành ${maskedAddress}. Không phải bạn? Hãy đổi mật khẩu ngay.`,
    };
  },
};

const texts: Readonly<Record<Locale, Texts>> = { en: english, vi: vietnamese };

/** The words of a message in its reader's language (M3). */
export function renderText(message: OutgoingMessage): RenderedText {
  const text = compose(texts[message.locale], message);
  return dress(message.channel, message.locale, text);
}

function compose(of: Texts, message: OutgoingMessage): Text {
  switch (message.kind) {
    case 'verification_code':
      return of.verification_code(message.variables);
    case 'contact_added':
      return of.contact_added(withoutTricks(message.variables));
    case 'contact_changed':
      return of.contact_changed(withoutTricks(message.variables));
  }
}

/** Text that came from outside loses URLs and control characters before it is part of a sentence (rule 23). */
function withoutTricks<V extends { readonly maskedAddress: string }>(variables: V): V {
  return { ...variables, maskedAddress: plainLine(variables.maskedAddress) };
}

function dress(channel: Channel, locale: Locale, { subject, paragraphs, sms }: Text): RenderedText {
  // The bullet of masked addresses is not in the GSM alphabet: one would triple the price of the SMS.
  if (channel === 'sms') return { subject: null, text: sms.replaceAll('•', '*'), html: null };
  const body = paragraphs.map((paragraph) => `<p${style(paragraph)}>${escapeHtml(paragraph)}</p>`);
  return {
    subject,
    text: `${paragraphs.join('\n\n')}\n`,
    html: [
      `<!doctype html><html lang="${locale}"><head><meta charset="utf-8">`,
      `<title>${escapeHtml(subject)}</title></head>`,
      '<body style="font-family:sans-serif;font-size:16px;line-height:1.5">',
      ...body,
      '</body></html>',
    ].join('\n'),
  };
}

/** A code is set large, and in one piece: it is typed or pasted as it stands. */
function style(paragraph: string): string {
  if (!/^[0-9]+$/.test(paragraph)) return '';
  return ' style="font-family:monospace;font-size:28px;font-weight:bold"';
}
