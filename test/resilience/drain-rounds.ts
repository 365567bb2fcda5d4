import { join } from 'node:path';
import { sql } from 'kysely';
import { CountersignError, createCountersignClient } from '../../src/client/index.js';
import type { Db } from '../../src/db/index.js';
import { filedMessages } from '../support/filed-messages.js';
import { PASSWORD, unique } from '../support/people.js';
import { GENEROUS } from './crash-rounds.js';
import { healthOf } from './health-of.js';
import { startServer } from './process.js';

/** On the wire before the signal: each waits for its turn in the hash lane. */
const UNDER_WAY = 16;

interface Told {
  readonly username: string;
  readonly phoneNumber: string;
  readonly outcome: string;
  readonly at: number;
}

export interface DrainRound {
  readonly exit: number | string;
  /** Of the calls that the server had when the signal came: how they ended. */
  readonly underWay: readonly string[];
  /** Of the calls that came after it. */
  readonly late: readonly string[];
  /** How many were answered after health had turned. */
  readonly answeredAfterHealth: number;
  readonly healthSeen: readonly string[];
  /** Accounts that were made and not answered, or answered and not made. */
  readonly disagreeing: readonly string[];
  readonly unsent: readonly string[];
  /** Answered calls without an audit record. */
  readonly unrecorded: number;
  readonly queued: number;
  readonly stopped: boolean;
}

/** One server that is told to stop while sign-ups with real hashing are under way. */
export async function drainRound({
  db,
  url,
  folder,
}: {
  readonly db: Db;
  readonly url: string;
  readonly folder: string;
}): Promise<DrainRound> {
  const messageFile = join(folder, 'messages.jsonl');
  const transport = `file:${messageFile}`;
  await using server = await startServer({
    ...GENEROUS,
    DATABASE_URL: url,
    DATA_DIR: folder,
    MAIL_TRANSPORT: transport,
    SMS_TRANSPORT: transport,
  });
  await using client = createCountersignClient({ address: server.address, deadlineMs: 15_000 });
  const health = healthOf(server.address);
  const watch = health.watch();
  let turnedAt = Number.POSITIVE_INFINITY;
  watch.onChange(() => {
    if (watch.seen.at(-1) === 'not serving') turnedAt = performance.now();
  });
  const signUp = async (): Promise<Told> => {
    const [username, phoneNumber] = [unique.username(), unique.phone()];
    const outcome = await client.auth.signUp({ username, phoneNumber, password: PASSWORD }).then(
      () => 'OK',
      (error: unknown) => (error instanceof CountersignError ? error.codeName : 'OTHER'),
    );
    return { username, phoneNumber, outcome, at: performance.now() };
  };
  const requestsBefore = await recorded(db);
  // The connection stands, and the watch has been answered, before the calls that count.
  const warm = await signUp();
  const calls = Array.from({ length: UNDER_WAY }, signUp);
  // One write to one connection: when the first is answered, the server has long read them all.
  await Promise.race(calls);
  server.kill('SIGTERM');
  const late = Array.from({ length: 4 }, signUp);
  const underWay = [warm, ...(await Promise.all(calls))];
  const afterwards = await Promise.all(late);
  const exit = await server.exited;
  health.close();

  const all = [...underWay, ...afterwards];
  const made = await madeAmong(
    db,
    all.map(({ username }) => username),
  );
  const answered = all.filter(({ outcome }) => outcome === 'OK');
  const sent = new Set((await filedMessages(messageFile).all()).map(({ to }) => to));
  return {
    exit,
    underWay: underWay.map(({ outcome }) => outcome),
    late: afterwards.map(({ outcome }) => outcome),
    answeredAfterHealth: answered.filter(({ at }) => at > turnedAt).length,
    healthSeen: watch.seen,
    disagreeing: all
      .filter(({ username, outcome }) => made.has(username) !== (outcome === 'OK'))
      .map((t) => t.username),
    unsent: answered.filter(({ phoneNumber }) => !sent.has(phoneNumber)).map((t) => t.phoneNumber),
    unrecorded: answered.length - ((await recorded(db)) - requestsBefore),
    queued: await queuedRows(db),
    stopped: server.stdout.endsWith('draining\nstopped\n'),
  };
}

async function madeAmong(db: Db, usernames: readonly string[]): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ value: string }>`
    select value from identifiers where type = 'username' and value = any(${usernames}::text[])`.execute(
    db,
  );
  return new Set(rows.map(({ value }) => value));
}

async function recorded(db: Db): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from audit_events
    where kind = 'access' and action like '%SignUp' and outcome = 'OK'`.execute(db);
  return rows[0]?.count ?? 0;
}

async function queuedRows(db: Db): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from outbox where state = 'queued'`.execute(db);
  return rows[0]?.count ?? 0;
}
