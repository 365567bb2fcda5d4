import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { type AuthClient, createCountersignClient } from '../../src/client/index.js';
import type { Db } from '../../src/db/index.js';
import { filedMessages } from '../support/filed-messages.js';
import { PASSWORD, unique } from '../support/people.js';
import { eventually } from './eventually.js';
import { type ProgramEnvironment, startServer } from './process.js';

/** Nobody is refused for having come too often: the rounds are about crashes. */
export const GENEROUS: ProgramEnvironment = {
  LIMIT_SIGN_UPS_IN_ALL: '1000000/1h',
  LIMIT_SMS_PER_COUNTRY: '1000000/1h',
  LIMIT_SMS_IN_ALL: '1000000/1h',
  LIMIT_EMAIL_IN_ALL: '1000000/1h',
};

export interface Attempt {
  readonly username: string;
  readonly email: string;
  /** Asked for by a send of its own, after the sign-up. */
  readonly phone: string;
  accountId?: string;
}

export interface CrashRounds {
  readonly attempts: readonly Attempt[];
  /** Rows that a killed process left to others: unsent, or sent and not yet written down. */
  readonly leftBehind: number;
  readonly messageFile: string;
}

const CALLERS = 6;
const LONGEST_LIFE_MS = 600;

/**
 * Starts a server, lets people sign up and ask for codes, and kills it with SIGKILL at a random
 * moment after its first answer; that many times, on one database.
 */
export async function crashRounds(
  { db, url, folder }: { readonly db: Db; readonly url: string; readonly folder: string },
  rounds: number,
): Promise<CrashRounds> {
  const messageFile = join(folder, 'messages.jsonl');
  const env = serverEnv(url, folder, messageFile);
  const attempts: Attempt[] = [];
  let leftBehind = 0;
  for (let round = 0; round < rounds; round += 1) {
    await using server = await startServer(env);
    await using client = createCountersignClient({ address: server.address, deadlineMs: 10_000 });
    const alive = new AbortController();
    const before = attempts.length;
    const answered = () => attempts.slice(before).some(({ accountId }) => accountId !== undefined);
    const people = Array.from({ length: CALLERS }, () =>
      keepSigningUp(client.auth, attempts, alive.signal),
    );
    // On a busy machine it comes late: without it, nothing would be in the midst of anything.
    await eventually('a first answer', async () => answered());
    await delay(Math.random() * LONGEST_LIFE_MS);
    server.kill('SIGKILL');
    await server.exited;
    alive.abort();
    await Promise.all(people);
    leftBehind += await queued(db);
  }
  return { attempts, leftBehind, messageFile };
}

function serverEnv(url: string, folder: string, messageFile: string): ProgramEnvironment {
  const transport = `file:${messageFile}`;
  return {
    ...GENEROUS,
    DATABASE_URL: url,
    DATA_DIR: folder,
    MAIL_TRANSPORT: transport,
    SMS_TRANSPORT: transport,
  };
}

async function keepSigningUp(
  auth: AuthClient,
  attempts: Attempt[],
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const attempt: Attempt = {
      username: unique.username(),
      email: unique.email(),
      phone: unique.phone(),
    };
    attempts.push(attempt);
    try {
      const { username, email, phone: phoneNumber } = attempt;
      const { account, tokens } = await auth.signUp(
        { username, email, password: PASSWORD },
        { signal },
      );
      if (account !== undefined) attempt.accountId = account.accountId;
      const access = { accessToken: tokens?.accessToken ?? '', signal };
      await auth.sendPhoneVerificationCode({ phoneNumber }, access);
    } catch {
      // Killed under the call: whether it took place, the rows say.
      await delay(20);
    }
  }
}

async function queued(db: Db): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from outbox where state = 'queued'`.execute(db);
  return rows[0]?.count ?? 0;
}

/** Ids of accounts that lack anything which sign-up makes, and of what belongs to no account. */
export async function halfMade(db: Db): Promise<readonly string[]> {
  const { rows } = await sql<{ what: string }>`
    select a.account_id::text as what from accounts a, lateral (
      select count(*) from identifiers i where i.account_id = a.account_id and i.state = 'claimed') claims
    where not exists (select from profiles p where p.account_id = a.account_id)
      or not exists (select from account_settings s where s.account_id = a.account_id)
      or not exists (select from identifiers i where i.account_id = a.account_id
        and i.type = 'username' and i.state = 'verified' and i.sign_in_enabled)
      or not exists (select from role_assignments r join organizations o using (organization_id)
        where r.account_id = a.account_id and r.role = 'owner')
      or not exists (select from sessions s where s.account_id = a.account_id)
      or not exists (select from audit_events e where e.account_id = a.account_id and e.kind = 'change')
      or claims.count not between 1 and 2
      or claims.count <> (select count(*) from challenges c where c.account_id = a.account_id)
      or claims.count <> (select count(*) from outbox o where o.account_id = a.account_id)
    union all
    select o.organization_id::text from organizations o
    where not exists (select from role_assignments r where r.organization_id = o.organization_id)`.execute(
    db,
  );
  return rows.map(({ what }) => what);
}

/**
 * Starts a server once more and waits until it has sent what the killed ones left. `overdue` ends the
 * leases of the dead by hand, where a test has no half minute to wait for it.
 */
export async function recoverAll(
  { db, url, folder }: { readonly db: Db; readonly url: string; readonly folder: string },
  { messageFile }: Pick<CrashRounds, 'messageFile'>,
  { overdue }: { readonly overdue: boolean },
): Promise<void> {
  await using server = await startServer(serverEnv(url, folder, messageFile));
  if (overdue)
    await sql`update outbox set due_at = clock_timestamp() where state = 'queued'`.execute(db);
  await eventually('no message is queued', async () => (await queued(db)) === 0, 60_000);
  server.kill('SIGTERM');
  await server.exited;
}

export interface Deliveries {
  readonly accounts: number;
  /** Committed messages: one of each account's sign-up, and of each send that followed. */
  readonly messages: number;
  /** More than once is allowed, and how often it happened is worth knowing. */
  readonly duplicates: number;
  /** Messages whose row was committed and that nobody got. */
  readonly lost: readonly string[];
  /** Sign-ups that were answered and whose account is not there. */
  readonly vanished: readonly string[];
}

/** Compares what was committed with what arrived. */
export async function compareDeliveries(
  db: Db,
  { attempts, messageFile }: CrashRounds,
): Promise<Deliveries> {
  const { rows } = await sql<{
    account_id: string;
    username: string;
    mails: number;
    texts: number;
  }>`
    select i.account_id, i.value as username,
      (select count(*)::int from outbox o where o.account_id = i.account_id and o.channel = 'email') as mails,
      (select count(*)::int from outbox o where o.account_id = i.account_id and o.channel = 'sms') as texts
    from identifiers i where i.type = 'username'`.execute(db);
  const committed = new Map(rows.map((row) => [row.username, row]));
  const arrived = (await filedMessages(messageFile).all()).map(({ to }) => to);
  const distinct = new Set(arrived);
  const expected = attempts.flatMap(({ username, email, phone }) => {
    const { mails = 0, texts = 0 } = committed.get(username) ?? {};
    return [...(mails > 0 ? [email] : []), ...(texts > 0 ? [phone] : [])];
  });
  return {
    accounts: rows.length,
    messages: expected.length,
    duplicates: arrived.length - distinct.size,
    lost: expected.filter((to) => !distinct.has(to)),
    vanished: attempts.flatMap(({ username, accountId }) =>
      accountId !== undefined && committed.get(username)?.account_id !== accountId
        ? [username]
        : [],
    ),
  };
}
