/** Load from a process of its own, so that its CPU is not mistaken for the server's. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cpuOf } from './processes.js';
import { Histogram, type HistogramCounts } from './statistics.js';

/**
 * One call as a scenario makes it. Answers how it ended: `ok`, or a reason (`OVERLOADED`,
 * `DEADLINE_EXCEEDED`); it throws only where the scenario itself is broken.
 *
 * In a closed loop `slot` is the number of the loop and no two calls of a slot overlap; in an open loop
 * it is one of `maxInFlight` that is free. `nth` counts all calls of the process.
 */
export type ScenarioCall = (slot: number, nth: number) => Promise<string>;

/** What a file of `bench/scenarios` exports. `data` is whatever was given to `startGenerator`. */
export interface ScenarioModule {
  open(data: never): Promise<ScenarioCall>;
}

export type LoadPlan =
  | { readonly mode: 'closed'; readonly concurrency: number; readonly seconds: number }
  | {
      readonly mode: 'open';
      /** Calls a second that arrive whatever becomes of the earlier ones; spaced exponentially. */
      readonly rate: number;
      readonly seconds: number;
      /** Arrivals beyond it are not sent and count as `NOT_SENT`. */
      readonly maxInFlight: number;
      readonly seed: number;
    };

/** As a worker sends it. */
export interface RawLoad {
  readonly elapsedMs: number;
  readonly outcomes: Readonly<Record<string, HistogramCounts>>;
}

export interface Load {
  readonly elapsedMs: number;
  /** By outcome. Open loop: latency counts from the moment a call was due, not from when it was sent. */
  readonly outcomes: ReadonlyMap<string, Histogram>;
  /** Calls that ended `ok`. */
  readonly ok: number;
  readonly okPerSecond: number;
  /** CPU of the generator meanwhile, in ms. */
  readonly generatorCpuMs: number;
}

export interface Generator extends AsyncDisposable {
  readonly pid: number;
  run(plan: LoadPlan): Promise<Load>;
}

export type GeneratorMessage =
  | { readonly open: { readonly scenario: string; readonly data: unknown } }
  | { readonly run: LoadPlan };
export type GeneratorReply =
  | { readonly ready: true }
  | { readonly done: RawLoad }
  | { readonly failed: string };

/** `scenario` is the name of a file in `bench/scenarios`, without its extension. */
export async function startGenerator(scenario: string, data: unknown): Promise<Generator> {
  const worker = fork(fileURLToPath(new URL('load-worker.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    serialization: 'advanced',
  });
  const pid = worker.pid ?? 0;
  const ask = async (message: GeneratorMessage): Promise<GeneratorReply> => {
    const answered = new AbortController();
    const { signal } = answered;
    const ended = once(worker, 'exit', { signal }).then(() => [{ failed: 'it has ended' }]);
    worker.send(message);
    try {
      const [reply] = await Promise.race([once(worker, 'message', { signal }), ended]);
      if ('failed' in reply) throw new Error(`generator ${scenario}: ${reply.failed}`);
      return reply;
    } finally {
      answered.abort();
      ended.catch(() => {});
    }
  };
  const kill = (): void => void worker.kill('SIGKILL');
  process.once('exit', kill);
  await ask({ open: { scenario, data } });
  return {
    pid,
    async run(plan) {
      const before = cpuOf(pid);
      const reply = await ask({ run: plan });
      if (!('done' in reply)) throw new Error('a generator answered out of turn');
      return toLoad(reply.done, cpuOf(pid) - before);
    },
    async [Symbol.asyncDispose]() {
      process.removeListener('exit', kill);
      if (worker.exitCode !== null || worker.signalCode !== null) return;
      const exited = once(worker, 'exit');
      worker.kill('SIGTERM');
      await exited;
    },
  };
}

function toLoad({ elapsedMs, outcomes }: RawLoad, generatorCpuMs: number): Load {
  const histograms = new Map(
    Object.entries(outcomes).map(([outcome, counts]) => [outcome, Histogram.of(counts)]),
  );
  const ok = histograms.get('ok')?.count ?? 0;
  return {
    elapsedMs,
    outcomes: histograms,
    ok,
    okPerSecond: ok / (elapsedMs / 1_000),
    generatorCpuMs,
  };
}
