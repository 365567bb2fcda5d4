import type { MessageKind, MessageVariables } from './message.js';

/** What a message says, before it is dressed as a mail or an SMS. */
export interface Text {
  readonly subject: string;
  /** Paragraphs of the mail. The code stands in a paragraph of its own. */
  readonly paragraphs: readonly string[];
  /** In English at most 160 characters of the GSM alphabet, so that it is one SMS. */
  readonly sms: string;
}

/** One language. Everything but a code says when it happened. */
export type Texts = {
  readonly [Kind in MessageKind]: (variables: MessageVariables[Kind], at: Date) => Text;
};

export const BRAND = 'Countersign';

/**
 * The parts of a moment as texts write them. In UTC: where the reader is, nobody knows. Without the
 * year: a message is read within days, and four digits in a row would pass for a code.
 */
export function utc(at: Date) {
  return {
    month: at.getUTCMonth(),
    day: at.getUTCDate(),
    time: `${at.toISOString().slice(11, 16)} UTC`,
  };
}
