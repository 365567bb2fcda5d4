/**
 * Sign-in beyond what the processor can hash: calls that arrive at 1 to 10 times the measured capacity
 * whether or not earlier ones were answered, beside a light steady load of everything else.
 */
import { plotOverload } from '../plot-overload.js';
import type { Load } from '../support/load.js';
import { table } from '../support/markdown.js';
import { Histogram, median, round, type Spread, spread } from '../support/statistics.js';
import { startSubject } from '../support/subject.js';
import type { Suite } from '../support/suite.js';
import { within } from './compared.js';
import {
  ASIDE_RATE,
  CALM_RATE,
  codesOfPass,
  DEADLINE_MS,
  LEVELS,
  type Measured,
  overloadPass,
  type Pass,
} from './overload-pass.js';
import { prepareOverload } from './overload-setup.js';

interface Latency {
  readonly p50: number;
  readonly p99: number;
}

export interface AsideFigures extends Latency {
  readonly calls: number;
  readonly failed: number;
  /** p99 ÷ that of the calm load. */
  readonly timesCalm: number;
}

export interface LevelFigures {
  /** Times capacity; 0: the calm load. */
  readonly times: number;
  /** Clients send no deadline. */
  readonly patient: boolean;
  /** Sign-ins a second: that arrived, that ended well. */
  readonly offered: Spread;
  readonly goodput: Spread;
  /** ÷ the highest of the same pass. */
  readonly goodputOfPeak: Spread;
  /** Of all arrivals: refused with OVERLOADED, and ended in any other way. */
  readonly shedShare: number;
  readonly otherShare: number;
  /** In ms, from the moment a call was due. */
  readonly signIn: Latency;
  readonly shed: Latency;
  readonly aside: Readonly<Record<string, AsideFigures>>;
  /** Cores in use. */
  readonly cores: {
    readonly server: number;
    readonly eventLoop: number;
    readonly postgres: number;
    readonly generators: number;
  };
  readonly rssMib: number;
}

export interface OverloadFigures {
  readonly passes: number;
  readonly capacity: Spread;
  readonly calm: LevelFigures;
  readonly levels: readonly LevelFigures[];
  /** Over all levels: what the goals are judged by. */
  readonly worst: Readonly<Record<string, number>>;
  /** CPU of the event loop for one more refused call, in microseconds. */
  readonly shedMicroseconds: number;
  readonly recoverySeconds: Spread;
}

export const overload: Suite<OverloadFigures> = {
  name: 'overload',
  title: 'Overload',
  byDefault: false,
  async run({ seconds, rounds, seed, program, say }) {
    // Codes must outlive the pass that they are sent for.
    await using subject = await startSubject({ program, env: { CODE_TTL: '10m' } });
    const data = await prepareOverload(subject, rounds, codesOfPass(seconds));
    const passes: Pass[] = [];
    for (let nth = 0; nth < rounds; nth += 1) {
      const pass = await overloadPass(subject, data, nth, { seconds, seed });
      passes.push(pass);
      const goodputs = pass.levels.map(({ signIns }) => goodput(signIns, seconds).toFixed(0));
      say(`pass ${nth + 1}: capacity ${pass.capacity.toFixed(0)}/s, then ${goodputs.join(', ')}/s`);
    }
    return summary(passes);
  },
  section,
  plot: (data) => ({ name: 'overload.svg', svg: plotOverload(data) }),
};

