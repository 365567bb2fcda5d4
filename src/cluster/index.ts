export type { Gathered } from './messages.js';
export { runPrimary } from './primary.js';
export { linkToPrimary, type PrimaryLink } from './worker.js';
