import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type App, createApp } from '../../src/app.js';
import {
  type AuthClient,
  type CountersignClient,
  createCountersignClient,
} from '../../src/client/index.js';
import { type Config, loadConfig } from '../../src/config/index.js';
import type { Logger } from '../../src/core/logger.js';
import { type Db, openDatabase } from '../../src/db/index.js';
import type { DeliveryLimits } from '../../src/delivery/index.js';
import { type CheapHasher, createCheapHasher } from './cheap-hasher.js';
import { silentLog, type TestDatabase, testDatabase } from './databases.js';
import { createMailbox, type Mailbox } from './mailbox.js';
import { createTestClock, type TestClock } from './test-clock.js';

export interface TestAppOptions {
  /** Settings beside the ones that every test app has. */
  readonly env?: Readonly<Record<string, string>>;
  /** One that the test owns; absent: the app gets its own and drops it. */
  readonly database?: TestDatabase;
  /** Keys and files; give two apps the same one to make them replicas. Absent: a temporary folder. */
  readonly dataDir?: string;
  readonly clock?: TestClock;
  readonly mailbox?: Mailbox;
  /** `real`: Argon2id as configured. Absent: a cheap one, which counts what it is asked. */
  readonly hasher?: CheapHasher | 'real';
  readonly log?: Logger;
  /** Absent: as they are, but nothing waits: not an anonymous request, and not the results of sends. */
  readonly delivery?: Partial<DeliveryLimits>;
  /** Sent with every call of `auth`. */
  readonly callerKey?: string;
}

export interface TestApp extends AsyncDisposable {
  readonly app: App;
  readonly config: Config;
  /** The public door: a typed client on a real connection. */
  readonly auth: AuthClient;
  readonly address: string;
  /** For looking at rows, and for states that no RPC can make yet. */
  readonly db: Db;
  readonly clock: TestClock;
  readonly mailbox: Mailbox;
  readonly hasher: CheapHasher;
  readonly dataDir: string;
  /** Another client, with its own connection; closed with the app. */
  connect(options?: { readonly callerKey?: string }): AuthClient;
}

/** A whole server on port 0, as `npm start` makes it but for what the options replace. */
export async function startTestApp(options: TestAppOptions = {}): Promise<TestApp> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'countersign-test-')));
  const clock = options.clock ?? createTestClock();
  const mailbox = options.mailbox ?? createMailbox();
  const hasher =
    options.hasher === undefined || options.hasher === 'real'
      ? createCheapHasher()
      : options.hasher;
  const config = loadConfig({
    LISTEN_ADDRESS: '127.0.0.1:0',
    HTTP_ADDRESS: '127.0.0.1:0',
    DATA_DIR: dataDir,
    ...options.env,
  });
  const database = options.database ?? (await testDatabase());
  const app = await createApp(config, options.log ?? silentLog, {
    clock,
    database,
    transports: mailbox.transports,
    delivery: {
      requestPauseLeastMs: 0,
      requestPauseMostMs: 0,
      lingerMs: 1,
      ...options.delivery,
    },
    ...(options.hasher === 'real' ? {} : { hasher }),
  });
  const clients: CountersignClient[] = [];
  const connect: TestApp['connect'] = ({ callerKey = options.callerKey } = {}) => {
    const client = createCountersignClient({
      address: app.grpcAddress,
      callerKey,
      deadlineMs: 15_000,
    });
    clients.push(client);
    return client.auth;
  };
  return {
    app,
    config,
    auth: connect(),
    address: app.grpcAddress,
    db: database.db,
    clock,
    mailbox,
    hasher,
    dataDir,
    connect,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await app[Symbol.asyncDispose]();
      if (options.database === undefined) await database[Symbol.asyncDispose]();
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A second process's view of a database on PostgreSQL: a pool of its own. */
export async function anotherPool(url: string): Promise<TestDatabase> {
  return { ...(await openDatabase({ url }, { log: silentLog })), url };
}
