import { z } from 'zod';
import type { Channel, Locale } from '../core/contact.js';
import type { Random } from '../core/ids.js';
import { type KeyRing, SEAL_NONCE_BYTES, seal, unseal } from '../core/keys.js';

/** What a message of each kind says. Addresses appear masked only: a notice may reach an old device. */
export interface MessageVariables {
  readonly verification_code: {
    /** The code itself: 4–8 digits, or 20 (the long code). */
    readonly code: string;
    /** For how long it works when it is sent at once; a late retry states what is left. */
    readonly minutes: number;
  };
  readonly contact_added: ContactVariables;
  readonly contact_changed: ContactVariables;
}

interface ContactVariables {
  readonly contactType: 'email' | 'phone';
  /** As `maskDestination` shows it. */
  readonly maskedAddress: string;
}

export type MessageKind = keyof MessageVariables;

interface Envelope {
  readonly channel: Channel;
  /** Canonical email address, or E.164 phone number. */
  readonly to: string;
  readonly locale: Locale;
  /** For the log of failures only; the row's account is what `insertMessage` is given. */
  readonly accountId?: string | undefined;
  /** Counted from the insert; afterwards the message is never sent. At most 7 days. */
  readonly lifetimeSeconds: number;
}

export type OutgoingMessage = {
  readonly [Kind in MessageKind]: Envelope & {
    readonly kind: Kind;
    readonly variables: MessageVariables[Kind];
  };
}[MessageKind];

/** A message ready to be inserted and then dispatched. Holds the code in clear: keep it in memory only. */
export interface PreparedMessage {
  readonly id: string;
  readonly message: OutgoingMessage;
  readonly sealed: Buffer;
  /** Of the monotonic clock, in ms. Not later than the insert, so a lease counted from here ends first. */
  readonly preparedAt: number;
}

const envelope = {
  channel: z.enum(['email', 'sms']),
  to: z.string().min(1).max(320),
  locale: z.enum(['en', 'vi']),
  accountId: z.string().optional(),
  lifetimeSeconds: z
    .number()
    .int()
    .positive()
    .max(7 * 24 * 3600),
};
const contact = z.object({
  contactType: z.enum(['email', 'phone']),
  maskedAddress: z.string().min(1).max(320),
});
const payload = z.discriminatedUnion('kind', [
  z.object({
    ...envelope,
    kind: z.literal('verification_code'),
    variables: z.object({
      code: z.string().regex(/^[0-9]{4,20}$/),
      minutes: z.number().int().positive(),
    }),
  }),
  z.object({ ...envelope, kind: z.literal('contact_added'), variables: contact }),
  z.object({ ...envelope, kind: z.literal('contact_changed'), variables: contact }),
]);

/** Seals the message for its row; the id is authenticated, so that rows cannot swap their payloads. */
export function sealMessage(
  ring: KeyRing,
  random: Random,
  id: string,
  message: OutgoingMessage,
): Buffer {
  const plain = Buffer.from(JSON.stringify(payload.parse(message)), 'utf8');
  return seal(ring, random.nonce(SEAL_NONCE_BYTES), context(id), plain);
}

/** Throws where the keys do not open it, or where another release wrote a kind unknown to this one. */
export function unsealMessage(ring: KeyRing, id: string, sealed: Buffer): OutgoingMessage {
  return payload.parse(JSON.parse(unseal(ring, context(id), sealed).toString('utf8')));
}

const context = (id: string): string => `outbox:${id}`;
