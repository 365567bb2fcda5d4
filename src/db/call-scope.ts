import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * What the database drivers must know about the call that a statement belongs to. It travels with the
 * asynchronous context, because a parameter would have to pass through every use-case, store and
 * kysely's own executor, which has no place for one.
 */
export interface CallScope {
  /** Aborts when nobody waits for the answer any more: deadline or cancellation. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that one statement may take, instead of the driver's setting; 0: no limit. */
  readonly statementTimeoutMs?: number | undefined;
  /** Set between begin and commit: see `refuseInsideTransaction`. */
  readonly transaction?: { open: boolean } | undefined;
}

const storage = new AsyncLocalStorage<CallScope>();

export function callScope(): CallScope {
  return storage.getStore() ?? {};
}

/** Runs `fn` so that its statements stop when `signal` aborts; they reject with its reason. */
export function withSignal<T>(signal: AbortSignal, fn: () => Promise<T>): Promise<T> {
  return storage.run({ ...callScope(), signal }, fn);
}

/**
 * Runs `fn` without the call's signal: its statements are carried out although the caller has left.
 * For what must be counted whatever happens afterwards (rule 2).
 */
export function shielded<T>(fn: () => Promise<T>): Promise<T> {
  return storage.run({ ...callScope(), signal: undefined }, fn);
}

/** Runs `fn` without a limit on the time of one statement: migrations build indexes. */
export function unhurried<T>(fn: () => Promise<T>): Promise<T> {
  return storage.run({ ...callScope(), statementTimeoutMs: 0 }, fn);
}

/** Runs the body of a transaction. */
export async function insideTransaction<T>(fn: () => Promise<T>): Promise<T> {
  const transaction = { open: true };
  try {
    return await storage.run({ ...callScope(), transaction }, fn);
  } finally {
    // What was started inside and outlives the transaction (a nudge to a worker) inherits this scope.
    transaction.open = false;
  }
}

/**
 * Throws where a second connection is asked for inside a transaction: with the embedded database that
 * waits for itself for ever, and on PostgreSQL it starves the pool under load.
 */
export function refuseInsideTransaction(): void {
  if (callScope().transaction?.open === true) {
    throw new Error('the plain database handle was used inside a transaction: pass the Tx on');
  }
}
