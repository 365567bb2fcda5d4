import type { Channel } from '../core/contact.js';
import type { TransportSpec } from '../delivery/index.js';
import type { Argon2Parameters } from '../passwords/index.js';
import type { LimitOverrides } from '../throttling/index.js';
import type { Address } from './values.js';

export type Promotion = 'automatic' | 'manual' | 'off';
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What the process runs by. Units are in the names; everything is checked. */
export interface Config {
  readonly listen: Address;
  readonly http: Address;
  /** Every listener is on loopback (rule 24). */
  readonly development: boolean;
  readonly database: {
    readonly url?: string;
    /** The same database past the pooler; only with `url`. */
    readonly directUrl?: string;
    readonly poolSize: number;
    readonly prepareStatements: boolean;
  };
  readonly dataDir: string;
  /** Processes that serve. */
  readonly workers: number;
  /** Absent: limits in memory. */
  readonly redis?: { readonly url: string; readonly keyPrefix: string };
  readonly mail: TransportSpec;
  readonly sms: TransportSpec;
  readonly codes: {
    readonly length: number;
    readonly ttlSeconds: number;
    readonly cooldownSeconds: number;
  };
  readonly guesses: { readonly maxFailures: number; readonly lockoutSeconds: number };
  readonly promote: { readonly email: Promotion; readonly sms: Promotion };
  readonly proofCollision: 'refuse' | 'contact';
  readonly phoneSignIn: 'on' | 'existing' | 'off';
  readonly recovery: {
    readonly delivery: 'typed' | 'registered';
    /** Which of an account's channels a registered delivery prefers; others are not used. */
    readonly channels: readonly Channel[];
  };
  readonly defaultRegion?: string;
  readonly phone: { readonly allowedRegions?: ReadonlySet<string> };
  readonly passwords: {
    readonly minLength: number;
    readonly argon2: Argon2Parameters;
    /** Absent: one per core. */
    readonly hashConcurrency?: number;
    readonly hashQueueLimit: number;
  };
  readonly tokens: {
    readonly issuer: string;
    readonly audience: string;
    readonly accessTtlSeconds: number;
    readonly signingKeyLifetimeSeconds: number;
    readonly refreshIdleSeconds: number;
    readonly refreshMaxSeconds: number;
  };
  /** Absent: to be made in `dataDir` (`loadKeys`). Current first. */
  readonly keys: ConfiguredKeys;
  readonly tls?: {
    readonly certFile: string;
    readonly keyFile: string;
    /** Absent: no client is asked for a certificate. */
    readonly clientCaFile?: string;
  };
  readonly connections: { readonly max: number; readonly maxPerAddress: number };
  /** Whether a call is accepted that shows neither a caller key nor a caller's certificate. */
  readonly anonymousCallers: boolean;
  readonly callTimeoutMs: number;
  readonly drainNoticeMs: number;
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
  readonly limits: LimitOverrides;
}

export interface ConfiguredKeys {
  readonly code?: readonly Buffer[];
  readonly token?: readonly Buffer[];
  readonly data?: readonly Buffer[];
  readonly peppers?: readonly Buffer[];
}
