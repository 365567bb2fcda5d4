import { availableParallelism, cpus, release, totalmem } from 'node:os';
import pg from 'pg';
import { postgresUrl } from './services.js';

/** Where figures come from: without it they say nothing. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly system: string;
  readonly node: string;
  readonly postgres: string;
  readonly postgresSettings: string;
}

export async function machine(): Promise<Machine> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    system: `Linux ${release()}`,
    node: process.version,
    ...(await postgres()),
  };
}

const SETTINGS = ['shared_buffers', 'fsync', 'synchronous_commit', 'max_connections'];

async function postgres(): Promise<Pick<Machine, 'postgres' | 'postgresSettings'>> {
  const client = new pg.Client({ connectionString: postgresUrl() });
  await client.connect();
  try {
    const version = await client.query<{ server_version: string }>('show server_version');
    const settings = await client.query<{ name: string; value: string }>(
      'select name, current_setting(name) as value from unnest($1::text[]) name',
      [SETTINGS],
    );
    return {
      postgres: version.rows[0]?.server_version ?? 'unknown',
      postgresSettings: settings.rows.map(({ name, value }) => `${name}=${value}`).join(', '),
    };
  } finally {
    await client.end();
  }
}
