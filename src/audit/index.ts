export {
  type AccessLog,
  type AccessLogDeps,
  type AccessLogLimits,
  createAccessLog,
} from './access-log.js';
export type { AccessEvent } from './access-rows.js';
export { type AddressSeal, createAddressSeal, newAuditKey } from './address-seal.js';
export {
  type ChangeEvent,
  type ChangeParts,
  changeBy,
  insertChange,
  insertChanges,
} from './change-event.js';
export { ensureAuditPartitions } from './partitions.js';
