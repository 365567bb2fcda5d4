export { escapeHtml, plainLine } from './escape.js';
export { LEASE_SECONDS } from './lease.js';
export type { DeliveryLimits } from './limits.js';
export type { MessageKind, MessageVariables, OutgoingMessage, PreparedMessage } from './message.js';
export type { DeliveryObserver } from './observer.js';
export { createOutbox, type Outbox, type OutboxDeps, type OutboxFigures } from './outbox.js';
export { type InsertParts, insertMessage, sweepOutbox } from './outbox-store.js';
export type { Transports } from './sender.js';
export { type RenderedText, renderText } from './texts.js';
export {
  createTransport,
  type RenderedMessage,
  type Transport,
  type TransportDeps,
  type TransportSpec,
  TransportTargetError,
} from './transport.js';
