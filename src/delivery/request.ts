import { z } from 'zod';
import type { Channel, IdentifierType, Locale } from '../core/contact.js';
import { type OutgoingMessage, routing } from './message.js';

/** What an anonymous call asked for. */
export type RequestKind = 'sign_in_request' | 'reset_request' | 'confirmation_request';

/**
 * A row that is no message yet. The call that queued it looked no account up (rules 8 and 9), so that
 * only the sender learns, at the moment of sending, whether a message is due, which one, and where to.
 */
export interface DeliveryRequest {
  readonly kind: RequestKind;
  /** Which of the sender's lanes it waits in. The message that comes of it may go another way. */
  readonly channel: Channel;
  /** Of the call; the message that comes of it brings its own. */
  readonly locale: Locale;
  /** Counted from the insert; afterwards nothing is resolved or sent. */
  readonly lifetimeSeconds: number;
  readonly challengeId: string;
  readonly caller: string;
  /** Of the call, for the audit of what is done about it. */
  readonly requestId: string;
  /** Canonical. */
  readonly typed: { readonly type: IdentifierType; readonly value: string };
}

/**
 * Finds what is due; undefined: nothing is. Called anew for each attempt to send, and maybe again for
 * a message that a dying process has sent. A rejection is a failed attempt, and is tried again. The
 * signal aborts when the attempt's time is over: what is resolved afterwards is not sent.
 */
export type ResolveRequest = (
  request: DeliveryRequest,
  signal: AbortSignal,
) => Promise<OutgoingMessage | undefined>;

export const requestSchema = z.object({
  ...routing,
  kind: z.enum(['sign_in_request', 'reset_request', 'confirmation_request']),
  challengeId: z.string().min(1).max(64),
  caller: z.string(),
  requestId: z.string(),
  typed: z.object({
    type: z.enum(['username', 'email', 'phone']),
    value: z.string().min(1).max(320),
  }),
});
