import type { CodePurpose, MessageVariables } from './message.js';
import { BRAND, type Texts, utc } from './texts.js';

const MONTHS =
  'January February March April May June July August September October November December'.split(
    ' ',
  );

const NOUNS = { username: 'username', email: 'email address', phone: 'phone number' };

const CODES: Readonly<Record<CodePurpose, { name: string; unwanted: string }>> = {
  verify: {
    name: 'code',
    unwanted: 'If you did not request this code, you can ignore this message.',
  },
  sign_in: {
    name: 'sign-in code',
    unwanted:
      'If you are not signing in, you can ignore this message: nobody gets in without the code.',
  },
  reset: {
    name: 'password reset code',
    unwanted:
      'If you did not ask to reset your password, you can ignore this message: it stays as it is.',
  },
};

const FINE = 'If this was you, there is nothing to do.';
/** A reset and not a change: it ends every session, and works for whoever has no password. */
const NOT_YOU = 'If it was not you, reset your password now: that signs everybody out.';
const NOT_YOU_SMS = 'Not you? Reset your password now.';

/** What the reader may no longer be able to mend alone. */
const LOST = 'If it was not you, reset your password now, or contact support if you cannot.';

export const english: Texts = {
  verification_code: ({ purpose, code, minutes }) => {
    const { name, unwanted } = CODES[purpose];
    const validity = minutes === 1 ? '1 minute' : `${minutes} minutes`;
    return {
      subject: `Your ${BRAND} ${name}`,
      paragraphs: [
        `Your ${BRAND} ${name} is:`,
        code,
        `It is valid for ${validity} and works once.`,
        `Never share it with anyone. Nobody from ${BRAND} will ever ask you for it.`,
        unwanted,
      ],
      sms: `${code} is your ${BRAND} ${name}, valid for ${validity}. Never share it with anyone.`,
    };
  },
  contact_added: ({ contactType, maskedAddress }, at) => {
    const noun = NOUNS[contactType];
    return {
      subject: `A new ${noun} on your ${BRAND} account`,
      paragraphs: [
        `The ${noun} ${maskedAddress} was added to your ${BRAND} account ${on(at)}.`,
        FINE,
        NOT_YOU,
      ],
      sms: `${BRAND}: the ${noun} ${maskedAddress} was added to your account ${onShort(at)}. ${NOT_YOU_SMS}`,
    };
  },
  contact_changed: ({ contactType, maskedAddress }, at) => {
    const noun = NOUNS[contactType];
    return {
      subject: `The ${noun} on your ${BRAND} account has changed`,
      paragraphs: [
        `The ${noun} on your ${BRAND} account was changed to ${maskedAddress} ${on(at)}.`,
        FINE,
        LOST,
      ],
      sms: `${BRAND}: your ${noun} was changed to ${maskedAddress} ${onShort(at)}. ${NOT_YOU_SMS}`,
    };
  },
  contact_removed: ({ contactType, maskedAddress }, at) => {
    const noun = NOUNS[contactType];
    return {
      subject: `The ${noun} on your ${BRAND} account was removed`,
      paragraphs: [
        `The ${noun} ${maskedAddress} was removed from your ${BRAND} account ${on(at)}.`,
        FINE,
        LOST,
      ],
      sms: `${BRAND}: the ${noun} ${maskedAddress} was removed from your account ${onShort(at)}. ${NOT_YOU_SMS}`,
    };
  },
  sign_in_enabled: (identifier, at) => {
    const which = named(identifier);
    return {
      subject: `Your ${NOUNS[identifier.contactType]} can now be used to sign in`,
      paragraphs: [
        `Signing in to your ${BRAND} account with ${which} was turned on ${on(at)}.`,
        FINE,
        NOT_YOU,
      ],
      sms: `${BRAND}: sign-in with ${which} was turned on ${onShort(at)}. ${NOT_YOU_SMS}`,
    };
  },
  sign_in_disabled: (identifier, at) => {
    const which = named(identifier);
    return {
      subject: `Your ${NOUNS[identifier.contactType]} can no longer be used to sign in`,
      paragraphs: [
        `Signing in to your ${BRAND} account with ${which} was turned off ${on(at)}.`,
        FINE,
        NOT_YOU,
      ],
      sms: `${BRAND}: sign-in with ${which} was turned off ${onShort(at)}. ${NOT_YOU_SMS}`,
    };
  },
  password_changed: (_, at) => ({
    subject: `The password of your ${BRAND} account has changed`,
    paragraphs: [
      `The password of your ${BRAND} account was changed ${on(at)}. Other devices were signed out.`,
      FINE,
      NOT_YOU,
    ],
    sms: `${BRAND}: your password was changed ${onShort(at)}. ${NOT_YOU_SMS}`,
  }),
  password_reset: (_, at) => ({
    subject: `The password of your ${BRAND} account was reset`,
    paragraphs: [
      `The password of your ${BRAND} account was reset ${on(at)}. All devices were signed out.`,
      FINE,
      // Whoever did it has read a code: resetting once more is of use only once they no longer can.
      'If it was not you, somebody can read your mail or your SMS: secure those, then reset your password again, or contact support.',
    ],
    sms: `${BRAND}: your password was reset ${onShort(at)}. Not you? Reset it again, or contact support.`,
  }),
  account_closed: (_, at) => ({
    subject: `Your ${BRAND} account was closed`,
    paragraphs: [
      `Your ${BRAND} account was closed ${on(at)}. Nobody can sign in to it any more.`,
      FINE,
      'If it was not you, contact support now.',
    ],
    sms: `${BRAND}: your account was closed ${onShort(at)}. Not you? Contact support now.`,
  }),
  sign_in_refused: (_, at) => ({
    subject: `Somebody tried to sign in to ${BRAND} with your phone number`,
    paragraphs: [
      `Somebody asked for a code to sign in to ${BRAND} with your phone number ${on(at)}. The number cannot be used to sign in at present, so no code was sent.`,
      'If this was you, sign in another way, or contact support.',
      'If it was not you, you can ignore this message.',
    ],
    sms: `${BRAND}: this number cannot be used to sign in now (asked ${onShort(at)}). Sign in another way or contact support. Not you? Ignore this.`,
  }),
  reset_refused: (_, at) => ({
    subject: `Your ${BRAND} password cannot be reset at present`,
    paragraphs: [
      `Somebody asked to reset the password of your ${BRAND} account ${on(at)}. That is not possible for this account at present, and nothing was changed.`,
      'If this was you, contact support.',
      'If it was not you, you can ignore this message.',
    ],
    sms: `${BRAND}: the password of your account cannot be reset now (asked ${onShort(at)}). Contact support. Not you? Ignore this.`,
  }),
  confirmation_requested: (_, at) => ({
    subject: `Somebody asked to confirm this email address for ${BRAND}`,
    paragraphs: [
      `Somebody asked for a code to confirm this email address for ${BRAND} ${on(at)}. No code was sent.`,
      `If this was you, sign in to ${BRAND} and ask for the code there.`,
      'If it was not you, you can ignore this message.',
    ],
    sms: `${BRAND}: somebody asked to confirm your email address ${onShort(at)}. To get a code, sign in and ask there. Not you? Ignore this.`,
  }),
};

function named(identifier: MessageVariables['sign_in_enabled']): string {
  if (identifier.contactType === 'username') return 'your username';
  return `the ${NOUNS[identifier.contactType]} ${identifier.maskedAddress}`;
}

function on(at: Date): string {
  const { month, day, time } = utc(at);
  return `on ${day} ${MONTHS[month]} at ${time}`;
}

/** An SMS has 160 characters. */
function onShort(at: Date): string {
  const { month, day, time } = utc(at);
  return `on ${day} ${MONTHS[month]?.slice(0, 3)} at ${time}`;
}
