import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { describePostgres } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { anotherPool, startTestApp } from '../support/test-app.js';
import {
  accountBudget,
  brokenInvariants,
  startTwoServers,
  type TwoServers,
  tally,
} from './two-servers.js';

// Two more processes on a machine that may be busy; no test here measures time.
vi.setConfig({ testTimeout: 60_000 });

describePostgres('sign-ups and sign-ins at once at two server processes', (database) => {
  let servers: TwoServers;
  beforeAll(async () => {
    servers = await startTwoServers(database());
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const countOf = async (table: 'accounts' | 'organizations' | 'sessions' | 'challenges') => {
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from ${sql.table(table)}`.execute(database().db);
    return rows[0]?.count ?? 0;
  };

  it.each([2, 20])(
    'of %i sign-ups for one username that differ in case one is made, whole (A1)',
    async (count) => {
      for (let round = 0; round < 3; round += 1) {
        const before = [
          await countOf('accounts'),
          await countOf('organizations'),
          await countOf('sessions'),
        ];
        const name = unique.username();
        const results = await servers.atOnce(count, (auth, index) =>
          auth.signUp({
            username: inCase(name, index),
            password: PASSWORD,
            phoneNumber: servers.phone(),
          }),
        );
        expect(tally(results)).toEqual({ OK: 1, USERNAME_TAKEN: count - 1 });
        const { rows } =
          await sql`select value from identifiers where lower(value) = ${name}`.execute(
            database().db,
          );
        expect(rows).toEqual([{ value: name }]);
        const after = [
          await countOf('accounts'),
          await countOf('organizations'),
          await countOf('sessions'),
        ];
        expect(after).toEqual(before.map((rowsBefore) => rowsBefore + 1));
      }
    },
  );

  it('20 sign-ups with one request_id make one account, whoever is answered is in it', async () => {
    const before = await countOf('accounts');
    const request = {
      username: unique.username(),
      password: PASSWORD,
      phoneNumber: servers.phone(),
      requestId: randomUUID(),
    };
    const results = await servers.atOnce(20, (auth) => auth.signUp(request));
    const { OK = 0, SIGN_IN_LOCKED = 0, ...others } = tally(results);
    expect(others).toEqual({});
    // A repetition is a sign-in, and no more than 5 passwords are under judgement at a time.
    expect(OK).toBeGreaterThan(1);
    expect(OK + SIGN_IN_LOCKED).toBe(20);
    expect(await countOf('accounts')).toBe(before + 1);
    const ids = results.flatMap((result) =>
      result.status === 'fulfilled' ? [result.value.account?.accountId] : [],
    );
    expect(new Set(ids).size).toBe(1);
    expect(await servers.messagesTo(request.phoneNumber)).toHaveLength(1);
    // All were right, so nothing is left of the lock.
    const again = await servers.processes[0].auth.signUp(request);
    expect(again.account?.accountId).toBe(ids[0]);
    expect(again.challenges).toHaveLength(1);
  });

  it('judges 5 of 50 wrong passwords, no right one after them, and says so in the audit (T2, T6)', async () => {
    const { username, accountId } = await servers.person();
    const results = await servers.atOnce(50, (auth, index) =>
      auth.signIn({ identifier: username, password: `wrong password ${index}` }),
    );
    expect(tally(results)).toEqual({ CREDENTIALS_INVALID: 5, SIGN_IN_LOCKED: 45 });
    expect(await accountBudget(database().db, accountId, 'password', 'anonymous')).toEqual({
      failures: 5,
      locked: true,
      window_failures: 5,
    });
    const late = await servers.atOnce(4, (auth) =>
      auth.signIn({ identifier: username, password: PASSWORD }),
    );
    expect(tally(late)).toEqual({ SIGN_IN_LOCKED: 4 });
    const audited = async () => {
      const { rows } = await sql<{ outcome: string; calls: number }>`
        select outcome, count(*)::int as calls from audit_events
        where kind = 'access' and action like '%SignIn' group by outcome order by outcome`.execute(
        database().db,
      );
      return rows;
    };
    await expect.poll(audited, { timeout: 10_000 }).toEqual([
      { outcome: 'CREDENTIALS_INVALID', calls: 5 },
      { outcome: 'SIGN_IN_LOCKED', calls: 49 },
    ]);
  });

  it('lets in with the right password 50 times at once, 5 at a time, and leaves nothing shut', async () => {
    const { username, accountId } = await servers.person();
    const results = await servers.atOnce(50, (auth) =>
      auth.signIn({ identifier: username, password: PASSWORD }),
    );
    const { OK = 0, SIGN_IN_LOCKED = 0, ...others } = tally(results);
    expect(others).toEqual({});
    expect(OK).toBeGreaterThanOrEqual(5);
    expect(OK + SIGN_IN_LOCKED).toBe(50);
    const row = await accountBudget(database().db, accountId, 'password', 'anonymous');
    expect(row?.locked).toBe(false);
    // A call that found what was typed shut, and the account just opened again, was charged to one row.
    expect(row?.window_failures).toBeLessThanOrEqual(SIGN_IN_LOCKED);
    const { rows } = await sql`select from sessions where account_id = ${accountId}`.execute(
      database().db,
    );
    expect(rows).toHaveLength(1 + OK);
    await servers.processes[0].auth.signIn({ identifier: username, password: PASSWORD });
    expect(await accountBudget(database().db, accountId, 'password', 'anonymous')).toMatchObject({
      failures: 0,
      locked: false,
    });
  });

  it('met no deadlock, broke no invariant, and logged no failure', async () => {
    expect(await brokenInvariants(database().db)).toEqual([]);
    expect(await servers.deadlocks()).toBe(0);
    expect(servers.processes.map((server) => server.stderr())).toEqual(['', '']);
  });
});

/** Hashers that count stand in both replicas here, which a separate process could not lend us. */
describePostgres('passwords guessed at by two names of one account', (database) => {
  it('computes 5 hashes of the account for 100 wrong ones, and decoys for the rest (rules 3, 9)', async () => {
    await using first = await startTestApp({ database: database() });
    await using pool = await anotherPool(database().url);
    await using second = await startTestApp({
      database: pool,
      dataDir: first.dataDir,
      clock: first.clock,
      mailbox: first.mailbox,
      hasher: first.hasher,
    });
    const phoneNumber = unique.phone();
    const { username, accessToken } = await signUp(first, { phoneNumber });
    await first.mailbox.waitFor(({ to }) => to === phoneNumber);
    await first.auth.confirmPhoneNumber(
      { code: first.mailbox.codeFor(phoneNumber) },
      { accessToken },
    );

    const names = [username, phoneNumber, username.toUpperCase()];
    const results = await Promise.allSettled(
      Array.from({ length: 99 }, (_, index) =>
        (index % 2 === 0 ? first : second).auth.signIn({
          identifier: names[index % 3] ?? '',
          password: `wrong password ${index}`,
        }),
      ),
    );
    expect(first.hasher.counts).toMatchObject({ verifications: 5, decoys: 94 });
    // Each name shows a count of its own; that both are one account it does not show (rule 8).
    expect(tally(results)).toEqual({ CREDENTIALS_INVALID: 10, SIGN_IN_LOCKED: 89 });
    const late = await Promise.allSettled(
      names.map((identifier) => second.auth.signIn({ identifier, password: PASSWORD })),
    );
    expect(tally(late)).toEqual({ SIGN_IN_LOCKED: 3 });
    expect(first.hasher.counts.verifications).toBe(5);
  });
});

/** The same letters, each time with others of them in capitals. */
function inCase(name: string, which: number): string {
  return [...name]
    .map((letter, index) => ((which >> (index % 5)) & 1 ? letter.toUpperCase() : letter))
    .join('');
}
