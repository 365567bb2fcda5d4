import { z } from 'zod';
import type { Random } from '../core/ids.js';
import { type KeyRing, SEAL_NONCE_BYTES, seal, unseal } from '../core/keys.js';
import { messageSchemas, type OutgoingMessage } from './message.js';
import { type DeliveryRequest, requestSchema } from './request.js';

/** What a row of the outbox holds: a message, or the request for one. */
export type Payload = OutgoingMessage | DeliveryRequest;

/** Ready to be inserted and then dispatched. Holds codes and addresses in clear: keep it in memory only. */
export interface PreparedMessage<Content extends Payload = OutgoingMessage> {
  readonly id: string;
  readonly message: Content;
  readonly sealed: Buffer;
  /** For the reader of the message: when it happened. */
  readonly at: Date;
  /** Of the monotonic clock, in ms. Not later than the insert, so a lease counted from here ends first. */
  readonly preparedAt: number;
}

const payload = z.discriminatedUnion('kind', [...messageSchemas, requestSchema]);

/** Seals it for its row; the id is authenticated, so that rows cannot swap their payloads. */
export function sealPayload(ring: KeyRing, random: Random, id: string, content: Payload): Buffer {
  const plain = Buffer.from(JSON.stringify(payload.parse(content)), 'utf8');
  return seal(ring, random.nonce(SEAL_NONCE_BYTES), context(id), plain);
}

/** Throws where the keys do not open it, or where another release wrote a kind unknown to this one. */
export function unsealPayload(ring: KeyRing, id: string, sealed: Buffer): Payload {
  return payload.parse(JSON.parse(unseal(ring, context(id), sealed).toString('utf8')));
}

const context = (id: string): string => `outbox:${id}`;
