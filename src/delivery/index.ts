export { escapeHtml, plainLine } from './escape.js';
export { LEASE_SECONDS } from './lease.js';
export type { DeliveryLimits } from './limits.js';
export type { CodePurpose, MessageKind, MessageVariables, OutgoingMessage } from './message.js';
export type { DeliveryObserver } from './observer.js';
export { createOutbox, type Outbox, type OutboxDeps, type OutboxFigures } from './outbox.js';
export { type InsertParts, insertMessage, sweepOutbox } from './outbox-store.js';
export type { Payload, PreparedMessage } from './payload.js';
export { type RenderedText, renderText } from './render-text.js';
export type { DeliveryRequest, RequestKind, ResolveRequest } from './request.js';
export type { Transports } from './sender.js';
export {
  createTransport,
  type RenderedMessage,
  type Transport,
  type TransportDeps,
  type TransportSpec,
  TransportTargetError,
} from './transport.js';
