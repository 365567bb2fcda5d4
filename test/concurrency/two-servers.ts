import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { type AuthClient, CountersignError } from '../../src/client/index.js';
import type { Db } from '../../src/db/index.js';
import type { TestDatabase } from '../support/databases.js';
import { codeIn, type FiledMessage, filedMessages } from '../support/filed-messages.js';
import { type Signup, signUp } from '../support/people.js';
import { type ServerProcess, startServerProcess } from '../support/server-process.js';

/**
 * Soft limits out of the way, and time for fifty hashes in a row on a busy machine: what is shown here are the hard
 * limits, in PostgreSQL.
 */
const WIDE = '1000000/1h';
const UNLIMITED = {
  LIMIT_SENDS_PER_ADDRESS_SHORT: WIDE,
  LIMIT_SENDS_PER_ADDRESS_LONG: WIDE,
  LIMIT_KNOWN_SENDS_PER_ADDRESS_SHORT: WIDE,
  LIMIT_KNOWN_SENDS_PER_ADDRESS_LONG: WIDE,
  LIMIT_SMS_PER_COUNTRY: WIDE,
  LIMIT_SMS_IN_ALL: WIDE,
  LIMIT_EMAIL_IN_ALL: WIDE,
  LIMIT_SIGN_UPS_IN_ALL: WIDE,
  HASH_QUEUE_LIMIT: '1000',
  CALL_TIMEOUT: '1m',
};

/** Two server processes on one PostgreSQL, with one set of keys. */
export interface TwoServers extends AsyncDisposable {
  readonly processes: readonly [ServerProcess, ServerProcess];
  /** Calls `fn` so many times at once, in turn with a client of either process. */
  atOnce<T>(
    count: number,
    fn: (auth: AuthClient, index: number) => Promise<T>,
  ): Promise<readonly PromiseSettledResult<T>[]>;
  /** Signs somebody up at the first process; with a number of their own, if told so. */
  person(fields?: Parameters<typeof signUp>[1]): Promise<Signup>;
  /** The code of the `nth` message (from 1) to an address, waited for. */
  code(to: string, nth?: number): Promise<string>;
  messagesTo(to: string): Promise<readonly FiledMessage[]>;
  /** A valid number that nobody has had in this database. */
  phone(): string;
  /** Lets the cooldown of an account's slots be over, as a minute of waiting would. */
  coolDown(accountIds: readonly string[]): Promise<void>;
  /** Ends both processes, which makes their connections report, and reads PostgreSQL's own count. */
  deadlocks(): Promise<number>;
}

