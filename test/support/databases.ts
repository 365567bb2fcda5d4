import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { Client } from 'pg';
import { afterAll, beforeAll, describe } from 'vitest';
import { migrations } from '../../migrations/index.js';
import {
  type Database,
  type DatabaseOptions,
  migrate,
  migrationsChecksum,
  openDatabase,
} from '../../src/db/index.js';
import { openPglite } from '../../src/db/pglite-dialect.js';
import { noStatementNames } from '../../src/db/statement-names.js';

export type Profile = 'embedded' | 'postgres';

/** A migrated, empty database for one test file. */
export interface TestDatabase extends Database {
  /** For a second process or pool; the embedded database has none. */
  readonly url?: string;
}

export type TestDatabaseOptions = Partial<Omit<DatabaseOptions, 'log'>> & {
  readonly profile?: Profile;
};

export const silentLog = { debug() {}, info() {}, warn() {}, error() {} };

/** URL of the server for tests; undefined: only the embedded profile runs. */
function serverUrl(): string | undefined {
  const url = process.env['TEST_DATABASE_URL'];
  if (url !== undefined && url !== '') return url;
  if (process.env['REQUIRE_SERVICES'] === '1') {
    throw new Error('REQUIRE_SERVICES=1, and TEST_DATABASE_URL names no PostgreSQL');
  }
  return undefined;
}

/** URL of the server for tests, for those that run on real PostgreSQL alone. */
export function postgresUrl(): string {
  const url = serverUrl();
  if (url === undefined) throw new Error('TEST_DATABASE_URL names no PostgreSQL');
  return url;
}

/** A database on PostgreSQL where there is one, else embedded in memory; or as `profile` says. */
export async function testDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const { profile = serverUrl() === undefined ? 'embedded' : 'postgres', ...limits } = options;
  return profile === 'postgres' ? onPostgres(limits) : embedded(limits);
}

/**
 * Both where there is a server; under REQUIRE_SERVICES=1 the server's alone, because whoever sets that
 * (`npm run verify`) runs the embedded profile by itself.
 */
function profilesHere(): readonly Profile[] {
  if (serverUrl() === undefined) return ['embedded'];
  return process.env['REQUIRE_SERVICES'] === '1' ? ['postgres'] : ['embedded', 'postgres'];
}

/** Declares the same tests once per profile. `fn` gets what answers the database inside a test. */
export function eachDatabase(
  name: string,
  fn: (database: () => TestDatabase, profile: Profile) => void,
): void {
  const profiles = profilesHere();
  for (const profile of profiles) {
    describe(`${name} (${profile})`, () => fn(openedAround({ profile }), profile));
  }
}

/** For what asks no store, and so is the same on every one. */
export const describeWithoutStore = describe.skipIf(process.env['REQUIRE_SERVICES'] === '1');

/** For races and crashes, which only a real server shows. Skipped where there is none. */
export function describePostgres(
  name: string,
  fn: (database: () => TestDatabase & { readonly url: string }) => void,
): void {
  describe.skipIf(serverUrl() === undefined)(`${name} (postgres)`, () => {
    const database = openedAround({ profile: 'postgres' });
    fn(() => {
      const { url, ...rest } = database();
      if (url === undefined) throw new Error('not on PostgreSQL');
      return { ...rest, url };
    });
  });
}

function openedAround(options: TestDatabaseOptions): () => TestDatabase {
  let opened: TestDatabase | undefined;
  beforeAll(async () => {
    opened = await testDatabase(options);
  });
  afterAll(async () => {
    await opened?.[Symbol.asyncDispose]();
  });
  return () => {
    if (opened === undefined) throw new Error('the database is open only inside tests');
    return opened;
  };
}

async function embedded(limits: Partial<DatabaseOptions>): Promise<TestDatabase> {
  const loadDataDir = await migratedDump();
  return openDatabase({ dataDir: 'memory:', loadDataDir }, { ...limits, log: silentLog });
}

