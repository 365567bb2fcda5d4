import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import type { Random } from '../core/ids.js';
import { deriveKeyRing, type KeyRing } from '../core/keys.js';
import type { Logger } from '../core/logger.js';
import { originOfWork } from '../core/tracing.js';
import { type Db, sqlNow } from '../db/index.js';
import { errorCode } from './error-code.js';
import { createHeldRequests } from './held-requests.js';
import { LEASE_SECONDS, monotonicMs } from './lease.js';
import { checkLimits, DEFAULT_LIMITS, type DeliveryLimits } from './limits.js';
import { type DeliveryObserver, nobody } from './observer.js';
import { expireMessages, oldestUnsent, type TakenMessage, takeOverdue } from './outbox-store.js';
import { type Payload, type PreparedMessage, sealPayload, unsealPayload } from './payload.js';
import type { ResolveRequest } from './request.js';
import { createResultWriter, type ResultWriter } from './result-writer.js';
import { createSender, type Entry, type Sender, type Transports } from './sender.js';

export interface OutboxDeps {
  readonly db: Db;
  readonly dataKeys: KeyRing;
  readonly random: Random;
  readonly clock: Clock;
  readonly transports: Transports;
  /** Knows accounts, which delivery does not. */
  readonly resolve: ResolveRequest;
  readonly log: Logger;
  readonly limits?: Partial<DeliveryLimits>;
  readonly observer?: DeliveryObserver | undefined;
}

export interface OutboxFigures {
  /** Messages waiting in this process's memory. */
  readonly queued: number;
  /** Milliseconds that the first of them has waited; 0 if there is none. */
  readonly oldest: number;
}

/**
 * Messages on their way. Use-cases `prepare` one, insert it with the change it tells of
 * (`insertMessage`), and `dispatch` it after the commit. What an anonymous call asks for is queued as a
 * request, and resolved to a message, or to none, at the moment of sending; at each attempt anew. The first
 * attempt is a moment after the call, drawn at random: nothing of it may be felt in the answer (rule 9).
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> queued: insert, leased to this process
 *   queued --> sent: the provider took it
 *   queued --> dropped: a request, and nothing is due
 *   queued --> queued: failed, due again after a pause; or the lease ran out and another took it
 *   queued --> expired: lifetime over
 * ```
 *
 * A message leaves at least once: a process that dies between the provider's answer and the row's
 * update leaves a row that is sent again.
 */
export interface Outbox extends AsyncDisposable {
  /** Touches nothing. A prepared message that is never inserted has no effect. */
  prepare<Content extends Payload>(content: Content): PreparedMessage<Content>;
  /** Hands committed messages to this process's sender. Never waits; what has no room is recovered. */
  dispatch(prepared: readonly PreparedMessage<Payload>[]): void;
  /** Takes overdue messages, as many as can be sent at once, and begins to send. Answers how many. */
  recover(): Promise<number>;
  /** Scrubs messages that nobody may send any more. Answers how many. */
  expire(): Promise<number>;
  /** Tells the observer how old the oldest unsent message is, unless it was told a moment ago. */
  measure(): Promise<void>;
  figures(): OutboxFigures;
  /** Sends what this process holds, and resolves when it is sent or failed, and the rows say so. */
  settled(): Promise<void>;
}

const EXPIRE_BATCH = 500;
const MEASURE_EVERY_MS = 15_000;

