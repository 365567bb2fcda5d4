/** What the key of a limiter names. `everyone`: one counter for the whole installation. */
export type KeyedBy =
  | 'address'
  | 'country'
  | 'source'
  | 'source and RPC'
  | 'address and source'
  | 'caller and RPC'
  | 'everyone';

interface LimiterShape {
  readonly keyedBy: KeyedBy;
  /**
   * `attempts`: every call counts, also one that is refused.
   * `admissions`: a call that any limiter refuses is given back, so that refused calls (which send
   * and create nothing) cannot drain what others need: an address's share, a country, the whole.
   */
  readonly counts: 'attempts' | 'admissions';
  /**
   * What a call is told that finds nothing else exhausted. `hold back`: the answer that it would have had,
   * with the wait beside it, where its RPC has such an answer (T4); any other RPC refuses.
   */
  readonly whenExhausted: 'refuse' | 'hold back';
  readonly points: number;
  readonly windowSeconds: number;
  /** Where no window is configured, it is the hard cooldown between two codes, whatever that is. */
  readonly followsCooldown?: true;
  /**
   * The limiter that counts a source which the address knows (`known-sources.ts`) in place of this one,
   * so that strangers who use this one up do not shut out the person whom the address belongs to.
   */
  readonly knownShare?: LimiterName;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const DEFAULT_COOLDOWN_SECONDS = MINUTE;

/**
 * Every soft limiter of the house, and its default size. `docs/throttling.md` shows the same table
 * and a test holds the two equal. Hard counts (guesses, locks, cooldowns) are not here: they live in
 * PostgreSQL and hold with all of these switched off (rule 3).
 */
const catalogue = {
  sendsPerAddressShort: {
    ...admission('address', 5, HOUR),
    knownShare: 'knownSendsPerAddressShort',
  },
  sendsPerAddressLong: {
    ...admission('address', 10, DAY),
    knownShare: 'knownSendsPerAddressLong',
  },
  // Never charged by name: the store charges these in place of the two above.
  knownSendsPerAddressShort: admission('address', 5, HOUR),
  knownSendsPerAddressLong: admission('address', 10, DAY),
  smsPerCountry: admission('country', 1_000, HOUR),
  smsInAll: admission('everyone', 5_000, HOUR),
  emailInAll: admission('everyone', 20_000, HOUR),
  anonymousInAll: { ...attempt('everyone', 60_000, HOUR), whenExhausted: 'hold back' },
  // Stands in for the cooldown inside a flow, for who asks again outside of it.
  resendsPerSource: {
    ...admission('address and source', 1, DEFAULT_COOLDOWN_SECONDS),
    whenExhausted: 'hold back',
    followsCooldown: true,
  },
  signUpsPerSource: admission('source', 20, HOUR),
  signUpsInAll: admission('everyone', 10_000, HOUR),
  signInsPerSource: attempt('source', 30, MINUTE),
  callsPerSource: attempt('source and RPC', 60, MINUTE),
  // Stops a caller that has run away, not one that is busy.
  callsPerCaller: attempt('caller and RPC', 600_000, MINUTE),
} as const satisfies Readonly<Record<LimiterName, LimiterShape>>;

export type LimiterName =
  | 'sendsPerAddressShort'
  | 'sendsPerAddressLong'
  | 'knownSendsPerAddressShort'
  | 'knownSendsPerAddressLong'
  | 'smsPerCountry'
  | 'smsInAll'
  | 'emailInAll'
  | 'anonymousInAll'
  | 'resendsPerSource'
  | 'signUpsPerSource'
  | 'signUpsInAll'
  | 'signInsPerSource'
  | 'callsPerSource'
  | 'callsPerCaller';

export interface Limiter extends LimiterShape {
  readonly name: LimiterName;
  /** The size while Redis is gone, when each replica counts alone. */
  readonly insurancePoints: number;
}

export type Limits = Readonly<Record<LimiterName, Limiter>>;

export type LimitOverrides = Partial<
  Record<LimiterName, { readonly points: number; readonly windowSeconds: number }>
>;

export const limiterNames = Object.keys(catalogue) as readonly LimiterName[];

/** Longest window that can be configured: nobody is shut out of a soft limit for longer. */
export const MAX_WINDOW_SECONDS = 30 * DAY;
/** Largest size: well inside what Redis and JavaScript both count exactly. */
export const MAX_POINTS = 1_000_000_000;

/** Replicas that the insurance numbers are made for: up to this many never admit more than Redis would. */
export const INSURED_REPLICAS = 4;

/**
 * With Redis gone each of n replicas counts alone, so each gets a quarter, and at least one: a limit
 * that falls to zero would shut everybody out, which is a lock and not a limit.
 */
export function insurancePoints(points: number): number {
  return Math.max(1, Math.floor(points / INSURED_REPLICAS));
}

/**
 * The catalogue with what configuration changes: sizes, and the cooldown that some windows follow. Throws
 * a plain error for sizes that make no sense.
 */
export function resolveLimits(
  overrides: LimitOverrides = {},
  cooldownSeconds = DEFAULT_COOLDOWN_SECONDS,
): Limits {
  const entries = limiterNames.map((name): [LimiterName, Limiter] => {
    const { points, windowSeconds } = overrides[name] ?? standard(catalogue[name], cooldownSeconds);
    requireWhole(`${name}.points`, points, MAX_POINTS);
    requireWhole(`${name}.windowSeconds`, windowSeconds, MAX_WINDOW_SECONDS);
    const insured = insurancePoints(points);
    return [name, { ...catalogue[name], name, points, windowSeconds, insurancePoints: insured }];
  });
  return Object.fromEntries(entries) as Record<LimiterName, Limiter>;
}

function standard({ points, windowSeconds, followsCooldown }: LimiterShape, cooldown: number) {
  return { points, windowSeconds: followsCooldown ? cooldown : windowSeconds };
}

function requireWhole(what: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw new Error(`limit ${what} must be a whole number from 1 to ${max}`);
}

function admission(keyedBy: KeyedBy, points: number, windowSeconds: number): LimiterShape {
  return { keyedBy, counts: 'admissions', whenExhausted: 'refuse', points, windowSeconds };
}

function attempt(keyedBy: KeyedBy, points: number, windowSeconds: number): LimiterShape {
  return { keyedBy, counts: 'attempts', whenExhausted: 'refuse', points, windowSeconds };
}
