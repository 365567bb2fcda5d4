export { createDatabaseWatch, type DatabaseWatchDeps } from './database-watch.js';
export { createDeliveryWorker, type DeliveryWorkerDeps } from './delivery-worker.js';
export { createKeyRotationWorker, type KeyRotationWorkerDeps } from './key-rotation-worker.js';
export { createPeriodicWorker, type PeriodicWorkerDeps, type Worker } from './periodic-worker.js';
export { createSweepingWorker, type Sweep, type SweepingWorkerDeps } from './sweeping-worker.js';
export { createSweeps } from './sweeps.js';
