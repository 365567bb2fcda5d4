import { sha256 } from '../core/keys.js';

/** What can be granted to a calling service; each RPC belongs to one group (`grpc/rpc-policies.ts`). */
export const rpcGroups = [
  'sign-up',
  'sign-in',
  'verification',
  'recovery',
  'session',
  'account',
  'introspection',
  'keys',
] as const;

export type RpcGroup = (typeof rpcGroups)[number];

/** A calling service that has shown its key or its certificate. */
export interface Caller {
  readonly name: string;
  readonly rpcGroups: ReadonlySet<string>;
}

/** A calling service as operators see it. */
export interface CallerRecord {
  readonly name: string;
  readonly rpcGroups: readonly string[];
  /** Keys that work now: one, two while a key is being replaced, none where certificates do. */
  readonly keys: readonly CallerKeyRecord[];
  /** Names of client certificates that stand for it. */
  readonly certificates: readonly string[];
  readonly disabled: boolean;
  readonly createdAt: Date;
}

export interface CallerKeyRecord {
  /** The first eight hex digits of the key's hash: names it, and opens nothing. */
  readonly id: string;
  readonly createdAt: Date;
}

/** One to replace the other by, and no more: forgotten keys are open doors. */
export const MAX_LIVE_KEYS = 2;

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
/** `ck_` and 32 bytes in base64url. The prefix lets secret scanners find keys that were committed. */
const KEY = /^ck_[A-Za-z0-9_-]{43}$/;
const KEY_BYTES = 32;
const KEY_ID_DIGITS = 8;

export function isCallerName(name: string): boolean {
  return NAME.test(name);
}

export function isRpcGroup(group: string): group is RpcGroup {
  return (rpcGroups as readonly string[]).includes(group);
}

/** Whether it has a key's shape; anything else costs neither a hash nor a query. */
export function isCallerKey(text: string): boolean {
  return KEY.test(text);
}

export function newCallerKey(random: { bytes(size: number): Buffer }): string {
  return `ck_${random.bytes(KEY_BYTES).toString('base64url')}`;
}

/** What is stored. A plain hash will do: the key has 256 random bits, so that nobody can try them. */
export function hashCallerKey(key: string): Buffer {
  return sha256(key);
}

export function callerKeyId(hash: Buffer): string {
  return hash.toString('hex').slice(0, KEY_ID_DIGITS);
}
