import { mac } from '../core/keys.js';
import { rateLimited } from './errors.js';
import type { Limiter, LimiterName, Limits } from './limits.js';

export interface Charge {
  readonly limiter: LimiterName;
  /**
   * What is counted, in canonical form: an E.164 number, a `sourceKey`, a `compoundKey`. It is hashed
   * before it leaves the process. Limiters for `everyone` ignore it: pass an empty string.
   */
  readonly key: string;
}

/** What was charged, for calls that turn out to do nothing of what some of the charges stand for. */
export interface Receipt {
  /** Gives these of the charges back (the same objects). Never rejects: a soft limit may err. */
  giveBack(charges: readonly Charge[]): Promise<void>;
}

export type Verdict =
  | { readonly admitted: true; readonly receipt: Receipt }
  | {
      readonly admitted: false;
      /** The longest of the waits, whole seconds, at least one. */
      readonly retryAfterSeconds: number;
      /** For the process itself (void challenges, metrics), never for the wire. */
      readonly exhausted: readonly LimiterName[];
    };

/**
 * The port for soft limits. All charges of a call go out at once, in one round trip of the network.
 * A call is admitted only if every limiter has room. If one has none, `attempts` limiters keep the
 * charge and `admissions` limiters get it back (see `limits.ts`); a refusal known from the block cache
 * charges nothing and costs no round trip.
 *
 * Soft: counts may err by the calls in flight, and start anew when a store is flushed or replaced.
 */
export interface Throttle {
  /** Throws `RATE_LIMITED` with the longest wait when any limiter is exhausted. */
  consume(charges: readonly Charge[]): Promise<Receipt>;
  /** The same, as a value: for flows that answer an exhausted limit otherwise than by refusing. */
  tryConsume(charges: readonly Charge[]): Promise<Verdict>;
}

/** A charge as the stores see it: the limiter and a key that says nothing to who reads it. */
export interface Ticket {
  readonly limiter: Limiter;
  readonly id: string;
}

export interface Answer {
  /** Milliseconds until there is room; undefined: there was. */
  readonly waitMs: number | undefined;
  giveBack(): Promise<void>;
}

export interface ThrottleStore {
  /** Waits that are already known without asking anybody (the block cache). */
  knownWaits(tickets: readonly Ticket[]): readonly (number | undefined)[];
  /** One answer per ticket, in order; everything is sent before anything is awaited. */
  charge(tickets: readonly Ticket[]): Promise<readonly Answer[]>;
}

export interface ThrottleDeps {
  readonly limits: Limits;
  /** Secret for the hash over keys: Redis and its dumps hold no address (rule 22). */
  readonly key: Buffer;
}

/** The rules that both stores share. */
export function createThrottle({ limits, key }: ThrottleDeps, store: ThrottleStore): Throttle {
  const tryConsume = async (charges: readonly Charge[]): Promise<Verdict> => {
    if (charges.length === 0) return { admitted: true, receipt: nothingCharged };
    const tickets = charges.map((charge) => ticket(limits[charge.limiter], charge.key, key));
    const known = verdict(tickets, store.knownWaits(tickets));
    if (!known.admitted) return known;
    const answers = await store.charge(tickets);
    const judged = verdict(
      tickets,
      answers.map((answer) => answer.waitMs),
      receiptOf(charges, answers),
    );
    if (!judged.admitted) {
      // The refused charge is given back too: the count stays the number of admitted calls plus those
      // in flight, however many were refused.
      const returned = answers.filter((_, i) => tickets[i]?.limiter.counts === 'admissions');
      await Promise.all(returned.map((answer) => answer.giveBack()));
    }
    return judged;
  };
  return {
    tryConsume,
    consume: async (charges) => {
      const judged = await tryConsume(charges);
      if (!judged.admitted) throw rateLimited(judged.retryAfterSeconds);
      return judged.receipt;
    },
  };
}

const nothingCharged: Receipt = { giveBack: async () => {} };

function receiptOf(charges: readonly Charge[], answers: readonly Answer[]): Receipt {
  return {
    async giveBack(returned) {
      const wanted = answers.filter((_, i) => returned.some((charge) => charge === charges[i]));
      await Promise.allSettled(wanted.map((answer) => answer.giveBack()));
    },
  };
}

/** One key out of several parts, such as an RPC and a source, that no other parts give. */
export function compoundKey(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

/** 128 bits: no two keys meet by accident. The limiter is hashed too, so that rows of one address cannot be joined. */
const ID_BYTES = 16;

function ticket(limiter: Limiter, clear: string, secret: Buffer): Ticket {
  const counted = limiter.keyedBy === 'everyone' ? '' : clear;
  const digest = mac(secret, 'throttle', limiter.name, counted).subarray(0, ID_BYTES);
  return { limiter, id: digest.toString('base64url') };
}

function verdict(
  tickets: readonly Ticket[],
  waits: readonly (number | undefined)[],
  receipt: Receipt = nothingCharged,
): Verdict {
  const exhausted = new Set<LimiterName>();
  let longest = 0;
  for (const [i, { limiter }] of tickets.entries()) {
    const wait = waits[i];
    if (wait === undefined) continue;
    exhausted.add(limiter.name);
    longest = Math.max(longest, wait);
  }
  if (exhausted.size === 0) return { admitted: true, receipt };
  const retryAfterSeconds = Math.max(1, Math.ceil(longest / 1000));
  return { admitted: false, retryAfterSeconds, exhausted: [...exhausted] };
}
