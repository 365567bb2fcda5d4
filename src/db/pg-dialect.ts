import {
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
} from 'kysely';
import { Pool, type PoolClient } from 'pg';
import type { Logger } from '../core/logger.js';
import type { OpenedPool, PoolFigures } from './database.js';
import { PgConnection, type StatementLimits } from './pg-connection.js';
import { DatabaseUnavailableError, isServerError } from './pg-errors.js';
import { requireCommitted } from './query-result.js';
import { StatementCompiler } from './statement-compiler.js';
import type { StatementNames } from './statement-names.js';
import { parsers } from './values.js';

export interface PoolLimits extends StatementLimits {
  readonly maxConnections: number;
  /** For a connection, be it made new or given back by somebody. */
  readonly connectTimeoutMs: number;
  /** An unused connection is closed after this. */
  readonly idleTimeoutMs: number;
  /** Callers that may wait for a connection; the next one is refused at once. */
  readonly maxWaiting: number;
  /** Named prepared statements: the server parses and plans each text once per connection. */
  readonly prepareStatements: boolean;
}

export interface PoolParts {
  readonly names: StatementNames;
  readonly log: Logger;
}

/** A kysely handle on PostgreSQL through a pool. */
export function openPostgres(url: string, limits: PoolLimits, parts: PoolParts): OpenedPool {
  const driver = new PgDriver(url, limits, parts);
  return {
    db: new Kysely<unknown>({ dialect: pgDialect(driver) }),
    pool: () => driver.figures(),
  };
}

function pgDialect(driver: Driver): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => driver,
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new StatementCompiler(),
  };
}

class PgDriver implements Driver {
  readonly #pool: Pool;
  readonly #connections = new WeakMap<PoolClient, PgConnection>();

  constructor(
    url: string,
    private readonly limits: PoolLimits,
    { names, log }: PoolParts,
  ) {
    this.#pool = new Pool({
      connectionString: url,
      max: limits.maxConnections,
      connectionTimeoutMillis: limits.connectTimeoutMs,
      idleTimeoutMillis: limits.idleTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      fallback_application_name: 'countersign',
      types: { getTypeParser: (oid: number) => parsers[oid] ?? ((text: string) => text) },
    });
    // An idle connection died. The pool has dropped it already; unheard, the event ends the process.
    this.#pool.on('error', (error) => {
      log.warn({ reason: error.message }, 'an idle database connection was lost');
    });
    this.#pool.on('connect', (client) => {
      this.#connections.set(client, new PgConnection(client, limits, names));
    });
  }

  figures(): PoolFigures {
    const { totalCount: open, idleCount: idle, waitingCount: waiting } = this.#pool;
    return { open, idle, max: this.limits.maxConnections, waiting };
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#pool.waitingCount >= this.limits.maxWaiting) {
      throw new DatabaseUnavailableError('too many calls wait for a database connection');
    }
    const client = await this.#connect();
    const connection = this.#connections.get(client);
    if (connection === undefined) throw new Error('the pool lent an unknown connection');
    return connection;
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await pg(connection).run('begin');
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    requireCommitted(await pg(connection).run('commit'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await pg(connection).rollback();
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    pg(connection).release();
  }

  async destroy(): Promise<void> {
    await this.#pool.end();
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw isServerError(error) ? error : unreachable(error);
    }
  }
}

function pg(connection: DatabaseConnection): PgConnection {
  if (connection instanceof PgConnection) return connection;
  throw new Error('a connection of another driver');
}

function unreachable(cause: unknown): DatabaseUnavailableError {
  return new DatabaseUnavailableError('the database gave no connection in time', { cause });
}
