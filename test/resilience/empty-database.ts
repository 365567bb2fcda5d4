import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { postgresUrl } from '../support/databases.js';

/** A database without a schema on the PostgreSQL for tests, dropped at the end. */
export interface EmptyDatabase extends AsyncDisposable {
  readonly url: string;
}

export async function emptyDatabase(): Promise<EmptyDatabase> {
  const name = `countersign_test_${randomBytes(8).toString('hex')}`;
  await maintain(`create database ${name} template template0`);
  await maintain(`comment on database ${name} is '${Date.now()}'`);
  const url = new URL(postgresUrl());
  url.pathname = `/${name}`;
  return {
    url: url.href,
    [Symbol.asyncDispose]: () => maintain(`drop database if exists ${name} with (force)`),
  };
}

async function maintain(statement: string): Promise<void> {
  const client = new Client({ connectionString: postgresUrl() });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
