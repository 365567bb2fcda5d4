import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { describePostgres } from '../support/databases.js';
import {
  accountBudget,
  startTwoServers,
  type TwoServers,
  tally,
  wrongCodes,
} from './two-servers.js';

// Two more processes on a machine that may be busy; no test here measures time.
vi.setConfig({ testTimeout: 60_000 });

describePostgres('guesses at once at two server processes', (database) => {
  let servers: TwoServers;
  beforeAll(async () => {
    servers = await startTwoServers(database());
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  /** The charges of a number's row, found as the one that is no account's. */
  const addressFailures = async (lane: string, accountIds: readonly string[]) => {
    const { rows } = await sql<{ failures: number }>`
      select b.failures from guess_budgets b
      join challenges c on c.address_subject = b.subject and c.channel = b.channel
      where c.account_id = any(${accountIds}::uuid[]) and b.lane = ${lane}
      group by b.subject, b.channel, b.lane, b.failures`.execute(database().db);
    return rows.map(({ failures }) => failures);
  };

  it.each(['session', 'anonymous'] as const)(
    'judges exactly 5 of 200 wrong ones on one challenge, and no right one after them, in the %s lane (rule 2, T2)',
    async (lane) => {
      const phoneNumber = servers.phone();
      const { accountId, accessToken, challengeIds } = await servers.person({ phoneNumber });
      const [challengeId] = challengeIds;
      const right = await servers.code(phoneNumber);
      const wrong = wrongCodes(right, 200);
      const options = lane === 'session' ? { accessToken } : {};
      const results = await servers.atOnce(200, (auth, index) =>
        auth.confirmPhoneNumber({ challengeId, code: wrong[index] ?? '' }, options),
      );
      expect(tally(results)).toEqual({ CODE_INVALID: 5, VERIFICATION_LOCKED: 195 });
      expect(await accountBudget(database().db, accountId, 'sms', lane)).toEqual({
        failures: 5,
        locked: true,
        window_failures: 5,
      });
      expect(await addressFailures(lane, [accountId])).toEqual([5]);
      const late = await servers.atOnce(4, (auth) =>
        auth.confirmPhoneNumber({ challengeId, code: right }, options),
      );
      expect(tally(late)).toEqual({ VERIFICATION_LOCKED: 4 });
      // The other lane is nobody's to shut: the same code still proves the number there.
      const other = lane === 'session' ? {} : { accessToken };
      const { identifier } = await servers.processes[1].auth.confirmPhoneNumber(
        { challengeId, code: right },
        other,
      );
      expect(identifier).toMatchObject({ value: phoneNumber, verified: true });
    },
  );

  it('tells the tries left to each of the 5 once: 4, 3, 2, 1, 0', async () => {
    const phoneNumber = servers.phone();
    const { accessToken } = await servers.person({ phoneNumber });
    const wrong = wrongCodes(await servers.code(phoneNumber), 50);
    const results = await servers.atOnce(50, (auth, index) =>
      auth.confirmPhoneNumber({ code: wrong[index] ?? '' }, { accessToken }),
    );
    const left = results.flatMap((result) =>
      result.status === 'rejected' && result.reason.reason === 'CODE_INVALID'
        ? [result.reason.metadata.attempts_left]
        : [],
    );
    expect(left.sort()).toEqual(['0', '1', '2', '3', '4']);
  });

  it('judges 5 over two challenges of one account, while the second is being sent (rule 3, T3)', async () => {
    const [first, second] = [servers.phone(), servers.phone()];
    const { accountId, accessToken } = await servers.person({ phoneNumber: first });
    const wrong = wrongCodes(await servers.code(first), 200);
    await servers.coolDown([accountId]);
    const early = await servers.atOnce(3, (auth, index) =>
      auth.confirmPhoneNumber({ code: wrong[index] ?? '' }, { accessToken }),
    );
    expect(tally(early)).toEqual({ CODE_INVALID: 3 });
    const results = await servers.atOnce(200, async (auth, index) => {
      if (index !== 0) {
        return auth.confirmPhoneNumber({ code: wrong[index] ?? '' }, { accessToken });
      }
      return auth.sendPhoneVerificationCode({ phoneNumber: second }, { accessToken });
    });
    const counts = tally(results);
    expect(counts['CODE_INVALID']).toBe(2);
    expect(counts['VERIFICATION_LOCKED']).toBeGreaterThanOrEqual(197);
    expect(await accountBudget(database().db, accountId, 'sms', 'session')).toMatchObject({
      failures: 5,
      locked: true,
    });
    // Whichever way the race with the send went, nothing more is compared or sent.
    const refused = await servers.atOnce(2, (auth) =>
      auth.sendPhoneVerificationCode({ phoneNumber: servers.phone() }, { accessToken }),
    );
    expect(tally(refused)).toEqual({ VERIFICATION_LOCKED: 2 });
  });

  it('judges 5 over two challenges of one account without a session, and says nothing of the account', async () => {
    const [first, second] = [servers.phone(), servers.phone()];
    const person = await servers.person({ phoneNumber: first });
    const [challengeId] = person.challengeIds;
    const { accountId, accessToken } = person;
    const wrong = wrongCodes(await servers.code(first), 100);
    const guesses = (code: (index: number) => string) =>
      servers.atOnce(50, (auth, index) =>
        auth.confirmPhoneNumber({ challengeId, code: code(index) }),
      );
    const onFirst = await guesses((index) => wrong[index] ?? '');
    expect(tally(onFirst)).toEqual({ CODE_INVALID: 5, VERIFICATION_LOCKED: 45 });
    await servers.coolDown([accountId]);
    await servers.processes[0].auth.sendPhoneVerificationCode(
      { phoneNumber: second },
      { accessToken },
    );
    const right = await servers.code(second);
    expect(right).toMatch(/^[0-9]{20}$/);
    // The second number's own row is open, so it looks as if 5 more were judged: none is, since no code
    // of the ordinary length is compared while the account's row is shut (T2).
    const results = await guesses((index) => wrong[index + 50] ?? '');
    expect(tally(results)).toEqual({ CODE_INVALID: 5, VERIFICATION_LOCKED: 45 });
    expect(await accountBudget(database().db, accountId, 'sms', 'anonymous')).toMatchObject({
      failures: 5,
      window_failures: 5,
    });
    // The person, signed in, is not held up by it.
    const { identifier } = await servers.processes[1].auth.confirmPhoneNumber(
      { code: right },
      { accessToken },
    );
    expect(identifier).toMatchObject({ value: second, verified: true });
  });

  it.each(['session', 'anonymous'] as const)(
    'judges 5 over 20 accounts that guess one number, in the %s lane (rule 3)',
    async (lane) => {
      const phoneNumber = servers.phone();
      const people = await Promise.all(
        Array.from({ length: 20 }, () => servers.person({ phoneNumber })),
      );
      await servers.code(phoneNumber, 20);
      const results = await servers.atOnce(200, (auth, index) => {
        const { accessToken, challengeIds } = people[index % 20] ?? people[0] ?? never();
        const code = String(index).padStart(6, '0');
        return lane === 'session'
          ? auth.confirmPhoneNumber({ code }, { accessToken })
          : auth.confirmPhoneNumber({ challengeId: challengeIds[0], code });
      });
      expect(tally(results)).toEqual({ CODE_INVALID: 5, VERIFICATION_LOCKED: 195 });
      const ids = people.map(({ accountId }) => accountId);
      expect(await addressFailures(lane, ids)).toEqual([5]);
    },
  );

  it('confirms once of 50 right ones, in either lane (rule 5)', async () => {
    for (let round = 0; round < 10; round += 1) {
      const phoneNumber = servers.phone();
      const { accountId, accessToken, challengeIds } = await servers.person({ phoneNumber });
      const code = await servers.code(phoneNumber);
      const options = round % 2 === 0 ? { accessToken } : {};
      const results = await servers.atOnce(50, (auth) =>
        auth.confirmPhoneNumber({ challengeId: challengeIds[0], code }, options),
      );
      const { OK, CODE_EXPIRED = 0, VERIFICATION_LOCKED = 0, ...others } = tally(results);
      expect(OK).toBe(1);
      expect(CODE_EXPIRED + VERIFICATION_LOCKED).toBe(49);
      expect(others).toEqual({});
      const { rows } = await sql`select from audit_events
        where account_id = ${accountId} and action = 'identifier_proven'`.execute(database().db);
      expect(rows).toHaveLength(1);
    }
  });

  it('confirms once where the right one comes with and without a session at the same time', async () => {
    for (let round = 0; round < 10; round += 1) {
      const phoneNumber = servers.phone();
      const { accessToken, challengeIds } = await servers.person({ phoneNumber });
      const code = await servers.code(phoneNumber);
      const results = await servers.atOnce(8, (auth, index) =>
        auth.confirmPhoneNumber(
          { challengeId: challengeIds[0], code },
          index % 4 < 2 ? { accessToken } : {},
        ),
      );
      expect(tally(results)).toEqual({ OK: 1, CODE_EXPIRED: 7 });
    }
  });

  it('met no deadlock, and logged no failure', async () => {
    expect(await servers.deadlocks()).toBe(0);
    expect(servers.processes.map((server) => server.stderr())).toEqual(['', '']);
  });
});

function never(): never {
  throw new Error('there are people');
}
