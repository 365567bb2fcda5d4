import { messages, type PGlite, parse, protocol, type Results } from '@electric-sql/pglite';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  type QueryResult,
} from 'kysely';
import type { OpenedPool, PoolFigures } from './database.js';
import { DatabaseUnavailableError, spoiltPlan, withoutValues } from './pg-errors.js';
import { requireCommitted, type StatementResult, statementResult } from './query-result.js';
import { StatementCompiler } from './statement-compiler.js';
import { StatementConnection } from './statement-connection.js';
import type { StatementNames } from './statement-names.js';
import { tracedStatement } from './statement-span.js';
import { bytesAsText, encodeParameter, parsers } from './values.js';

export interface EmbeddedLimits {
  /** Callers that may wait for the one connection; the next one is refused at once. */
  readonly maxWaiting: number;
  /** For how long. */
  readonly connectTimeoutMs: number;
}

/** A kysely handle on an embedded database. Disposing of it closes `pglite`. */
export function openPglite(
  pglite: PGlite,
  limits: EmbeddedLimits,
  names: StatementNames,
): OpenedPool {
  // Both drivers read values with the same parsers. Its own have to be covered one by one: what is merely
  // absent falls back to them.
  const covered = Object.keys(pglite.parsers).map((oid) => [oid, (text: string) => text] as const);
  pglite.parsers = { ...Object.fromEntries(covered), ...parsers };
  const driver = new PgliteDriver(new PgliteConnection(pglite, names), limits);
  const dialect: Dialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => driver,
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new StatementCompiler(),
  };
  return { db: new Kysely<unknown>({ dialect }), pool: () => driver.figures() };
}

class PgliteConnection extends StatementConnection {
  readonly #prepared = new Set<string>();

  constructor(
    readonly pglite: PGlite,
    private readonly names: StatementNames,
  ) {
    super();
  }

  /** Its statements cannot be interrupted; a call that has ended begins none. */
  async executeQuery<R>(query: CompiledQuery, signal?: AbortSignal): Promise<QueryResult<R>> {
    signal?.throwIfAborted();
    return await tracedStatement(query.sql, () => this.run<R>(query.sql, query.parameters));
  }

  /** Nothing limits the time of a statement here. */
  unhurried(): void {}

  async run<R>(text: string, parameters: readonly unknown[] = []): Promise<StatementResult<R>> {
    const values = parameters.map(encodeParameter).map(asText);
    try {
      // As with pg: no parameters, then the simple protocol, and the last of its results.
      const result =
        values.length === 0
          ? (await this.pglite.exec(text)).at(-1)
          : await this.#execute(text, values);
      return statementResult<R>(result?.command, result?.rowCount, result?.rows);
    } catch (error) {
      if (this.pglite.closed) throw closed(error);
      throw withoutValues(error);
    }
  }

  /**
   * One message for all of it, the statement's text only where it is not prepared. The library's own `query` has the
   * text parsed and planned at each run, which in WebAssembly takes longer than to carry it out.
   */
  async #execute(text: string, values: (string | null)[]): Promise<Results | undefined> {
    const { bind, describe, execute, sync } = protocol.serialize;
    const name = this.names.of(text) ?? '';
    const isPrepared = this.#prepared.has(name);
    const answer = await this.pglite.execProtocolStream(
      Buffer.concat([
        ...(isPrepared ? [] : [protocol.serialize.parse({ name, text })]),
        bind({ statement: name, values }),
        describe({ type: 'P' }),
        execute({}),
        sync(),
      ]),
      { throwOnError: false },
    );
    // Also by a run that failed afterwards, and by one whose transaction does.
    if (name !== '' && answer.some((each) => each.name === 'parseComplete'))
      this.#prepared.add(name);
    const error = answer.find((each) => each instanceof messages.DatabaseError);
    if (error === undefined) return parse.parseResults(answer, this.pglite.parsers)[0];
    if (name === '' || spoiltPlan(error) !== 'stale') throw error;
    this.names.spoilt(text, 'stale');
    // Nothing of it was carried out. Outside a transaction it can be sent again, unnamed now.
    if (this.pglite.isInTransaction()) throw error;
    return this.#execute(text, values);
  }
}

/** The embedded database has one connection, lent in the order of asking. */
class PgliteDriver implements Driver {
  readonly #waiting: (() => void)[] = [];
  #lent = false;

  constructor(
    private readonly connection: PgliteConnection,
    private readonly limits: EmbeddedLimits,
  ) {}

  figures(): PoolFigures {
    return { open: 1, idle: this.#lent ? 0 : 1, max: 1, waiting: this.#waiting.length };
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.connection.pglite.closed) throw closed();
    if (this.#lent) await this.#turn();
    this.#lent = true;
    return this.connection;
  }

  async beginTransaction(): Promise<void> {
    await this.connection.run('begin');
  }

  async commitTransaction(): Promise<void> {
    requireCommitted(await this.connection.run('commit'));
  }

  async rollbackTransaction(): Promise<void> {
    await this.connection.run('rollback');
  }

  async releaseConnection(): Promise<void> {
    const next = this.#waiting.shift();
    // Handed over without becoming free, so that nobody slips in between.
    if (next === undefined) this.#lent = false;
    else next();
  }

  async destroy(): Promise<void> {
    if (!this.connection.pglite.closed) await this.connection.pglite.close();
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= this.limits.maxWaiting) {
      throw new DatabaseUnavailableError('too many calls wait for the embedded database');
    }
    return new Promise((resolve, reject) => {
      const onTurn = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const onTimeout = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(onTurn), 1);
        reject(new DatabaseUnavailableError('the embedded database was not free in time'));
      };
      const timer = setTimeout(onTimeout, this.limits.connectTimeoutMs);
      this.#waiting.push(onTurn);
    });
  }
}

function asText(value: string | Buffer | null): string | null {
  return Buffer.isBuffer(value) ? bytesAsText(value) : value;
}

function closed(cause?: unknown): DatabaseUnavailableError {
  return new DatabaseUnavailableError('the embedded database is closed', { cause });
}
