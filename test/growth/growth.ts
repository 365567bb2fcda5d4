import { sql } from 'kysely';
import { Client } from 'pg';
import { median } from '../../bench/support/statistics.js';
import { migrations } from '../../migrations/index.js';
import { ensureAuditPartitions } from '../../src/audit/index.js';
import { systemClock } from '../../src/core/clock.js';
import { migrate, openDatabase } from '../../src/db/index.js';
import { createCheapHasher } from '../support/cheap-hasher.js';
import { silentLog, type TestDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique, wrongCode } from '../support/people.js';
import type { PrivatePostgres } from '../support/private-postgres.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { loadAccounts } from './load-accounts.js';
import { timeInDatabase } from './time-in-database.js';

export const MEASURED_RPCS = [
  'SignUp',
  'SignIn',
  'SignIn, wrong',
  'RefreshSession',
  'GetAccount',
  'SendPhoneVerificationCode',
  'ConfirmPhoneNumber, wrong',
  'ConfirmPhoneNumber',
  'SignOut',
] as const;

export type MeasuredRpc = (typeof MEASURED_RPCS)[number];

/** Milliseconds per call. */
export interface DatabaseTimes {
  /** Median, as the service waits for its statements, their commits included. */
  readonly waited: number;
  /** Mean, as the server counts planning and execution. */
  readonly executed: number;
}

export type Round = Readonly<Record<MeasuredRpc, DatabaseTimes>>;

/** A service on a database of its own, with so many accounts. */
export interface Sized extends AsyncDisposable {
  readonly count: number;
  readonly app: TestApp;
  readonly statistics: Statistics;
  /** The number of an account that nobody was given before. */
  nextPerson(): number;
}

/** What a server needs for it: its own count of statements, durable commits, room for the data, no upkeep in between. */
export const SERVER_SETTINGS = {
  fsync: 'on',
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track_planning': 'on',
  shared_buffers: '6GB',
  maintenance_work_mem: '1GB',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  wal_level: 'minimal',
  max_wal_senders: '0',
  autovacuum: 'off',
  max_parallel_workers_per_gather: '0',
  jit: 'off',
};

/** A database with `count` accounts on `server`, and the service on it. */
export async function startSized(
  server: PrivatePostgres,
  count: number,
  progress: (text: string) => void,
): Promise<Sized> {
  const admin = new Client({ connectionString: server.url });
  await admin.connect();
  await admin.query('create extension if not exists pg_stat_statements');
  const name = `accounts_${count}`;
  await admin.query(`create database ${name}`);
  const url = server.url.replace(/\/[^/]*$/, `/${name}`);
  const opened = await openDatabase({ url }, { log: silentLog });
  const database: TestDatabase = { ...opened, url };
  await migrate(database.db, migrations, { log: silentLog });
  await ensureAuditPartitions(database.db, systemClock, silentLog);
  const hasher = createCheapHasher();
  const never = new AbortController().signal;
  const { hash } = await hasher.hash(PASSWORD, { deadline: undefined, signal: never });
  await loadAccounts(database.db, count, hash, progress);
  // What strangers may cost is not what is measured here.
  const lifted = { LIMIT_SMS_PER_COUNTRY: '1000000/1h', LIMIT_SMS_IN_ALL: '1000000/1h' };
  const app = await startTestApp({ database, hasher, env: lifted });
  return {
    count,
    app,
    statistics: statisticsOf(admin, name),
    nextPerson: shuffled(count),
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      await admin.end();
    },
  };
}

interface Statistics {
  reset(): Promise<void>;
  /** Milliseconds per call, of the statements that were sent with (nearly) every one of `calls` calls. */
  perCall(calls: number): Promise<number>;
}

/**
 * The server's own account of one database. What runs beside the calls (polls, the batches of the
 * audit) is sent far less often than they are, and is left out by that.
 */
function statisticsOf(admin: Client, database: string): Statistics {
  const id = `(select oid from pg_database where datname = '${database}')`;
  return {
    async reset() {
      await admin.query(`select pg_stat_statements_reset(0, ${id}, 0)`);
    },
    async perCall(calls) {
      const { rows } = await admin.query<{ ms: number }>(
        `select coalesce(sum(total_exec_time + total_plan_time), 0)::float8 as ms
         from pg_stat_statements where dbid = ${id} and calls >= $1`,
        [calls * 0.9],
      );
      return (rows[0]?.ms ?? 0) / calls;
    },
  };
}

interface Person {
  readonly username: string;
  readonly phone: string;
  accessToken: string;
  refreshToken: string;
  challengeId: string;
}

