import { mac } from '../core/keys.js';
import { rateLimited } from './errors.js';
import type { KeyedBy, Limiter, LimiterName, Limits } from './limits.js';
import { makeRoom } from './make-room.js';
import type { ThrottleObserver } from './throttle-observer.js';

export interface Charge {
  readonly limiter: LimiterName;
  /**
   * What is counted, in canonical form: an E.164 number, a `sourceKey`, a `compoundKey`. It is hashed
   * before it leaves the process. Limiters for `everyone` ignore it: pass an empty string.
   */
  readonly key: string;
  /**
   * Who asks (a `sourceKey`), for limiters with a share for sources that the address knows. Absent: a
   * stranger.
   */
  readonly source?: string | undefined;
}

/** What was charged, for calls that turn out to do nothing of what some of the charges stand for. */
export interface Receipt {
  /** Gives these of the charges back (the same objects). Never rejects: a soft limit may err. */
  giveBack(charges: readonly Charge[]): Promise<void>;
}

export interface Refusal {
  readonly admitted: false;
  /** The longest of the waits, whole seconds, at least one. */
  readonly retryAfterSeconds: number;
  /** For the process itself, never for the wire. */
  readonly exhausted: readonly LimiterName[];
  /** Every one of them would rather hold the call back than have it refused (T4). */
  readonly holdsBack: boolean;
}

export type Verdict = { readonly admitted: true; readonly receipt: Receipt } | Refusal;

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
  /** The same, as a value: for who answers an exhausted limit otherwise than by refusing. */
  tryConsume(charges: readonly Charge[]): Promise<Verdict>;
  /**
   * Lets an address know a source (a `sourceKey`), which has just proven the address or signed in with
   * it. Takes no time and never fails; soft, like the rest.
   */
  remember(address: string, source: string): void;
}

/** A charge as the stores see it: the limiter and a key that says nothing to who reads it. */
export interface Ticket {
  readonly limiter: Limiter;
  readonly id: string;
  /** What is charged instead, under the same `id`, where the address knows this source. */
  readonly known?: { readonly limiter: Limiter; readonly source: string };
}

/** No room, and the milliseconds until there is. */
export interface Wait {
  readonly limiter: Limiter;
  readonly waitMs: number;
}

export interface Answer {
  /** The one that was charged. */
  readonly limiter: Limiter;
  /** Milliseconds until there is room; undefined: there was. */
  readonly waitMs: number | undefined;
  giveBack(): Promise<void>;
}

export interface ThrottleStore {
  /** Waits that are already known without asking anybody (the block cache). */
  knownWaits(tickets: readonly Ticket[]): readonly Wait[];
  /** One answer per ticket, in order; everything is sent before anything is awaited. */
  charge(tickets: readonly Ticket[]): Promise<readonly Answer[]>;
  /** Both as hashes; the address is the `id` of its tickets. */
  remember(address: string, source: string): void;
}

export interface ThrottleDeps {
  readonly limits: Limits;
  /**
   * Secret for the hash over keys: Redis and its dumps hold no address (rule 22). Absent for counts that
   * never leave this process: a hash for each charge would cost more than the count.
   */
  readonly key?: Buffer | undefined;
  readonly observer?: ThrottleObserver | undefined;
}

