import cluster, { type Worker } from 'node:cluster';
import type { Logger } from '../core/logger.js';
import { createGathering } from './gathering.js';
import { closeUntaken } from './handovers.js';
import { type FromPrimary, type FromWorker, isMessage } from './messages.js';

export interface PrimaryOptions<Facts> {
  /** Worker processes. */
  readonly size: number;
  /** Longest that a worker may take until it serves; then it is killed. */
  readonly startMs: number;
  /** Longest that a worker may take to drain; what is left then is killed. */
  readonly drainMs: number;
  readonly log: Logger;
  /** All of them serve, for the first time. They share their addresses, so one's facts are all's. */
  onServing(facts: Facts): void;
  onDraining(): void;
}

/** A place among the workers; who takes it changes. */
interface Slot {
  worker: Worker | undefined;
  /** When its worker began to serve; undefined: it does not yet. */
  servesSince: number | undefined;
  /** Ends a worker that does not come to serve. */
  patience: NodeJS.Timeout | undefined;
  /** Deaths in a row, since one that lived long. */
  deaths: number;
  restart: NodeJS.Timeout | undefined;
}

interface Death {
  readonly pid: number;
  readonly code: number | null;
  readonly signal: string | null;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** A worker that served for so long did not die of its start: its successor starts without a pause. */
const LONG_LIFE_MS = 60_000;

/**
 * Starts the workers, which run this same program, and watches them until it is told to stop. It does
 * no business of its own: it opens no database and reads no request, and hands connections out in turn.
 * Answers the exit code: 0 after a drain, else 1.
 */
export function runPrimary<Facts>(options: PrimaryOptions<Facts>): Promise<number> {
  return new Promise((resolve) => {
    new Primary(options, resolve).run();
  });
}

/**
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> starting: one worker, then the others
 *   starting --> serving: all serve (the banner)
 *   serving --> serving: one died, and is replaced after a pause
 *   starting --> stopping: one died
 *   serving --> stopping: a signal, or one died at its start while no other serves
 *   stopping --> [*]: all have ended
 * ```
 *
 * A worker that cannot start has said why in its own words; where no other serves, trying again is for
 * whoever started us.
 */
class Primary<Facts> {
  readonly #slots: readonly Slot[];
  readonly #gathering = createGathering();
  #serving = false;
  /** Undefined until told to stop; then the exit code. */
  #exit: 0 | 1 | undefined;

