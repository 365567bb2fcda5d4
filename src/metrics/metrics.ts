import { AggregatorRegistry, Registry } from 'prom-client';
import type { DeliveryObserver } from '../delivery/index.js';
import type { EdgeObserver } from '../grpc/index.js';
import type { HashLaneObserver } from '../passwords/index.js';
import { type Figures, registerFigures } from './figures.js';
import { createInstruments } from './instruments.js';
import {
  deliveryObserver,
  edgeObserver,
  hashLaneObserver,
  type LimiterObserver,
  limiterObserver,
} from './observers.js';
import { watchProcess } from './process-metrics.js';

/** What one process knows of one metric, as plain data that a message between processes can carry. */
export type MetricObject = Awaited<ReturnType<Registry['getMetricsAsJSON']>>[number];

export interface MetricsOptions {
  /** Of this build. */
  readonly version: string;
}

/** The metrics of one app: the ports that the slices declare, and what is scraped. */
export interface Metrics extends AsyncDisposable {
  readonly edge: EdgeObserver;
  readonly hashLane: HashLaneObserver;
  readonly limiters: LimiterObserver;
  readonly delivery: DeliveryObserver;
  /** Says where figures stand that are read at a scrape. */
  show(figures: Partial<Figures>): void;
  /** In the text format of Prometheus. Reads memory alone. */
  text(): Promise<string>;
  /** The same as data, for `pageOfWorkers`. */
  json(): Promise<readonly MetricObject[]>;
  /** For the test that holds the documentation to it. */
  readonly registry: Registry;
}

/** Each app has a registry of its own: a process may open several. */
export function createMetrics({ version }: MetricsOptions): Metrics {
  const registry = new Registry();
  const make = createInstruments(registry);
  const figures: Partial<Figures> = {};
  const edge = edgeObserver(make);
  const hashLane = hashLaneObserver(make);
  const limiters = limiterObserver(make);
  const delivery = deliveryObserver(make);
  registerFigures(make, figures);
  make
    .gauge('countersign_build_info', 'Always 1; its labels say what runs.', 'first', [
      'version',
      'node',
    ])
    .set({ version, node: process.versions.node }, 1);
  const watch = watchProcess(make);
  return {
    edge,
    hashLane,
    limiters,
    delivery,
    show: (more) => void Object.assign(figures, more),
    text: () => registry.metrics(),
    json: () => registry.getMetricsAsJSON(),
    registry,
    [Symbol.asyncDispose]: async () => watch[Symbol.dispose](),
  };
}

/**
 * One page of several processes' metrics, by the places that they have among each other. They are not
 * added up: a sum falls when one of them is replaced or does not answer in time, and `rate()` would take
 * all that is left of it for new.
 */
export function pageOfWorkers(
  all: readonly { readonly place: number; readonly metrics: readonly MetricObject[] }[],
): Promise<string> {
  const placed = all.map(({ place, metrics }) =>
    metrics.map((metric) => ({
      ...metric,
      values: metric.values.map((one) => ({
        ...one,
        labels: { ...one.labels, worker: String(place) },
      })),
    })),
  );
  return AggregatorRegistry.aggregate(placed).metrics();
}
