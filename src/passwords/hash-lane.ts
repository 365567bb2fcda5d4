import type { Clock } from '../core/clock.js';
import { overloaded } from './errors.js';

/** The call on whose behalf work is done. */
export interface WorkContext {
  readonly deadline: Date | undefined;
  readonly signal: AbortSignal;
}

/**
 * The one way to the processor for password hashes (rule 15): at most `concurrency` at a time,
 * a bounded first-come queue behind them, and an early `OVERLOADED` for what would come too late.
 */
export interface HashLane {
  /**
   * Runs `work` when its turn comes. Work already begun is never broken off: its permit is held
   * until it ends, though a caller that leaves is let go at once.
   *
   * @throws OVERLOADED before any work is done, the signal's reason, or what `work` throws.
   */
  run<T>(context: WorkContext, work: () => Promise<T>): Promise<T>;
  /** Throws OVERLOADED where `run` would shed at this moment: for what comes before the work. */
  admit(context: WorkContext): void;
  readonly depth: HashLaneDepth;
}

/** For the metrics: how full the lane is at this moment. */
export interface HashLaneDepth {
  readonly running: number;
  readonly queued: number;
}

export interface HashLaneOptions {
  readonly concurrency: number;
  readonly queueLimit: number;
  readonly clock: Clock;
  /** What one hash is taken to cost before the first has been measured, in milliseconds. */
  readonly estimateMs?: number;
}

interface Waiter {
  readonly deadlineMs: number;
  start(): void;
  refuse(): void;
}

const DEFAULT_ESTIMATE_MS = 30;
const MAX_RETRY_SECONDS = 60;

/**
 * How many hashes may run at once. Argon2 runs on libuv's pool, which WebCrypto (token
 * signatures), DNS and the file system share: whatever the operator sets, two of its threads stay
 * free of hashes, so that those never queue behind them. (A pool of fewer than three threads
 * cannot keep that promise, and still hashes one at a time.)
 */
export function hashConcurrency(cores: number, poolSize: number): number {
  return Math.max(1, Math.min(cores, poolSize - 2));
}

/**
 * The process is started with `UV_THREADPOOL_SIZE` = cores + 4 and the lane with
 * `hashConcurrency(cores, poolSize)`: the queue is here, where deadlines are known and the length
 * is bounded, and never in libuv's pool, where everything else would wait in it too.
 *
 * There are no timers. A queued call that runs out of time is ended by its signal, or found too
 * late when its turn comes.
 */
export function createHashLane(options: HashLaneOptions): HashLane {
  requireWhole('concurrency', options.concurrency, 1);
  requireWhole('queueLimit', options.queueLimit, 0);
  const state: LaneState = {
    concurrency: options.concurrency,
    queueLimit: options.queueLimit,
    nowMs: () => options.clock.now().getTime(),
    cost: createAverage(options.estimateMs ?? DEFAULT_ESTIMATE_MS),
    queue: new Set(),
    running: 0,
  };
  return {
    run: (context, work) => enter(state, context, work),
    admit: ({ deadline }) => {
      if (isHopeless(state, deadlineOf(deadline))) throw refusal(state);
    },
    get depth() {
      return { running: state.running, queued: state.queue.size };
    },
  };
}

interface LaneState {
  readonly concurrency: number;
  readonly queueLimit: number;
  readonly nowMs: () => number;
  readonly cost: MovingAverage;
  /** Insertion order is arrival order, and a caller that leaves is removed without a search. */
  readonly queue: Set<Waiter>;
  running: number;
}

function enter<T>(
  state: LaneState,
  { deadline, signal }: WorkContext,
  work: () => Promise<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const deadlineMs = deadlineOf(deadline);
    if (isHopeless(state, deadlineMs)) return reject(refusal(state));
    const leave = (): void => {
      state.queue.delete(waiter);
      reject(signal.reason);
    };
    const stay = (): void => signal.removeEventListener('abort', leave);
    const waiter: Waiter = {
      deadlineMs,
      start: () => void hold(state, work).finally(stay).then(resolve, reject),
      refuse: () => {
        stay();
        reject(refusal(state));
      },
    };
    signal.addEventListener('abort', leave, { once: true });
    if (state.running < state.concurrency) waiter.start();
    else state.queue.add(waiter);
  });
}

function deadlineOf(deadline: Date | undefined): number {
  return deadline?.getTime() ?? Number.POSITIVE_INFINITY;
}

/** Whether a call that arrives now would be served too late, or find no place. */
function isHopeless(state: LaneState, deadlineMs: number): boolean {
  const { running, concurrency, queue, queueLimit, cost } = state;
  const now = state.nowMs();
  // An idle lane judges by no estimate: a figure gone wrong (a clock that jumped, one slow
  // moment) would otherwise shed every call, and never be measured again.
  if (running === 0) return deadlineMs <= now;
  if (running < concurrency) return now + cost.ms() > deadlineMs;
  if (queue.size >= queueLimit) return true;
  const waitMs = ((queue.size + 1) * cost.ms()) / concurrency;
  return now + waitMs + cost.ms() > deadlineMs;
}

/** Asks the caller to come back when what is here now will be done. */
function refusal(state: LaneState): Error {
  const drainMs = ((state.queue.size + state.running) * state.cost.ms()) / state.concurrency;
  return overloaded(Math.min(Math.max(1, Math.ceil(drainMs / 1_000)), MAX_RETRY_SECONDS));
}

async function hold<T>(state: LaneState, work: () => Promise<T>): Promise<T> {
  state.running += 1;
  const startedMs = state.nowMs();
  try {
    const result = await begin(work);
    state.cost.add(state.nowMs() - startedMs);
    return result;
  } finally {
    state.running -= 1;
    admitNext(state);
  }
}

/** Keeps the invariant: nobody waits while a permit is free. */
function admitNext(state: LaneState): void {
  for (const waiter of state.queue) {
    if (state.running >= state.concurrency) return;
    state.queue.delete(waiter);
    if (state.nowMs() + state.cost.ms() > waiter.deadlineMs) waiter.refuse();
    else waiter.start();
  }
}

/** Turns what `work` throws before its first await into a rejection like any other. */
async function begin<T>(work: () => Promise<T>): Promise<T> {
  return work();
}

const WEIGHT = 0.2;
const MAX_SAMPLE_MS = 10_000;

interface MovingAverage {
  ms(): number;
  add(sampleMs: number): void;
}

/** Exponentially weighted; one sample, cut at ten seconds, cannot carry it off. */
function createAverage(initialMs: number): MovingAverage {
  let average = initialMs;
  return {
    ms: () => average,
    add: (sampleMs) => {
      // The clock of the wall may step in either direction while a hash runs.
      const sample = Math.min(Math.max(sampleMs, 0), MAX_SAMPLE_MS);
      average += WEIGHT * (sample - average);
    },
  };
}

function requireWhole(name: string, value: number, min: number): void {
  if (!Number.isInteger(value) || value < min) {
    throw new RangeError(`${name} must be a whole number, at least ${min}`);
  }
}