  constructor(
    private readonly options: PrimaryOptions<Facts>,
    private readonly ended: (code: number) => void,
  ) {
    this.#slots = Array.from({ length: options.size }, () => ({
      worker: undefined,
      servesSince: undefined,
      patience: undefined,
      deaths: 0,
      restart: undefined,
    }));
  }

  run(): void {
    // Connections live for long: who takes which must not be left to chance.
    cluster.schedulingPolicy = cluster.SCHED_RR;
    const stop = (): void => {
      if (this.#exit === undefined) {
        this.options.onDraining();
        this.#stop(0);
      } else {
        this.#killAll();
        process.exit(1);
      }
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
    // The first shows whether the start works at all: its words are not said once per worker.
    const [first] = this.#slots;
    if (first !== undefined) this.#start(first);
  }

  #start(slot: Slot): void {
    const worker = this.#fork();
    if (worker === undefined) {
      this.#died(slot, { pid: 0, code: null, signal: null });
      return;
    }
    const pid = worker.process.pid ?? 0;
    slot.worker = worker;
    slot.patience = setTimeout(() => {
      this.options.log.error({ pid }, 'a worker did not come to serve in time, and is ended');
      worker.process.kill('SIGKILL');
    }, this.options.startMs);
    closeUntaken(worker.process);
    worker.on('message', (message: unknown) => {
      if (isMessage(message)) this.#heard(slot, worker, message as FromWorker);
    });
    worker.once('exit', (code, signal) => this.#died(slot, { pid, code, signal }));
    worker.on('error', (error) => {
      this.options.log.error({ err: error, pid }, 'a worker failed');
      // One that could not even be started has no exit.
      if (pid === 0) this.#died(slot, { pid, code: null, signal: null });
    });
  }

  /** No process can be had: as bad as one that died at its start, and no worse. */
  #fork(): Worker | undefined {
    try {
      return cluster.fork();
    } catch (error) {
      this.options.log.error({ err: error, pid: 0 }, 'a worker failed');
      return undefined;
    }
  }

  #heard(slot: Slot, worker: Worker, message: FromWorker): void {
    switch (message.say) {
      case 'listening':
        slot.servesSince = performance.now();
        clearTimeout(slot.patience);
        this.#serves(message.facts as Facts);
        return;
      case 'gather':
        void this.#gather(worker, message.id);
        return;
      case 'answer':
        this.#gathering.answered(worker.process.pid ?? 0, message.id, message.answer);
    }
  }

  #serves(facts: Facts): void {
    if (this.#serving || this.#exit !== undefined) return;
    for (const slot of this.#slots) if (slot.worker === undefined) this.#start(slot);
    if (this.#slots.some(({ servesSince }) => servesSince === undefined)) return;
    this.#serving = true;
    this.options.onServing(facts);
  }

  async #gather(asker: Worker, id: number): Promise<void> {
    const asked = this.#slots.flatMap(({ worker, servesSince }, index) =>
      worker === undefined || servesSince === undefined
        ? []
        : [
            {
              pid: worker.process.pid ?? 0,
              place: index + 1,
              ask: (round: number) => tell(worker, { say: 'ask', id: round }),
            },
          ],
    );
    const answers = await this.#gathering.gather(asked);
    const gathered = { answers, missing: this.#slots.length - answers.length };
    tell(asker, { say: 'gathered', id, gathered });
  }

  #died(slot: Slot, death: Death): void {
    const { servesSince } = slot;
    clearTimeout(slot.patience);
    slot.worker = undefined;
    slot.servesSince = undefined;
    this.#gathering.left(death.pid);
    if (this.#exit !== undefined) {
      // What a worker that never served left behind is nothing.
      if (servesSince !== undefined && death.code !== 0) this.#exit = 1;
      this.#endWhenEmpty();
      return;
    }
    const others = this.#slots.some((other) => other.servesSince !== undefined);
    if (!this.#serving || (servesSince === undefined && !others)) this.#stop(1);
    else this.#replace(slot, servesSince, death);
  }

  #replace(slot: Slot, servesSince: number | undefined, death: Death): void {
    const livedMs = servesSince === undefined ? 0 : performance.now() - servesSince;
    // One that was told to go, and went, is no fault: that is how to renew a single worker.
    const fine = livedMs > LONG_LIFE_MS || (servesSince !== undefined && death.code === 0);
    slot.deaths = fine ? 0 : slot.deaths + 1;
    const pauseMs = pauseAfter(slot.deaths);
    const { pid, code: exit, signal } = death;
    this.options.log.error({ pid, exit, signal, pauseMs }, 'a worker ended, and is replaced');
    slot.restart = setTimeout(() => this.#start(slot), pauseMs);
  }

  #stop(code: 0 | 1): void {
    this.#exit = code;
    for (const { worker, restart } of this.#slots) {
      clearTimeout(restart);
      if (worker !== undefined) tell(worker, { say: 'drain' });
    }
    setTimeout(() => this.#killAll(), this.options.drainMs).unref();
    this.#endWhenEmpty();
  }

  #endWhenEmpty(): void {
    if (this.#exit === undefined || this.#slots.some(({ worker }) => worker !== undefined)) return;
    this.ended(this.#exit);
  }

  #killAll(): void {
    for (const { worker } of this.#slots) worker?.process.kill('SIGKILL');
  }
}

function pauseAfter(deaths: number): number {
  if (deaths === 0) return 0;
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(deaths - 1, 10));
}

/** A worker that is dying hears nothing any more, and need not. */
function tell(worker: Worker, message: FromPrimary): void {
  if (worker.isConnected()) worker.send(message, () => {});
}
