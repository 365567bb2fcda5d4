import cluster, { type Worker } from 'node:cluster';
import { type FromPrimary, type FromWorker, type Gathered, isMessage } from './messages.js';

/** What a worker process has to do with its primary. */
export interface PrimaryLink {
  /** Tells that this worker serves. */
  listening(facts: unknown): void;
  /** Resolves when it is to drain. Before it serves it ends at once instead. */
  readonly stopped: Promise<void>;
  /** It could not be started: the channel keeps this process no longer from ending. */
  failed(): void;
  /** What `gather` of any worker gets of this one. */
  answerWith(answer: () => Promise<unknown>): void;
  /** One answer of every worker. Rejects without a primary. */
  gather(): Promise<Gathered>;
}

/** Undefined in a process that no primary started. */
export function linkToPrimary(): PrimaryLink | undefined {
  const { worker } = cluster;
  return worker === undefined ? undefined : link(worker);
}

/** Longer than the primary waits for the slowest worker. */
const GATHER_MS = 3_000;

function link(worker: Worker): PrimaryLink {
  let serves = false;
  let answer: () => Promise<unknown> = async () => undefined;
  let lastId = 0;
  /** One round at a time: whoever asks meanwhile gets the same. */
  let round: { readonly id: number; readonly result: Promise<Gathered> } | undefined;
  let gathered: (result: Gathered) => void = () => {};

  let onDrain: () => void = () => {};

  const send = (message: FromWorker): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };
  const stopped = new Promise<void>((resolve) => {
    const drain = (): void => (serves ? resolve() : process.exit(0));
    // Ctrl-C reaches the whole group: any number of signals is one drain. The second signal, which
    // ends everything at once, is the primary's to judge.
    const signal = (): void => void (serves && resolve());
    process.on('SIGTERM', signal).on('SIGINT', signal);
    onDrain = drain;
    worker.once('disconnect', () => {
      // The primary is gone. Without this, Node would end us here, in the middle of calls.
      worker.exitedAfterDisconnect = true;
      drain();
    });
  });
  process.on('message', (raw: unknown) => {
    if (!isMessage(raw)) return;
    const message = raw as FromPrimary;
    if (message.say === 'drain') onDrain();
    if (message.say === 'gathered' && message.id === round?.id) gathered(message.gathered);
    if (message.say !== 'ask') return;
    const { id } = message;
    answer().then(
      (value) => send({ say: 'answer', id, answer: value }),
      // It is counted as missing.
      () => {},
    );
  });
  return {
    stopped,
    listening(facts) {
      serves = true;
      send({ say: 'listening', facts });
    },
    failed: () => process.channel?.unref(),
    answerWith(next) {
      answer = next;
    },
    gather() {
      if (round !== undefined) return round.result;
      lastId += 1;
      const id = lastId;
      const result = new Promise<Gathered>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('the primary does not answer')), GATHER_MS);
        gathered = (value) => {
          clearTimeout(timer);
          resolve(value);
        };
        send({ say: 'gather', id });
      }).finally(() => {
        round = undefined;
      });
      round = { id, result };
      return result;
    },
  };
}
