/** PostgreSQL and Redis for a run: own databases, own keys, gone afterwards. */
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import pg from 'pg';

export function postgresUrl(): string {
  return process.env['TEST_DATABASE_URL'] || 'postgres://postgres@127.0.0.1:5432/postgres';
}

export function redisUrl(): string {
  return process.env['TEST_REDIS_URL'] || 'redis://127.0.0.1:6379';
}

export interface BenchDatabase extends AsyncDisposable {
  readonly url: string;
}

/** An empty database. */
export async function createDatabase(): Promise<BenchDatabase> {
  const name = `countersign_bench_${randomBytes(6).toString('hex')}`;
  await maintain(`create database ${name} template template0`);
  const url = new URL(postgresUrl());
  url.pathname = `/${name}`;
  return {
    url: url.href,
    [Symbol.asyncDispose]: () => maintain(`drop database if exists ${name} with (force)`),
  };
}

/** Statements on a database, one after the other. */
export async function runStatements(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** The processes of a PostgreSQL on this machine that serve a database at this moment. */
export async function backendsOf(url: string): Promise<readonly number[]> {
  const client = new pg.Client({ connectionString: postgresUrl() });
  await client.connect();
  try {
    const { rows } = await client.query<{ pid: number }>(
      'select pid from pg_stat_activity where datname = $1',
      [new URL(url).pathname.slice(1)],
    );
    return rows.map(({ pid }) => pid);
  } finally {
    await client.end();
  }
}

async function maintain(statement: string): Promise<void> {
  await runStatements(postgresUrl(), statement);
}

export interface RedisKeys extends AsyncDisposable {
  readonly url: string;
  readonly prefix: string;
}

/** A prefix of one's own in the shared Redis. */
export function redisKeys(): RedisKeys {
  const prefix = `countersign-bench-${randomBytes(6).toString('hex')}:`;
  return { url: redisUrl(), prefix, [Symbol.asyncDispose]: () => deleteKeys(prefix) };
}

async function deleteKeys(prefix: string): Promise<void> {
  const redis = new Redis(redisUrl());
  try {
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1_000 })) {
      if (Array.isArray(keys) && keys.length > 0) await redis.unlink(...keys.map(String));
    }
  } finally {
    redis.disconnect();
  }
}
