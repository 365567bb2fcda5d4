export {
  findIdempotent,
  type IdempotencyDeps,
  type IdempotentRequest,
  insertIdempotent,
  isNotRepeated,
} from './idempotency-store.js';
export { type IdempotencyReason, requestIdReused } from './errors.js';
