export { startWorkers } from './background.js';
export type { Overrides } from './overrides.js';
export { edgeOf, listen, rpcsOf } from './servers.js';
export { openSlices } from './slices.js';
export { type LimitsKind, openConfigured, openStores, SchemaError } from './stores.js';
