import { performance } from 'node:perf_hooks';
import type { Clock } from '../core/clock.js';
import { traced } from '../core/tracing.js';
import { overloaded } from './errors.js';

/** A place in the lane, kept until work takes it, until it is disposed of, or until the call ends. */
export interface Place extends Disposable {
  /**
   * Resolves when its turn is near: what a call does before its hash it should not do sooner. Absent: it is
   * near already. Rejects with OVERLOADED where it became too late, and with the signal's reason.
   */
  readonly near?: Promise<void> | undefined;
}

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
  /**
   * Keeps a place in the queue for a call that has other things to do first: its `run` takes it. Without
   * it, calls that arrive while one makes a round trip would all find the same place free, and be shed
   * only after it.
   *
   * @throws OVERLOADED where `run` would shed at this moment.
   */
  admit(context: WorkContext): Place;
  /** What `admit` would throw now at a call with so much time left; keeps nothing. */
  refuses(leftMs: number): Error | undefined;
  readonly depth: HashLaneDepth;
}

/** For the metrics: how full the lane is at this moment. */
export interface HashLaneDepth {
  readonly running: number;
  /** Those whose turn is near and who are on their way to it are not counted. */
  readonly queued: number;
}

/** For the metrics: told as work goes through the lane, in seconds that no step of the clock moves. */
export interface HashLaneObserver {
  waited(seconds: number): void;
  hashed(seconds: number): void;
  shed(): void;
}

export interface HashLaneOptions {
  readonly concurrency: number;
  readonly queueLimit: number;
  readonly clock: Clock;
  /** What one hash is taken to cost before the first has been measured, in milliseconds. */
  readonly estimateMs?: number;
  readonly observer?: HashLaneObserver | undefined;
}

interface Waiter {
  readonly deadlineMs: number;
  start(): void;
  refuse(): void;
}

const DEFAULT_ESTIMATE_MS = 30;
const MAX_RETRY_SECONDS = 60;
/**
 * A call is let in where its hash is expected within this share of its time. Trips before and after take
 * the rest, and under load they take long: let in at the last moment, calls were hashed for and then
 * too late all the same, nearly half of them.
 */
const SHARE_OF_TIME = 0.5;
/**
 * How many calls for each permit are let near, itself included: their trips may take the time of four hashes before
 * a permit waits for one. All others wait before their trips, and so a thousand calls that come at once make them at the pace of hashes
 * and not at once, which would stop everything else for as long as it takes (a tenth of a second here).
 */
const NEAR = 5;

/**
 * As many permits as there are hashing threads (`argon2-threads.ts`): the queue is here, where
 * deadlines are known and the length is bounded, and nowhere else.
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
    places: new Map(),
    onTheirWay: 0,
    refusals: new Map(),
    running: 0,
    observer: options.observer,
  };
  return {
    // One span for the wait and the hash: an event in it says where the one ends.
    run: (context, work) =>
      traced(
        'password hash',
        () => ({ 'countersign.hash.ahead': state.running + state.queue.size }),
        (notes) =>
          enter(state, context, () => {
            notes.addEvent('turn');
            return work();
          }),
      ),
    admit: (context) => keepPlace(state, context),
    refuses: (leftMs) => (comesTooLate(state, leftMs) ? refusal(state) : undefined),
    get depth() {
      const { running, queue, places, onTheirWay } = state;
      return { running, queued: queue.size + places.size - onTheirWay };
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
  /** By the call they are kept for, in the order of arrival. */
  readonly places: Map<WorkContext, KeptPlace>;
  /** Those of the places whose turn is near. */
  onTheirWay: number;
  /** By their seconds: thrown by the thousand when there is least time to record a stack for each. */
  readonly refusals: Map<number, Error>;
  running: number;
  readonly observer: HashLaneObserver | undefined;
}

interface KeptPlace {
  readonly cameAt: number;
  isNear: boolean;
  /** Its turn is near. */
  go(): void;
  giveBack(): void;
}

