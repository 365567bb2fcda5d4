import { setMaxListeners } from 'node:events';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import type { Logger } from '../core/logger.js';
import { type originOfWork, tracedApart } from '../core/tracing.js';
import { errorCode } from './error-code.js';
import { monotonicMs } from './lease.js';
import type { DeliveryLimits } from './limits.js';
import type { OutgoingMessage } from './message.js';
import type { DeliveryObserver } from './observer.js';
import type { Payload } from './payload.js';
import { renderText } from './render-text.js';
import type { ResolveRequest } from './request.js';
import type { ResultWriter } from './result-writer.js';
import type { Transport } from './transport.js';

export type Transports = Readonly<Record<Channel, Transport>>;

/** A message that this process holds the lease of. Numbers are moments of the monotonic clock. */
export interface Entry {
  readonly id: string;
  readonly message: Payload;
  /** When it was queued, for its reader. */
  readonly at: Date;
  readonly lease: Date | null;
  readonly attempts: number;
  readonly queuedAt: number;
  readonly leaseEndsAt: number;
  readonly expiresAt: number;
  /** The trace of the call that dispatched it. */
  readonly origin?: ReturnType<typeof originOfWork>;
}

/** Sends what it is given, as much of one channel at once as it may. */
export interface Sender {
  /** False: there is no room, and the row is left to recovery. */
  enqueue(entry: Entry): boolean;
  /** How many more sends of the channel could begin at once. */
  idle(channel: Channel): number;
  waiting(): readonly Entry[];
  /** Resolves when nothing is being sent and nothing waits. */
  settled(): Promise<void>;
  /** Ends the sends that run and forgets what waits. */
  abort(): void;
}

interface Deps {
  readonly transports: Transports;
  readonly resolve: ResolveRequest;
  readonly results: ResultWriter;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: DeliveryLimits;
  readonly backoff: (attempts: number) => number;
  readonly observer: DeliveryObserver;
}

export function createSender(deps: Deps): Sender {
  const stop = new AbortController();
  // Every running send listens: as many as may run at once are no leak.
  setMaxListeners(2 * deps.limits.concurrency, stop.signal);
  const lanes = { email: createLane(deps, stop.signal), sms: createLane(deps, stop.signal) };
  const all = Object.values(lanes);
  return {
    enqueue: (entry) => lanes[entry.message.channel].enqueue(entry),
    idle: (channel) => lanes[channel].idle(),
    waiting: () => all.flatMap((lane) => lane.waiting),
    async settled() {
      while (all.some((lane) => lane.running.size > 0)) {
        await Promise.all(all.flatMap((lane) => [...lane.running]));
      }
    },
    abort() {
      for (const { waiting } of all) waiting.length = 0;
      stop.abort();
    },
  };
}

interface Lane {
  readonly waiting: Entry[];
  readonly running: Set<Promise<void>>;
  enqueue(entry: Entry): boolean;
  idle(): number;
}

function createLane(deps: Deps, stop: AbortSignal): Lane {
  const { limits } = deps;
  const waiting: Entry[] = [];
  const running = new Set<Promise<void>>();

  const next = (): void => {
    while (running.size < limits.concurrency) {
      const entry = waiting.shift();
      if (entry === undefined) return;
      const send: Promise<void> = sendOne(deps, entry, stop).finally(() => {
        running.delete(send);
        next();
      });
      running.add(send);
    }
  };

  return {
    waiting,
    running,
    enqueue(entry) {
      if (stop.aborted || waiting.length >= limits.queue) return false;
      waiting.push(entry);
      next();
      return true;
    },
    idle: () =>
      stop.aborted ? 0 : Math.max(0, limits.concurrency - running.size - waiting.length),
  };
}

/** Never rejects. */
async function sendOne(deps: Deps, entry: Entry, stop: AbortSignal): Promise<void> {
  const { results, clock, log, limits, backoff, observer } = deps;
  const { id, lease, attempts } = entry;
  const now = monotonicMs(clock);
  // Too old: by the end of this send another process might hold the message, or nobody may send it.
  if (now + limits.sendTimeoutMs > entry.leaseEndsAt || now >= entry.expiresAt) return;
  let message: OutgoingMessage | undefined;
  try {
    await tracedApart('message send', notesOn(entry), entry.origin, () =>
      within(limits.sendTimeoutMs, stop, async (signal) => {
        message = await dueMessage(deps, entry, signal);
        if (message !== undefined) await hand(deps, entry, message, signal);
      }),
    );
    if (message === undefined) observer.dropped(entry.message.channel);
    else observer.sent(message.channel);
    results.finished({ id, state: message === undefined ? 'dropped' : 'sent' });
  } catch (error) {
    const { kind, channel, accountId } = { accountId: undefined, ...(message ?? entry.message) };
    observer.failed(channel);
    const code = errorCode(error);
    log.warn({ messageId: id, kind, channel, accountId, attempts, error: code }, 'send failed');
    results.failed({ id, lease, attempts, delayMs: backoff(attempts), error: code });
  }
}

/** The message itself, or what its request comes to now; undefined: nothing is due. */
async function dueMessage(
  { resolve }: Deps,
  { message }: Entry,
  signal: AbortSignal,
): Promise<OutgoingMessage | undefined> {
  return 'to' in message ? message : resolve(message, signal);
}

async function hand(
  { transports, clock }: Deps,
  entry: Entry,
  message: OutgoingMessage,
  signal: AbortSignal,
): Promise<void> {
  // Resolving may have taken until after the attempt was given up, or the code's last second.
  signal.throwIfAborted();
  const lifetimeMs = entry.expiresAt - monotonicMs(clock);
  if (lifetimeMs <= 0) throw new SendTooLateError('the lifetime is over');
  const { channel, to, locale } = message;
  const text = renderText(timely(message, lifetimeMs), entry.at);
  await transports[channel].send({ channel, to, locale, time: clock.now(), ...text }, signal);
}

function notesOn({ id, message, attempts }: Entry) {
  return {
    'countersign.message.id': id,
    'countersign.message.kind': message.kind,
    'countersign.message.channel': message.channel,
    'countersign.message.attempts': attempts,
  };
}

/** After retries a code works for less long than it was meant to: the message says what is left. */
function timely(message: OutgoingMessage, lifetimeMs: number): OutgoingMessage {
  if (message.kind !== 'verification_code') return message;
  const minutes = Math.min(message.variables.minutes, Math.ceil(lifetimeMs / 60_000));
  return { ...message, variables: { ...message.variables, minutes } };
}

class SendTimeoutError extends Error {
  override readonly name = 'SendTimeoutError';
}

class SendTooLateError extends Error {
  override readonly name = 'SendTooLateError';
}

class SendAbortedError extends Error {
  override readonly name = 'SendAbortedError';
}

/** Ends after `ms` even where the transport does not listen to its signal. */
function within(
  ms: number,
  stop: AbortSignal,
  send: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const abort = new AbortController();
  return new Promise<void>((resolve, reject) => {
    const end = (error: Error): void => {
      reject(error);
      abort.abort(error);
    };
    const timer = setTimeout(() => end(new SendTimeoutError(`no answer within ${ms} ms`)), ms);
    const onStop = (): void => end(new SendAbortedError('the process ends'));
    stop.addEventListener('abort', onStop, { once: true });
    const cleanUp = (): void => {
      clearTimeout(timer);
      stop.removeEventListener('abort', onStop);
    };
    abort.signal.addEventListener('abort', cleanUp, { once: true });
    send(abort.signal).then(resolve, reject).finally(cleanUp);
  });
}
