import { setTimeout as delay } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import type { CompiledQuery, QueryResult } from 'kysely';
import type { QueryResult as PgResult, PoolClient } from 'pg';
import { type CancelTarget, requestCancel } from './cancel-request.js';
import {
  DatabaseUnavailableError,
  isCancelled,
  isServerError,
  StatementTimeoutError,
  spoiltPlan,
  withoutValues,
} from './pg-errors.js';
import { type StatementResult, statementResult } from './query-result.js';
import { StatementConnection } from './statement-connection.js';
import type { StatementNames } from './statement-names.js';
import { tracedStatement } from './statement-span.js';
import { encodeParameter } from './values.js';

export interface StatementLimits {
  /**
   * For one statement, unless its connection is `unhurried`; 0: no limit. Kept by this process, since a
   * session setting would be lost behind a transaction pooler.
   */
  readonly statementTimeoutMs: number;
  /** From the cancel request to the server's answer; after that the connection is thrown away. */
  readonly cancelGraceMs: number;
}

/** Between two requests to cancel the same statement. */
const ASK_AGAIN_MS = 200;

/** Fields of pg's client that its types leave out. */
interface BackendKey {
  readonly processID: number;
  readonly secretKey: number;
  readonly ssl: boolean | ConnectionOptions;
}

/** One connection to PostgreSQL, lent to one caller at a time. */
export class PgConnection extends StatementConnection {
  /** Why this connection must not be used again. */
  #broken: Error | undefined;
  #unhurried = false;

  constructor(
    private readonly client: PoolClient,
    private readonly limits: StatementLimits,
    private readonly names: StatementNames,
  ) {
    super();
    // For the whole life of the client: without a listener, a connection that dies while it is lent
    // but not asked anything ends the process.
    client.on('error', (error) => {
      this.#broken ??= lost(error);
    });
  }

  executeQuery<R>(query: CompiledQuery, signal?: AbortSignal): Promise<QueryResult<R>> {
    return tracedStatement(query.sql, () => this.run<R>(query.sql, query.parameters, signal));
  }

  unhurried(): void {
    this.#unhurried = true;
  }

  async run<R>(
    text: string,
    parameters: readonly unknown[] = [],
    signal?: AbortSignal,
  ): Promise<StatementResult<R>> {
    signal?.throwIfAborted();
    if (this.#broken !== undefined) throw this.#broken;
    return await this.#bounded(this.#send<R>(text, parameters), signal);
  }

  /** Never rejects: a connection that cannot roll back is thrown away, and that rolls back too. */
  async rollback(): Promise<void> {
    if (this.#broken !== undefined) return;
    try {
      await this.run('rollback');
    } catch (error) {
      this.#broken ??= lost(error);
    }
  }

  /** Gives the connection back, or throws it away when its state is not certain. */
  release(): void {
    this.#unhurried = false;
    // A `begin` written by hand and never finished must not reach the next caller either.
    const clean = this.#broken === undefined && this.client.getTransactionStatus() === 'I';
    this.client.release(!clean);
  }

  async #send<R>(text: string, parameters: readonly unknown[]): Promise<StatementResult<R>> {
    const values = parameters.map(encodeParameter);
    const name = values.length === 0 ? undefined : this.names.of(text);
    try {
      // Without parameters: the simple protocol, which may bring several statements and results.
      const result: PgResult | PgResult[] = await this.client.query({
        text,
        ...(values.length === 0 ? {} : { values }),
        ...(name === undefined ? {} : { name }),
      });
      const last = Array.isArray(result) ? result.at(-1) : result;
      return statementResult<R>(last?.command, last?.rowCount, last?.rows);
    } catch (error) {
      withoutValues(error);
      if (!isServerError(error)) throw this.#broken ?? error;
      const kind = name === undefined ? undefined : spoiltPlan(error);
      if (kind === undefined) throw error;
      this.names.spoilt(text, kind);
      // Nothing of it was carried out. Outside a transaction it can be sent again, unnamed now.
      if (this.client.getTransactionStatus() !== 'I') throw error;
      return this.#send<R>(text, parameters);
    }
  }

  /** The answer, unless time is over or the signal aborts before it comes. */
  #bounded<R>(
    answer: Promise<StatementResult<R>>,
    signal: AbortSignal | undefined,
  ): Promise<StatementResult<R>> {
    const limitMs = this.#unhurried ? 0 : this.limits.statementTimeoutMs;
    return new Promise((resolve, reject) => {
      let over = false;
      // Whatever comes first decides; the rest is not listened to any more.
      const first = (then: () => void): void => {
        if (over) return;
        over = true;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        then();
      };
      const stop = (reason: unknown): void =>
        first(() => void this.#stop(answer, reason).then(resolve, reject));
      const onAbort = (): void => stop(signal?.reason);
      const onTimeout = (): void => stop(new StatementTimeoutError('a statement took too long'));
      const timer = limitMs > 0 ? setTimeout(onTimeout, limitMs) : undefined;
      signal?.addEventListener('abort', onAbort, { once: true });
      answer.then(
        (result) => first(() => resolve(result)),
        (error: unknown) => first(() => reject(error)),
      );
    });
  }

  /**
   * Interrupts the statement, and settles only when the server has answered it and has closed the
   * cancel request: before that, this connection would hand the answer, or the interruption, to
   * whoever borrows it next. A connection that stays silent is thrown away instead.
   */
  async #stop<R>(
    answer: Promise<StatementResult<R>>,
    reason: unknown,
  ): Promise<StatementResult<R>> {
    const grace = new AbortController();
    const silence = delay(this.limits.cancelGraceMs, undefined, { signal: grace.signal });
    const cancelled = this.#interrupt(answer, grace.signal);
    const outcome = Promise.allSettled([answer, cancelled]);
    try {
      const settled = await Promise.race([outcome, silence]);
      if (settled === undefined || settled[1].status === 'rejected') {
        this.#broken ??= new DatabaseUnavailableError('a statement could not be interrupted');
        throw reason;
      }
      const [result] = settled;
      // The answer was faster than the interruption: what happened has happened, so say so.
      if (result.status === 'fulfilled') return result.value;
      throw isCancelled(result.reason) ? reason : result.reason;
    } finally {
      grace.abort();
      silence.catch(() => {});
    }
  }

  /** Asks until the statement is answered, and resolves when the last cancel request is closed. */
  async #interrupt(answer: Promise<unknown>, given: AbortSignal): Promise<void> {
    let answered = false;
    const settled = answer.then(
      () => {
        answered = true;
      },
      () => {
        answered = true;
      },
    );
    while (!answered && !given.aborted) {
      await requestCancel(this.#cancelTarget(), this.limits.cancelGraceMs);
      // A pooler drops the request for a statement that still waits for a server connection there.
      await Promise.race([settled, delay(ASK_AGAIN_MS, undefined, { ref: false })]);
    }
  }

  #cancelTarget(): CancelTarget {
    const key = this.client as unknown as BackendKey;
    const tls = key.ssl === true ? {} : key.ssl;
    return {
      host: this.client.host,
      port: this.client.port,
      processId: key.processID,
      secretKey: key.secretKey,
      tls: tls === false ? undefined : tls,
    };
  }
}

function lost(cause: unknown): DatabaseUnavailableError {
  return new DatabaseUnavailableError('the connection to the database was lost', { cause });
}