function enter<T>(state: LaneState, context: WorkContext, work: () => Promise<T>): Promise<T> {
  const { deadline, signal } = context;
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const deadlineMs = deadlineOf(deadline);
    const place = state.places.get(context);
    place?.giveBack();
    // Those who keep a place and are not near yet come after it, and so do all that came after its own.
    const kept = place === undefined ? state.onTheirWay : 0;
    if (isHopeless(state, deadlineMs, kept)) return reject(refusal(state));
    const leave = (): void => {
      state.queue.delete(waiter);
      reject(signal.reason);
    };
    const stay = (): void => signal.removeEventListener('abort', leave);
    const cameAt = place?.cameAt ?? performance.now();
    const waiter: Waiter = {
      deadlineMs,
      start: () => {
        state.observer?.waited(secondsSince(cameAt));
        void hold(state, work).finally(stay).then(resolve, reject);
      },
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

function keepPlace(state: LaneState, context: WorkContext): Place {
  // One each: a call that asks twice does not stand in its own way.
  state.places.get(context)?.giveBack();
  const leftMs = deadlineOf(context.deadline) - state.nowMs();
  if (comesTooLate(state, leftMs)) throw refusal(state);
  // Not before: a signal is made when it is asked for, and costs more than the rest of a refusal.
  const { signal } = context;
  signal.throwIfAborted();
  const { promise, resolve, reject } = deferred();
  const remove = (): boolean => {
    if (state.places.get(context) !== place) return false;
    signal.removeEventListener('abort', leave);
    state.places.delete(context);
    if (place.isNear) state.onTheirWay -= 1;
    return true;
  };
  const giveBack = (): void => {
    if (remove()) letNear(state);
  };
  const leave = (): void => {
    giveBack();
    reject(signal.reason);
  };
  let waits = false;
  const place: KeptPlace = {
    cameAt: performance.now(),
    isNear: false,
    go: () => {
      // One that does not wait was judged a moment ago, and an idle lane judges by no estimate.
      const late = waits && state.nowMs() + state.cost.ms() > deadlineOf(context.deadline);
      if (!late) return resolve();
      remove();
      reject(refusal(state));
    },
    giveBack,
  };
  state.places.set(context, place);
  signal.addEventListener('abort', leave, { once: true });
  letNear(state);
  waits = !place.isNear;
  return { near: waits ? promise : undefined, [Symbol.dispose]: giveBack };
}

/** Those who came first, as long as there is room before the permits. */
function letNear(state: LaneState): void {
  const { concurrency, queue, places } = state;
  for (const place of places.values()) {
    if (state.running + queue.size + state.onTheirWay >= NEAR * concurrency) return;
    if (place.isNear) continue;
    place.isNear = true;
    state.onTheirWay += 1;
    place.go();
  }
}

/** One that nobody may come to wait for. */
function deferred() {
  let resolve: () => void = () => {};
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<void>((fulfil, fail) => {
    resolve = fulfil;
    reject = fail;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/** Whether there is no place for a call that has other things to do before and after. */
function comesTooLate(state: LaneState, leftMs: number): boolean {
  return isHopeless(state, state.nowMs() + SHARE_OF_TIME * leftMs, state.places.size);
}

/** Whether a call that arrives now, behind `kept` places, would be served too late, or find none. */
function isHopeless(state: LaneState, deadlineMs: number, kept: number): boolean {
  const { running, concurrency, queue, queueLimit, cost } = state;
  const now = state.nowMs();
  const ahead = running + queue.size + kept;
  // An idle lane judges by no estimate: a figure gone wrong (a clock that jumped, one slow
  // moment) would otherwise shed every call, and never be measured again.
  if (ahead === 0) return deadlineMs <= now;
  const turn = ahead + 1 - concurrency;
  if (turn > queueLimit) return true;
  const waitMs = (Math.max(0, turn) * cost.ms()) / concurrency;
  return now + waitMs + cost.ms() > deadlineMs;
}

/** Asks the caller to come back when what is here now will be done. */
function refusal(state: LaneState): Error {
  state.observer?.shed();
  const { running, queue, places, cost, concurrency } = state;
  const drainMs = ((running + queue.size + places.size) * cost.ms()) / concurrency;
  const seconds = Math.min(Math.max(1, Math.ceil(drainMs / 1_000)), MAX_RETRY_SECONDS);
  const refused = state.refusals.get(seconds) ?? overloaded(seconds);
  state.refusals.set(seconds, refused);
  return refused;
}

async function hold<T>(state: LaneState, work: () => Promise<T>): Promise<T> {
  state.running += 1;
  const startedMs = state.nowMs();
  const startedAt = performance.now();
  try {
    const result = await begin(work);
    state.cost.add(state.nowMs() - startedMs);
    return result;
  } finally {
    state.running -= 1;
    state.observer?.hashed(secondsSince(startedAt));
    admitNext(state);
  }
}

/** Keeps the invariant: nobody waits while a permit is free. */
function admitNext(state: LaneState): void {
  for (const waiter of state.queue) {
    if (state.running >= state.concurrency) break;
    state.queue.delete(waiter);
    if (state.nowMs() + state.cost.ms() > waiter.deadlineMs) waiter.refuse();
    else waiter.start();
  }
  letNear(state);
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1_000;
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