const STEPS: Readonly<Record<MeasuredRpc, (app: TestApp, person: Person) => Promise<unknown>>> = {
  SignUp: (app) => signUp(app),
  SignIn: async ({ auth }, person) => {
    const { tokens } = await auth.signIn({ identifier: person.username, password: PASSWORD });
    person.accessToken = tokens?.accessToken ?? '';
    person.refreshToken = tokens?.refreshToken ?? '';
  },
  'SignIn, wrong': ({ auth }, { username }) =>
    refused(auth.signIn({ identifier: username, password: 'another one' })),
  RefreshSession: async ({ auth }, person) => {
    const { tokens } = await auth.refreshSession({ refreshToken: person.refreshToken });
    person.refreshToken = tokens?.refreshToken ?? '';
  },
  GetAccount: ({ auth }, { accessToken }) => auth.getAccount({}, { accessToken }),
  SendPhoneVerificationCode: async ({ auth }, person) => {
    const { accessToken, phone: phoneNumber } = person;
    const { challenge } = await auth.sendPhoneVerificationCode({ phoneNumber }, { accessToken });
    person.challengeId = challenge?.challengeId ?? '';
  },
  'ConfirmPhoneNumber, wrong': async (app, person) => {
    const code = wrongCode(await codeOf(app, person));
    await refused(app.auth.confirmPhoneNumber({ challengeId: person.challengeId, code }));
  },
  ConfirmPhoneNumber: async (app, person) => {
    const code = await codeOf(app, person);
    await app.auth.confirmPhoneNumber({ challengeId: person.challengeId, code });
  },
  SignOut: ({ auth }, { refreshToken }) => auth.signOut({ refreshToken }),
};

async function codeOf({ mailbox }: TestApp, { phone }: Person): Promise<string> {
  await mailbox.waitFor(({ to }) => to === phone);
  return mailbox.codeFor(phone);
}

/**
 * Every RPC `calls` times on each of the two, in turn from call to call, so that whatever else the
 * machine does befalls both alike. Of people who were there a moment ago: what is compared is the work of the
 * statements over small and large tables, not the disk, which depends on how much of them a memory holds.
 */
export async function measureRound(
  small: Sized,
  large: Sized,
  calls: number,
): Promise<{ readonly small: Round; readonly large: Round }> {
  using time = timeInDatabase();
  const sides = [small, large].map((sized) => ({
    sized,
    people: Array.from({ length: calls }, () => person(sized.nextPerson())),
    round: {} as Record<MeasuredRpc, DatabaseTimes>,
  }));
  for (const { sized, people } of sides) for (const who of people) await visit(sized.app, who);
  for (const rpc of MEASURED_RPCS) {
    const waits = new Map(sides.map((side) => [side, [] as number[]]));
    for (const { sized } of sides) await sized.statistics.reset();
    for (let call = 0; call < calls; call += 1) {
      for (const side of call % 2 === 0 ? sides : sides.toReversed()) {
        const who = side.people[call];
        if (who === undefined) throw new Error('a call without a person');
        time.take();
        await STEPS[rpc](side.sized.app, who);
        waits.get(side)?.push(time.take());
      }
    }
    for (const side of sides) {
      const waited = median(waits.get(side) ?? []);
      side.round[rpc] = { waited, executed: await side.sized.statistics.perCall(calls) };
    }
  }
  const [of1, of2] = sides;
  if (of1 === undefined || of2 === undefined) throw new Error('two sizes are needed');
  return { small: of1.round, large: of2.round };
}

/** Brings what the database keeps of somebody into its memory. */
async function visit({ auth }: TestApp, { username }: Person): Promise<void> {
  const { tokens } = await auth.signIn({ identifier: username, password: PASSWORD });
  await auth.getAccount({}, { accessToken: tokens?.accessToken ?? '' });
}

function person(number: number): Person {
  const nothing = { accessToken: '', refreshToken: '', challengeId: '' };
  return { ...nothing, username: `loaded${number}`, phone: unique.phone() };
}

async function refused(call: Promise<unknown>): Promise<void> {
  const answered = await call.then(
    () => true,
    () => false,
  );
  if (answered) throw new Error('a call that had to be refused was not');
}

/** Numbers from 1 to `count`, each once, far from each other. */
function shuffled(count: number): () => number {
  // A step that has no factor in common with a power of ten visits each number once.
  const step = (7_368_787 % count) | 1;
  let at = 1;
  return () => {
    at = (at + step) % count;
    return at + 1;
  };
}

/** Bytes that a database takes. */
export async function sizeOf(server: PrivatePostgres, count: number): Promise<number> {
  const { db, ...opened } = await openDatabase({ url: server.url }, { log: silentLog });
  try {
    const { rows } = await sql<{ bytes: string }>`
      select pg_database_size(${`accounts_${count}`}::name)::text as bytes`.execute(db);
    return Number(rows[0]?.bytes ?? 0);
  } finally {
    await opened[Symbol.asyncDispose]();
  }
}