/** A dump of a migrated embedded database, made once per machine and state of the migrations. */
async function migratedDump(): Promise<Blob> {
  const version: unknown = createRequire(import.meta.url).resolve('@electric-sql/pglite');
  const key = migrationsChecksum([{ name: String(version), sql: '' }, ...migrations]).slice(0, 16);
  const path = join(tmpdir(), `countersign-embedded-${key}.tar`);
  const cached = await readFile(path).catch(() => undefined);
  if (cached !== undefined) return new Blob([cached]);
  const pglite = await PGlite.create({ dataDir: 'memory://' });
  const { db } = openPglite(pglite, { maxWaiting: 10, connectTimeoutMs: 5_000 }, noStatementNames);
  await migrate(db, migrations);
  const dump = await pglite.dumpDataDir('none');
  await db.destroy();
  // Several workers may do this at once: the file appears whole, and any of theirs will do.
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, Buffer.from(await dump.arrayBuffer()), { mode: 0o600 });
  await rename(draft, path);
  return dump;
}

async function onPostgres(limits: Partial<DatabaseOptions>): Promise<TestDatabase> {
  const name = `countersign_test_${randomBytes(8).toString('hex')}`;
  const template = await ensureTemplate();
  await asMaintainer(async (client) => {
    await createFromTemplate(client, name, template);
  });
  const url = databaseUrl(name);
  const database = await openDatabase({ url }, { ...limits, log: silentLog });
  return {
    ...database,
    url,
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]();
      await asMaintainer((client) => client.query(`drop database if exists ${name} with (force)`));
    },
  };
}

const MAKING_TEMPLATES = 7_305_823_410_919;
const LEFT_OVER_MS = 2 * 60 * 60 * 1000;

/** Name of a template database in the present state of the migrations: made once, by one worker. */
async function ensureTemplate(): Promise<string> {
  const name = `countersign_template_${migrationsChecksum(migrations).slice(0, 16)}`;
  await asMaintainer(async (client) => {
    await client.query('select pg_advisory_lock($1)', [MAKING_TEMPLATES]);
    const found = await client.query('select from pg_database where datname = $1', [name]);
    if (found.rowCount === 0) {
      await dropLeftOvers(client);
      // Under another name until it is whole: a killed run leaves no half-made template.
      await client.query(`drop database if exists ${name}_draft with (force)`);
      await client.query(`create database ${name}_draft template template0`);
      const draft = await openDatabase({ url: databaseUrl(`${name}_draft`) }, { log: silentLog });
      await migrate(draft.db, migrations);
      await draft[Symbol.asyncDispose]();
      await client.query(`alter database ${name}_draft rename to ${name}`);
      await client.query(`comment on database ${name} is '${Date.now()}'`);
    }
  });
  return name;
}

/** Databases of runs that were killed, and templates of older migrations. */
async function dropLeftOvers(client: Client): Promise<void> {
  const { rows } = await client.query<{ datname: string; made: string | null }>(
    `select datname, shobj_description(oid, 'pg_database') as made from pg_database
     where datname ~ '^countersign_(test|template)_'`,
  );
  for (const { datname, made } of rows) {
    if (made !== null && Date.now() - Number(made) > LEFT_OVER_MS) {
      await client.query(`drop database if exists ${datname} with (force)`);
    }
  }
}

async function createFromTemplate(client: Client, name: string, template: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.query(`create database ${name} template ${template}`);
      await client.query(`comment on database ${name} is '${Date.now()}'`);
      return;
    } catch (error) {
      // 55006: somebody (autovacuum, usually) is connected to the template at this moment.
      const busy = error instanceof Error && 'code' in error && error.code === '55006';
      if (!busy || tries === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function asMaintainer<T>(fn: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: postgresUrl() });
  await client.connect();
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
}

function databaseUrl(name: string): string {
  const url = new URL(postgresUrl());
  url.pathname = `/${name}`;
  return url.href;
}