function summary(passes: readonly Pass[]): OverloadFigures {
  const calmAside = new Map(
    asideNames(passes).map((name) => [
      name,
      p99(
        asideOf(
          passes.map(({ calm }) => calm),
          name,
        ),
      ),
    ]),
  );
  const peaks = passes.map((pass) =>
    Math.max(
      pass.capacity,
      ...pass.levels.map(({ signIns, seconds }) => goodput(signIns, seconds)),
    ),
  );
  const figures = (of: (pass: Pass) => Measured, times: number, patient: boolean) =>
    levelFigures(passes.map(of), peaks, calmAside, { times, patient });
  const levels = LEVELS.map(({ times, patient }, i) =>
    figures(({ levels: all }) => at(all, i), times, patient),
  );
  const worstAside = [...calmAside.keys()].map((name): [string, number] => [
    name,
    Math.max(...levels.map(({ aside }) => aside[name]?.timesCalm ?? Number.NaN)),
  ]);
  return {
    passes: passes.length,
    capacity: spread(
      passes.map(({ capacity }) => capacity),
      1,
    ),
    calm: figures(({ calm }) => calm, 0, false),
    levels,
    worst: {
      goodputOfPeak: Math.min(...levels.map(({ goodputOfPeak }) => goodputOfPeak.median)),
      ...Object.fromEntries(worstAside),
    },
    shedMicroseconds: round(median(passes.map(shedMicroseconds)), 0),
    recoverySeconds: spread(
      passes.map(({ recoverySeconds }) => recoverySeconds),
      1,
    ),
  };
}

function levelFigures(
  measured: readonly Measured[],
  peaks: readonly number[],
  calmAside: ReadonlyMap<string, number>,
  level: { readonly times: number; readonly patient: boolean },
): LevelFigures {
  const signIns = measured.map(({ signIns: load }) => load);
  const all = total(signIns);
  const [good, refused] = [histogram(signIns, 'ok'), histogram(signIns, 'OVERLOADED')];
  const goodputs = measured.map(({ signIns: load, seconds }) => goodput(load, seconds));
  const cores = (cpuMs: (one: Measured) => number): number =>
    round(median(measured.map((one) => cpuMs(one) / one.seconds / 1_000)), 2);
  const aside = [...calmAside].map(([name, calmP99]): [string, AsideFigures] => {
    const found = asideOf(measured, name);
    const ok = histogram(
      measured.map((one) => one.aside),
      `${name} ok`,
    ).count;
    const timesCalm = round(p99(found) / calmP99, 2);
    return [name, { ...latency(found), calls: found.count, failed: found.count - ok, timesCalm }];
  });
  return {
    ...level,
    offered: spread(
      measured.map((one) => total([one.signIns]) / one.seconds),
      1,
    ),
    goodput: spread(goodputs, 1),
    goodputOfPeak: spread(
      goodputs.map((one, i) => one / at(peaks, i)),
      2,
    ),
    shedShare: round(refused.count / all, 3),
    otherShare: round((all - good.count - refused.count) / all, 4),
    signIn: latency(good),
    shed: latency(refused),
    aside: Object.fromEntries(aside),
    cores: {
      server: cores(({ serverCpuMs }) => serverCpuMs),
      eventLoop: cores(({ eventLoopCpuMs }) => eventLoopCpuMs),
      postgres: cores(({ postgresCpuMs }) => postgresCpuMs),
      generators: cores((one) => one.signIns.generatorCpuMs + one.aside.generatorCpuMs),
    },
    rssMib: Math.max(...measured.map(({ rssMib }) => rssMib)),
  };
}

/** From the level of twice the capacity to the heaviest: as many sign-ins succeed, more are refused. */
function shedMicroseconds({ levels }: Pass): number {
  const [low, high] = [at(levels, 1), at(levels, 3)];
  const refused = ({ signIns }: Measured): number => histogram([signIns], 'OVERLOADED').count;
  return ((high.eventLoopCpuMs - low.eventLoopCpuMs) * 1_000) / (refused(high) - refused(low));
}

function goodput(load: Load, seconds: number): number {
  return load.ok / seconds;
}

function total(loads: readonly Load[]): number {
  return loads
    .flatMap(({ outcomes }) => [...outcomes.values()])
    .reduce((sum, { count }) => sum + count, 0);
}

function histogram(loads: readonly Load[], outcome: string): Histogram {
  const found = loads.flatMap(({ outcomes }) => outcomes.get(outcome) ?? []);
  return Histogram.of(...found.map((one) => one.counts()));
}

