export type { IdempotencyReason } from './errors.js';
export {
  findIdempotent,
  type IdempotencyDeps,
  type IdempotentRequest,
  insertIdempotent,
  isNotRepeated,
} from './idempotency-store.js';
