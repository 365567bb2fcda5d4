import type { Deadline, ServerUnaryCall } from '@grpc/grpc-js';
import type { Clock } from '../core/clock.js';

/** Why a call ended before it was answered. Also the reason of its signal. */
export class CallEndedError extends Error {
  override readonly name = 'CallEndedError';

  constructor(readonly ending: 'deadline' | 'cancelled') {
    super(ending === 'deadline' ? 'the deadline has passed' : 'the caller has left');
  }
}

/** A call's time, and whether anybody still waits for it. */
export interface Watch {
  /** Made when it is first asked for: most calls never ask, and it costs more than all the rest here. */
  readonly signal: AbortSignal;
  /** By the injected clock, as the hash lane and leases count. */
  readonly deadline: Date;
  /** The call is answered: nothing can end it any more. */
  stop(): void;
}

/**
 * Watches a call until it is stopped. The client's deadline counts, capped by ours (rule 20); `onEnd`
 * is called once, when the deadline passes or the client leaves.
 */
export function watchCall<Request, Response>(
  wire: ServerUnaryCall<Request, Response>,
  clock: Clock,
  timeoutMs: number,
  onEnd: (error: CallEndedError) => void,
): Watch {
  // grpc-js counts deadlines by the machine's clock; only the time that is left is taken from it.
  const endsAtMs = Math.min(asMs(wire.getDeadline()), Date.now() + timeoutMs);
  const leftMs = endsAtMs - Date.now();
  let abort: AbortController | undefined;
  let ended: CallEndedError | undefined;

  const end = (ending: CallEndedError['ending']): void => {
    stop();
    ended = new CallEndedError(ending);
    onEnd(ended);
    abort?.abort(ended);
  };
  const timer = setTimeout(end, leftMs, 'deadline');
  // grpc-js has a timer for the client's deadline too, and what it then reports is a cancellation.
  const onCancelled = (): void => end(Date.now() >= endsAtMs ? 'deadline' : 'cancelled');
  const stop = (): void => {
    clearTimeout(timer);
    wire.removeListener('cancelled', onCancelled);
  };

  wire.once('cancelled', onCancelled);
  return {
    get signal() {
      abort ??= new AbortController();
      // Asked for after the end, it has aborted already; a second time does nothing.
      if (ended !== undefined) abort.abort(ended);
      return abort.signal;
    },
    deadline: new Date(clock.now().getTime() + leftMs),
    stop,
  };
}

/** grpc-js gives either, and `Infinity` for none. */
export function asMs(deadline: Deadline): number {
  return typeof deadline === 'number' ? deadline : deadline.getTime();
}
