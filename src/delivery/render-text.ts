import type { Channel, Locale } from '../core/contact.js';
import { escapeHtml, plainLine } from './escape.js';
import type { MessageKind, MessageVariables, OutgoingMessage } from './message.js';
import type { Text, Texts } from './texts.js';
import { english } from './texts-english.js';
import { vietnamese } from './texts-vietnamese.js';

export interface RenderedText {
  readonly subject: string | null;
  readonly text: string;
  readonly html: string | null;
}

const texts: Readonly<Record<Locale, Texts>> = { en: english, vi: vietnamese };

/** The words of a message in its reader's language (M3). `at`: when what it tells of happened. */
export function renderText(message: OutgoingMessage, at: Date): RenderedText {
  const { channel, locale } = message;
  return dress(channel, locale, compose(texts[locale], message, at));
}

function compose<Kind extends MessageKind>(
  of: Texts,
  { kind, variables }: { readonly kind: Kind; readonly variables: MessageVariables[Kind] },
  at: Date,
): Text {
  return of[kind](withoutTricks(variables), at);
}

/** Text that came from outside loses URLs and control characters before it is part of a sentence (rule 23). */
function withoutTricks<Variables extends object>(variables: Variables): Variables {
  if (!('maskedAddress' in variables)) return variables;
  return { ...variables, maskedAddress: plainLine(String(variables.maskedAddress)) };
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
