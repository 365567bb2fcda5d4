export type { Figures } from './figures.js';
export {
  createMetrics,
  type MetricObject,
  type Metrics,
  type MetricsOptions,
  pageOfWorkers,
} from './metrics.js';
