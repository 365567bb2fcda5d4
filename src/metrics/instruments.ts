import { type Aggregator, Counter, Gauge, Histogram, type Registry } from 'prom-client';

/**
 * How a query makes one value of those of several processes. There is no default: a sum of ages, or the
 * largest of several queues, would say something that nobody asked.
 */
export type Together = Extract<Aggregator, 'sum' | 'max' | 'min' | 'first'>;

/** Makes the metrics of one registry. The text of `help` is what `docs/observability.md` says too. */
export interface Instruments {
  counter<Label extends string>(
    name: string,
    help: string,
    labels?: readonly Label[],
  ): Counter<Label>;
  histogram<Label extends string>(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly Label[],
  ): Histogram<Label>;
  gauge<Label extends string>(
    name: string,
    help: string,
    together: Together,
    labels?: readonly Label[],
  ): Gauge<Label>;
  /** A gauge that is read when it is asked for; undefined: there is nothing to say. */
  reading(name: string, help: string, together: Together, read: () => number | undefined): void;
  /** A counter that somebody else keeps, and that is read when it is asked for. */
  tally(name: string, help: string, read: () => number): void;
}

export function createInstruments(registry: Registry): Instruments {
  const registers = [registry];
  return {
    counter: (name, help, labels = []) =>
      new Counter({ name, help, labelNames: [...labels], registers }),
    histogram: (name, help, buckets, labels = []) =>
      new Histogram({ name, help, buckets: [...buckets], labelNames: [...labels], registers }),
    gauge: (name, help, together, labels = []) =>
      new Gauge({ name, help, aggregator: together, labelNames: [...labels], registers }),
    reading(name, help, together, read) {
      const gauge = new Gauge({
        name,
        help,
        aggregator: together,
        registers,
        collect() {
          const value = read();
          if (value === undefined) gauge.remove();
          else gauge.set(value);
        },
      });
    },
    tally(name, help, read) {
      const counter = new Counter({
        name,
        help,
        registers,
        collect() {
          counter.reset();
          counter.inc(read());
        },
      });
    },
  };
}
