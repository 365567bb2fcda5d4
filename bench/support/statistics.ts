/** Percentiles and ratios. Everything here is pure, so that a report can be checked by hand. */

/** Neighbouring buckets differ by one per cent: the error of any percentile. */
const GROWTH = Math.log(1.01);

/** Counts by bucket number; what a worker process sends to the one that asked it. */
export type HistogramCounts = Readonly<Record<string, number>>;

/** Latencies in buckets that grow by one per cent: bounded, mergeable, and cheap to fill. */
export class Histogram {
  readonly #counts = new Map<number, number>();
  #total = 0;

  static of(...parts: readonly HistogramCounts[]): Histogram {
    const histogram = new Histogram();
    for (const [bucket, count] of parts.flatMap((part) => Object.entries(part))) {
      histogram.#add(Number(bucket), count);
    }
    return histogram;
  }

  get count(): number {
    return this.#total;
  }

  record(milliseconds: number): void {
    const microseconds = Math.max(1, milliseconds * 1_000);
    this.#add(Math.floor(Math.log(microseconds) / GROWTH), 1);
  }

  /** In milliseconds: the upper edge of the bucket that holds the share `p` (0 to 1) of all. */
  percentile(p: number): number {
    const wanted = Math.max(1, Math.ceil(p * this.#total));
    let seen = 0;
    for (const bucket of [...this.#counts.keys()].sort((a, b) => a - b)) {
      seen += this.#counts.get(bucket) ?? 0;
      if (seen >= wanted) return Math.exp((bucket + 1) * GROWTH) / 1_000;
    }
    return Number.NaN;
  }

  counts(): HistogramCounts {
    return Object.fromEntries(this.#counts);
  }

  #add(bucket: number, count: number): void {
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + count);
    this.#total += count;
  }
}

export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
}

/** In milliseconds. */
export function percentiles(histogram: Histogram): Percentiles {
  const at = (p: number): number => round(histogram.percentile(p), 3);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999) };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return Number.NaN;
  const high = sorted[Math.floor(middle)] ?? Number.NaN;
  const low = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  return (high + low) / 2;
}

/** A figure of several rounds: the middle one, and how far the others were from it. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function spread(values: readonly number[], digits = 3): Spread {
  return {
    median: round(median(values), digits),
    low: round(Math.min(...values), digits),
    high: round(Math.max(...values), digits),
  };
}

/**
 * The ratio of two things that were measured in turns: round by round, so that what disturbs the
 * machine for a while disturbs both sides of a quotient.
 */
export function ratio(over: readonly number[], under: readonly number[]): Spread {
  if (over.length !== under.length) throw new Error('a ratio needs as many rounds of each');
  return spread(over.map((value, i) => value / (under[i] ?? Number.NaN)));
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32): arrivals, choices. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
