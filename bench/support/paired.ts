/** Two things measured in pairs, and how small a difference between them would have shown. */
import { median, round, seeded } from './statistics.js';

/** Milliseconds: the middle of the differences, and the interval that holds it with 99 % confidence. */
export interface Difference {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface MeasuredDifference extends Difference {
  /** A true difference of this size would have been told from none in four runs of five. */
  readonly smallest: number;
}

const RESAMPLES = 2_000;
const CONFIDENCE = 0.99;
/** Standard errors from nothing to a difference that is found, at that confidence, four times of five. */
const ERRORS_TO_BE_SEEN = 2.576 + 0.842;

/**
 * The median of paired differences, by bootstrap: no shape of the latencies is assumed. The same for the
 * same seed.
 */
export function pairedDifference(differences: readonly number[], seed: number): MeasuredDifference {
  const medians = resampledMedians(differences, seeded(seed)).sort((a, b) => a - b);
  const at = (share: number): number => medians[Math.round(share * (RESAMPLES - 1))] ?? Number.NaN;
  const mean = medians.reduce((sum, one) => sum + one, 0) / RESAMPLES;
  const variance = medians.reduce((sum, one) => sum + (one - mean) ** 2, 0) / RESAMPLES;
  return {
    median: round(median(differences), 3),
    low: round(at((1 - CONFIDENCE) / 2), 3),
    high: round(at((1 + CONFIDENCE) / 2), 3),
    smallest: round(ERRORS_TO_BE_SEEN * Math.sqrt(variance), 3),
  };
}

/** Sorted once: a resample is how often each value was drawn, and its median is counted off. */
function resampledMedians(differences: readonly number[], random: () => number): number[] {
  const sorted = differences.toSorted((a, b) => a - b);
  return Array.from({ length: RESAMPLES }, () => {
    const drawn = new Uint32Array(sorted.length);
    for (let n = 0; n < sorted.length; n += 1) {
      const at = Math.floor(random() * sorted.length);
      drawn[at] = (drawn[at] ?? 0) + 1;
    }
    let seen = 0;
    const middle = drawn.findIndex((times) => {
      seen += times;
      return seen >= sorted.length / 2;
    });
    return sorted[middle] ?? Number.NaN;
  });
}

/** Whether there is a difference, as far as the measurement can say. */
export function isSeen({ low, high }: Difference): boolean {
  return low > 0 || high < 0;
}

/** Runs the turns of a round in an order drawn for it: none is always the one after another. */
export async function inRandomOrder<Name extends string>(
  turns: Readonly<Record<Name, () => Promise<number>>>,
  random: () => number,
): Promise<Readonly<Record<Name, number>>> {
  const drawn = (Object.keys(turns) as Name[])
    .map((name) => ({ name, rank: random() }))
    .sort((a, b) => a.rank - b.rank);
  const times = {} as Record<Name, number>;
  for (const { name } of drawn) times[name] = await turns[name]();
  return times;
}