/** The rules that both stores share. */
export function createThrottle(deps: ThrottleDeps, store: ThrottleStore): Throttle {
  const { key, observer } = deps;
  const counterId = key === undefined ? inClear : hashed(key);
  const tryConsume = async (charges: readonly Charge[]): Promise<Verdict> => {
    if (charges.length === 0) return { admitted: true, receipt: nothingCharged };
    const tickets = charges.map((charge) => ticket(deps, charge, counterId));
    const known = store.knownWaits(tickets);
    for (const { limiter } of known) observer?.decided(limiter.name, 'refused');
    if (known.length > 0) return refusal(known);
    const answers = await store.charge(tickets);
    const waits: Wait[] = [];
    for (const { limiter, waitMs } of answers) {
      observer?.decided(limiter.name, waitMs === undefined ? 'admitted' : 'refused');
      if (waitMs !== undefined) waits.push({ limiter, waitMs });
    }
    if (waits.length === 0) return { admitted: true, receipt: receiptOf(charges, answers) };
    // The refused charge is given back too: the count stays the number of admitted calls plus those
    // in flight, however many were refused.
    const returned = answers.filter(({ limiter }) => limiter.counts === 'admissions');
    await Promise.all(returned.map((answer) => answer.giveBack()));
    return refusal(waits);
  };
  return {
    tryConsume,
    consume: async (charges) => {
      const judged = await tryConsume(charges);
      if (!judged.admitted) throw rateLimited(judged.retryAfterSeconds);
      return judged.receipt;
    },
    remember: (address, source) => {
      store.remember(addressId(key, address), sourceId(key, address, source));
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

/** 128 bits: no two keys meet by accident. */
const ID_BYTES = 16;
/** 72 bits: a source is looked for among the few of one address. */
const SOURCE_BYTES = 9;

/** What a store knows a charge by. */
type CounterId = (limiter: Limiter, key: string) => string;

/** Counts in memory are kept apart for each limiter: there the key alone will do. */
const inClear: CounterId = (_limiter, key) => key;

/** Of nobody: that such a hash was made before tells a stranger nothing about anybody. */
const NOBODYS: ReadonlySet<KeyedBy> = new Set(['everyone', 'country', 'caller and RPC']);
const MAX_KEPT = 10_000;

/** The limiter is hashed too, so that rows of one source or address cannot be joined. */
function hashed(secret: Buffer): CounterId {
  const kept = new Map<string, string>();
  return ({ name, keyedBy }, key) => {
    if (!NOBODYS.has(keyedBy)) return idOf(secret, ID_BYTES, name, key);
    const whole = `${name} ${key}`;
    const known = kept.get(whole);
    if (known !== undefined) return known;
    makeRoom(kept, MAX_KEPT);
    const made = idOf(secret, ID_BYTES, name, key);
    kept.set(whole, made);
    return made;
  };
}

function ticket(
  { limits, key: secret }: ThrottleDeps,
  charge: Charge,
  counterId: CounterId,
): Ticket {
  const limiter = limits[charge.limiter];
  const { key, source } = charge;
  if (limiter.knownShare === undefined) {
    return { limiter, id: counterId(limiter, limiter.keyedBy === 'everyone' ? '' : key) };
  }
  const id = addressId(secret, key);
  if (source === undefined) return { limiter, id };
  const known = { limiter: limits[limiter.knownShare], source: sourceId(secret, key, source) };
  return { limiter, id, known };
}

/** In braces, a Redis cluster's hash tag: what hangs on one address is in one slot. */
function addressId(secret: Buffer | undefined, address: string): string {
  return `{${idOf(secret, ID_BYTES, 'address', address)}}`;
}

/** The address is hashed too, so that a source cannot be followed from one address to another. */
function sourceId(secret: Buffer | undefined, address: string, source: string): string {
  return idOf(secret, SOURCE_BYTES, 'source', address, source);
}

function idOf(secret: Buffer | undefined, bytes: number, ...parts: readonly string[]): string {
  if (secret === undefined) return compoundKey(...parts);
  return mac(secret, 'throttle', ...parts)
    .subarray(0, bytes)
    .toString('base64url');
}

function refusal(waits: readonly Wait[]): Refusal {
  const longest = Math.max(...waits.map(({ waitMs }) => waitMs));
  return {
    admitted: false,
    retryAfterSeconds: Math.max(1, Math.ceil(longest / 1000)),
    exhausted: [...new Set(waits.map(({ limiter }) => limiter.name))],
    holdsBack: waits.every(({ limiter }) => limiter.whenExhausted === 'hold back'),
  };
}