/** All calls of one RPC beside sign-in, however they ended. */
function asideOf(measured: readonly Measured[], name: string): Histogram {
  const outcomes = measured.flatMap(({ aside }) => [...aside.outcomes]);
  const mine = outcomes.filter(([outcome]) => outcome.startsWith(`${name} `));
  return Histogram.of(...mine.map(([, found]) => found.counts()));
}

function asideNames(passes: readonly Pass[]): readonly string[] {
  const outcomes = passes.flatMap(({ calm }) => [...calm.aside.outcomes.keys()]);
  return [...new Set(outcomes.map((outcome) => outcome.split(' ')[0] ?? ''))].toSorted();
}

function latency(found: Histogram): Latency {
  return { p50: milliseconds(found, 0.5), p99: milliseconds(found, 0.99) };
}

function p99(found: Histogram): number {
  return found.percentile(0.99);
}

/** 0 where nothing was counted: results are JSON, which has no NaN. */
function milliseconds(found: Histogram, p: number): number {
  return found.count === 0 ? 0 : round(found.percentile(p), 2);
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`there is no item ${index}`);
  return found;
}

function section(data: OverloadFigures): string {
  const names = Object.keys(data.calm.aside);
  const label = ({ times, patient }: LevelFigures): string =>
    times === 0 ? 'calm' : `${times} ×${patient ? ', no deadline' : ''}`;
  const all = [data.calm, ...data.levels];
  const share = (part: number): string => `${round(part * 100, 1)} %`;
  const ms = (one: Latency): string => (one.p99 === 0 ? '–' : `${one.p50} / ${one.p99}`);
  return [
    '![Goodput and latency by offered load](overload.svg)',
    '',
    `Open loop: sign-ins arrive by chance (a seeded Poisson process) at multiples of the capacity, which a closed loop`,
    `measured in the same pass (${within(data.capacity)} a second), whatever becomes of the earlier ones; latency counts from`,
    `when a call was due. Clients give up after ${DEADLINE_MS / 1_000} s; in the last row they send no deadline. Beside them, at every`,
    `level, ${ASIDE_RATE} calls a second of ${names.join(', ')}, in turns. "Calm" is ${CALM_RATE} sign-ins a second. ${data.passes} passes; p50 / p99`,
    'in ms are of all passes together.',
    '',
    table(
      [
        'load',
        'offered /s',
        'good /s',
        '÷ peak',
        'shed',
        'otherwise failed',
        'sign-in',
        'shed answer',
      ],
      all.map((one) => [
        label(one),
        within(one.offered),
        within(one.goodput),
        one.times === 0 ? '–' : within(one.goodputOfPeak),
        share(one.shedShare),
        share(one.otherShare),
        ms(one.signIn),
        ms(one.shed),
      ]),
    ),
    '',
    'What else is asked meanwhile, p50 / p99 in ms, and the p99 ÷ that of the calm load:',
    '',
    table(
      ['load', ...names],
      all.map((one) => [
        label(one),
        ...names.map((name) => {
          const { failed = 0, timesCalm = 0, ...rest } = one.aside[name] ?? { p50: 0, p99: 0 };
          return `${ms(rest)} (${timesCalm} ×${failed === 0 ? '' : `, ${failed} failed`})`;
        }),
      ]),
    ),
    '',
    'Cores in use, and memory:',
    '',
    table(
      ['load', 'server', 'of it the event loop', 'PostgreSQL', 'generators', 'MiB'],
      all.map(({ cores, rssMib, ...one }) => [
        label({ ...one, cores, rssMib }),
        ...[cores.server, cores.eventLoop, cores.postgres, cores.generators, rssMib].map(String),
      ]),
    ),
    '',
    `A refused call costs the event loop ${data.shedMicroseconds} µs. After the heaviest load stops, sign-in answers within twice its`,
    `calm p99 again after ${within(data.recoverySeconds)} s.`,
  ].join('\n');
}