export function createOutbox(deps: OutboxDeps): Outbox {
  const { db, random, clock, transports, resolve, log, observer = nobody } = deps;
  const limits = checkLimits({ ...DEFAULT_LIMITS, ...deps.limits });
  const ring = deriveKeyRing(deps.dataKeys, 'outbox');
  const results = createResultWriter({ db, clock, log, limits, observer });
  const backoff = (attempts: number): number => backoffMs(limits, random, attempts);
  const sending = { transports, resolve, results, clock, log, limits, backoff, observer };
  const sender = createSender(sending);
  const recovery = { ...deps, limits, ring, results, sender, backoff };
  const enqueue = (entries: readonly Entry[], to: (entry: Entry) => boolean): void => {
    const leftOver = entries.filter((entry) => !to(entry));
    if (leftOver.length === 0) return;
    log.warn({ messages: leftOver.length }, 'sender queue is full: left to recovery');
  };
  const held = createHeldRequests({
    random,
    limits,
    pass: (entry) => enqueue([entry], sender.enqueue),
  });
  let measuredAt = Number.NEGATIVE_INFINITY;
  let closed = false;

  const settled = async (): Promise<void> => {
    held.release();
    await sender.settled();
    await results.settled();
  };

  return {
    prepare(content) {
      const id = random.id();
      const sealed = sealPayload(ring, random, id, content);
      return { id, message: content, sealed, at: clock.now(), preparedAt: monotonicMs(clock) };
    },
    dispatch(prepared) {
      if (closed) return;
      enqueue(prepared.map(toEntry), (entry) =>
        'to' in entry.message ? sender.enqueue(entry) : held.hold(entry),
      );
    },
    recover: () => (closed ? Promise.resolve(0) : recover(recovery)),
    async expire() {
      const expired = await expireMessages(db, sqlNow(clock), EXPIRE_BATCH);
      observer.expired(expired);
      return expired;
    },
    async measure() {
      const now = monotonicMs(clock);
      if (now - measuredAt < MEASURE_EVERY_MS) return;
      observer.oldestUnsent(await oldestUnsent(db, sqlNow(clock)));
      measuredAt = now;
    },
    figures() {
      const waiting = [...held.waiting(), ...sender.waiting()];
      const first = Math.min(...waiting.map(({ queuedAt }) => queuedAt));
      return {
        queued: waiting.length,
        oldest: waiting.length === 0 ? 0 : Math.max(0, monotonicMs(clock) - first),
      };
    },
    settled,
    async [Symbol.asyncDispose]() {
      closed = true;
      const drained = new AbortController();
      const bound = delay(limits.drainMs, undefined, { signal: drained.signal }).catch(() => {});
      await Promise.race([settled(), bound]);
      drained.abort();
      // What is still waiting stays in its row, and what was sent a moment ago is still written.
      sender.abort();
      results.stop();
      await settled();
    },
  };
}

function toEntry({ id, message, at, preparedAt }: PreparedMessage<Payload>): Entry {
  return {
    id,
    message,
    at,
    lease: null,
    attempts: 0,
    queuedAt: preparedAt,
    leaseEndsAt: preparedAt + LEASE_SECONDS * 1000,
    expiresAt: preparedAt + message.lifetimeSeconds * 1000,
    origin: originOfWork(),
  };
}

/** 1 s, 2 s, 4 s … each shortened by up to half, so that what failed together does not return together. */
function backoffMs(limits: DeliveryLimits, random: Random, attempts: number): number {
  const full = Math.min(limits.maxBackoffMs, limits.backoffMs * 2 ** Math.min(attempts, 30));
  const share = random.bytes(2).readUInt16BE() / 0xffff;
  return Math.round(full * (1 - share / 2));
}

interface Recovery {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
  readonly ring: KeyRing;
  readonly results: ResultWriter;
  readonly sender: Sender;
  readonly backoff: (attempts: number) => number;
}

const CHANNELS: readonly Channel[] = ['email', 'sms'];

async function recover({
  db,
  clock,
  log,
  ring,
  results,
  sender,
  backoff,
}: Recovery): Promise<number> {
  // No more than can begin at once: what is taken and then waits would lose its lease again.
  const open = CHANNELS.filter((channel) => sender.idle(channel) > 0);
  const limit = Math.min(...open.map((channel) => sender.idle(channel)));
  if (open.length === 0) return 0;
  const takenAt = monotonicMs(clock);
  const taken = await takeOverdue(db, sqlNow(clock), open, limit);
  for (const row of taken) {
    const { id, lease, attempts } = row;
    try {
      sender.enqueue(takenEntry(ring, row, takenAt));
    } catch (error) {
      // Perhaps a process with other keys, or of another release, can: it stays until it expires.
      log.error({ messageId: id, error: errorCode(error) }, 'queued message does not open');
      results.failed({ id, lease, attempts, delayMs: backoff(attempts), error: 'unsealable' });
    }
  }
  return taken.length;
}

function takenEntry(ring: KeyRing, row: TakenMessage, takenAt: number) {
  const { id, sealed, locale, lease, attempts, lifetimeMs, createdAt } = row;
  return {
    id,
    message: { ...unsealPayload(ring, id, sealed), locale },
    at: createdAt,
    lease,
    attempts,
    queuedAt: takenAt,
    leaseEndsAt: takenAt + LEASE_SECONDS * 1000,
    expiresAt: takenAt + lifetimeMs,
  };
}