export async function startTwoServers(
  database: TestDatabase & { readonly url: string },
  env: Readonly<Record<string, string>> = {},
): Promise<TwoServers> {
  const { db, url } = database;
  const folder = await mkdtemp(join(tmpdir(), 'countersign-two-'));
  const messageFile = join(folder, 'messages.jsonl');
  const messages = filedMessages(messageFile);
  const start = () =>
    startServerProcess({
      databaseUrl: url,
      dataDir: folder,
      messageFile,
      env: { ...UNLIMITED, ...env },
    });
  const [one, two] = await Promise.all([start(), start()]);
  let numbers = 0;
  const stop = async () => {
    await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()]);
  };
  return {
    processes: [one, two],
    atOnce: (count, fn) =>
      Promise.allSettled(
        Array.from({ length: count }, (_, index) => fn((index % 2 === 0 ? one : two).auth, index)),
      ),
    person: (fields) => signUp(one, fields),
    messagesTo: messages.to,
    code: async (to, nth) => codeIn(await messages.nth(to, nth)),
    phone: () => {
      numbers += 1;
      return `+8491${String(numbers).padStart(7, '0')}`;
    },
    coolDown: async (accountIds) => {
      await sql`update challenges set resend_at = issued_at
        where account_id = any(${accountIds}::uuid[])`.execute(db);
    },
    deadlocks: async () => {
      await stop();
      // A connection's figures are written when its backend ends, a moment after the socket.
      await sql`select pg_sleep(0.2)`.execute(db);
      const { rows } = await sql<{ deadlocks: number }>`
        select deadlocks::int from pg_stat_database where datname = current_database()`.execute(db);
      return rows[0]?.deadlocks ?? Number.NaN;
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** How many calls ended how: `OK`, a reason, or the status of a failure without one. */
export function tally(results: readonly PromiseSettledResult<unknown>[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const result of results) {
    const name = result.status === 'fulfilled' ? 'OK' : failureName(result.reason);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

function failureName(error: unknown): string {
  if (!(error instanceof CountersignError)) return String(error);
  return error.reason === 'UNKNOWN' ? error.codeName : error.reason;
}

export interface BudgetRow {
  readonly failures: number;
  readonly locked: boolean;
  readonly window_failures: number;
}

/** The account's own row of the guess budgets. */
export async function accountBudget(
  db: Db,
  accountId: string,
  channel: 'sms' | 'email' | 'password',
  lane: 'session' | 'anonymous',
): Promise<BudgetRow | undefined> {
  const { rows } = await sql<BudgetRow>`
    select failures, locked_until is not null as locked, window_failures from guess_budgets
    where subject = uuid_send(${accountId}::uuid) and channel = ${channel} and lane = ${lane}`.execute(
    db,
  );
  return rows[0];
}

/**
 * Names what `model.md` promises of the rows and what does not hold, whatever has raced. Empty: all
 * of it holds.
 */
export async function brokenInvariants(db: Db): Promise<readonly string[]> {
  const { rows } = await sql<{ broken: string }>`
    select 'an address with two holders: ' || value as broken from identifiers
      where state in ('verified', 'lapsed') group by type, value having count(*) > 1
    union all select 'two held of one type: ' || account_id from identifiers
      where state <> 'claimed' group by account_id, type having count(*) > 1
    union all select 'two claims of one type: ' || account_id from identifiers
      where state = 'claimed' group by account_id, type having count(*) > 1
    union all select 'a handle that is not verified: ' || value from identifiers
      where sign_in_enabled and state not in ('verified', 'lapsed')
    union all select 'a verified row without its proof: ' || value from identifiers
      where state = 'verified' and (verified_at is null or proven_by is null)
    union all select 'more than 20 claims: ' || value from identifiers
      where state = 'claimed' group by type, value having count(*) > 20
    union all select 'an account without its username: ' || account_id from accounts a
      where not exists (select from identifiers i
        where i.account_id = a.account_id and i.type = 'username' and i.state = 'verified')
    union all select 'an account that is half-made: ' || account_id from accounts a
      where not exists (select from profiles p where p.account_id = a.account_id)
        or not exists (select from account_settings l where l.account_id = a.account_id)
        or not exists (select from role_assignments r where r.account_id = a.account_id and r.role = 'owner')
    union all select 'a slot twice: ' || account_id from challenges
      where purpose = 'verify' and account_id is not null group by account_id, channel having count(*) > 1
    union all select 'more failures than are allowed in a row' from guess_budgets where failures > 5
    union all select 'a used-up count that is open' from guess_budgets
      where failures >= 5 and locked_until is null
    union all select 'more proofs than codes: ' || account_id from audit_events
      where kind = 'change' group by account_id
      having count(*) filter (where action = 'identifier_proven')
        > count(*) filter (where action in ('code_sent', 'account_created'))`.execute(db);
  return rows.map(({ broken }) => broken);
}

/** The six-digit codes other than this one, from the first. */
export function wrongCodes(right: string, count: number): readonly string[] {
  const codes: string[] = [];
  for (let guess = 0; codes.length < count; guess += 1) {
    const code = String(guess).padStart(right.length, '0');
    if (code !== right) codes.push(code);
  }
  return codes;
}
