/** Two servers in turns: what disturbs the machine disturbs both. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Generator, Load, LoadPlan } from './load.js';
import { cpuOf, threadsOf } from './processes.js';
import { backendsOf } from './services.js';
import {
  Histogram,
  type Percentiles,
  percentiles,
  ratio,
  round,
  type Spread,
  spread,
} from './statistics.js';

export interface Side {
  readonly pid: number;
  readonly generator: Generator;
  /** Its own: what PostgreSQL does for others is not counted. */
  readonly databaseUrl?: string | undefined;
}

/** One side during one round. */
export interface Measured {
  readonly load: Load;
  readonly serverCpuMs: number;
  /** Of that, the thread that runs JavaScript. */
  readonly mainCpuMs: number;
  readonly postgresCpuMs: number;
}

export async function measure(side: Side, plan: LoadPlan): Promise<Measured> {
  const server = cpuOf(side.pid);
  const main = threadsOf(side.pid).main;
  const postgres = await postgresCpuOf(side.databaseUrl);
  const load = await side.generator.run(plan);
  return {
    load,
    serverCpuMs: cpuOf(side.pid) - server,
    mainCpuMs: threadsOf(side.pid).main - main,
    postgresCpuMs: (await postgresCpuOf(side.databaseUrl)) - postgres,
  };
}

/** CPU of the processes that serve a database, in ms. */
async function postgresCpuOf(databaseUrl: string | undefined): Promise<number> {
  const backends = databaseUrl === undefined ? [] : await backendsOf(databaseUrl);
  return backends.reduce((total, pid) => total + cpuOf(pid), 0);
}

/** A side's figures over all rounds, as they stand in a result. */
export interface SideFigures {
  readonly okPerSecond: Spread;
  /** Milliseconds per call that ended `ok`. */
  readonly serverCpuPerCall: Spread;
  readonly generatorCpuPerCall: Spread;
  readonly postgresCpuPerCall: Spread;
  readonly latencyMs: Percentiles;
  /** All outcomes of all rounds. */
  readonly outcomes: Readonly<Record<string, number>>;
}

export function figures(rounds: readonly Measured[]): SideFigures {
  const perCall = (cpu: (one: Measured) => number): Spread =>
    spread(rounds.map((one) => cpu(one) / one.load.ok));
  const outcomes: Record<string, number> = {};
  for (const [name, histogram] of rounds.flatMap(({ load }) => [...load.outcomes])) {
    outcomes[name] = (outcomes[name] ?? 0) + histogram.count;
  }
  const good = rounds.map(({ load }) => load.outcomes.get('ok')?.counts() ?? {});
  return {
    okPerSecond: spread(
      rounds.map(({ load }) => load.okPerSecond),
      1,
    ),
    serverCpuPerCall: perCall(({ serverCpuMs }) => serverCpuMs),
    generatorCpuPerCall: perCall(({ load }) => load.generatorCpuMs),
    postgresCpuPerCall: perCall(({ postgresCpuMs }) => postgresCpuMs),
    latencyMs: percentiles(Histogram.of(...good)),
    outcomes,
  };
}

/** A subject beside something that does less. */
export interface Beside {
  readonly floor: SideFigures;
  /** Calls a second, the subject's ÷ the floor's. */
  readonly throughputRatio: Spread;
  /** The floor's server CPU per call ÷ the subject's: what the load generator and PostgreSQL leave out. */
  readonly cpuRatio: Spread;
}

/** Goals are judged by the ratio to `floor`. */
export interface Comparison extends Beside {
  readonly subject: SideFigures;
  /** Another floor, shown and not judged. */
  readonly smallest?: Beside;
}

/** Subject, floor, and the other floor where there is one. */
export type Round = readonly [Measured, Measured, Measured?];

export interface ComparisonPlan {
  readonly concurrency: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly warmUpSeconds: number;
  /** Told after each round. */
  readonly onRound?: (text: string) => void;
}

const SETTLE_MS = 300;

/** Alternating rounds, each in the other order than the last one. */
export async function compare(
  sides: { readonly subject: Side; readonly floor: Side; readonly smallest?: Side | undefined },
  plan: ComparisonPlan,
): Promise<Comparison & { readonly rounds: readonly Round[] }> {
  const load = (seconds: number): LoadPlan => ({
    mode: 'closed',
    concurrency: plan.concurrency,
    seconds,
  });
  const { subject, floor, smallest } = sides;
  const inOrder = [subject, floor, ...(smallest === undefined ? [] : [smallest])];
  for (const side of inOrder.toReversed()) await side.generator.run(load(plan.warmUpSeconds));
  const turn = async (side: Side): Promise<Measured> => {
    // What the other side left to be written or collected is not this one's.
    await delay(SETTLE_MS);
    return measure(side, load(plan.seconds));
  };
  const rounds: Round[] = [];
  for (let nth = 0; nth < plan.rounds; nth += 1) {
    const forth = nth % 2 === 0;
    const measured: Measured[] = [];
    for (const side of forth ? inOrder : inOrder.toReversed()) measured.push(await turn(side));
    const [over, under, least] = forth ? measured : measured.toReversed();
    if (over === undefined || under === undefined) throw new Error('a round has two sides');
    rounds.push(least === undefined ? [over, under] : [over, under, least]);
    plan.onRound?.(line(nth, over, under, least));
  }
  const over = rounds.map(([one]) => one);
  const leasts = rounds.flatMap(([, , least]) => (least === undefined ? [] : [least]));
  return {
    rounds,
    subject: figures(over),
    ...beside(
      over,
      rounds.map(([, under]) => under),
    ),
    ...(leasts.length === 0 ? {} : { smallest: beside(over, leasts) }),
  };
}

function beside(over: readonly Measured[], under: readonly Measured[]): Beside {
  const cpu = ({ serverCpuMs, load: { ok } }: Measured): number => serverCpuMs / ok;
  const rate = ({ load: { okPerSecond } }: Measured): number => okPerSecond;
  return {
    floor: figures(under),
    throughputRatio: ratio(over.map(rate), under.map(rate)),
    cpuRatio: ratio(under.map(cpu), over.map(cpu)),
  };
}

function line(nth: number, over: Measured, under: Measured, least: Measured | undefined): string {
  const one = ({ load, serverCpuMs }: Measured): string =>
    `${round(load.okPerSecond, 1)}/s ${round(serverCpuMs / load.ok, 3)} ms`;
  const quotient = (of: Measured): number => round(over.load.okPerSecond / of.load.okPerSecond, 3);
  const further =
    least === undefined ? '' : `; smallest statements ${one(least)}, ratio ${quotient(least)}`;
  return `round ${nth + 1}: ${one(over)}, floor ${one(under)}, ratio ${quotient(under)}${further}`;
}
