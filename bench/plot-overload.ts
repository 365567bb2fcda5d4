import { renderChart, type Series } from './plot.js';
import type { LevelFigures, OverloadFigures } from './suites/overload.js';

const MILLISECONDS = [1, 3, 10, 30, 100, 300, 1_000, 3_000];

/** Goodput and refusals, and below them the p99 of everything, by offered load. */
export function plotOverload({ calm, levels, capacity }: OverloadFigures): string {
  const all = [calm, ...levels.filter(({ patient }) => !patient)];
  const series = (
    name: string,
    value: (level: LevelFigures) => number,
    dashed = false,
  ): Series => ({
    name,
    dashed,
    // Nothing was counted where there is a 0.
    values: all.map((level) => value(level) || undefined),
  });
  return renderChart({
    title: 'Sign-in under overload: goodput, refusals and latency by offered load',
    xTitle: `sign-ins offered, × capacity (${Math.round(capacity.median)} a second)`,
    xLabels: all.map(({ times }) => (times === 0 ? 'calm' : String(times))),
    panels: [
      {
        title: 'Share',
        scale: 'linear',
        ticks: [0, 0.25, 0.5, 0.75, 1].map((value) => ({ value, label: `${value * 100} %` })),
        series: [
          { name: 'goodput ÷ peak', values: all.map(goodputShare) },
          { name: 'refused ÷ offered', values: all.map(({ shedShare }) => shedShare) },
        ],
      },
      {
        title: 'p99 from when a call was due, ms',
        scale: 'log',
        ticks: MILLISECONDS.map((value) => ({ value, label: String(value) })),
        series: [
          series('sign-in', ({ signIn }) => signIn.p99),
          series('refused sign-in', ({ shed }) => shed.p99, true),
          ...Object.keys(calm.aside).map((name) =>
            series(name, ({ aside }) => aside[name]?.p99 ?? 0),
          ),
        ],
      },
    ],
  });
}

/** A calm load has no more than it offers. */
function goodputShare({ times, goodputOfPeak }: LevelFigures): number | undefined {
  return times === 0 ? undefined : goodputOfPeak.median;
}
