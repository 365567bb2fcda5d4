import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { describePostgres } from '../support/databases.js';
import { brokenInvariants, startTwoServers, type TwoServers, tally } from './two-servers.js';

// Two more processes on a machine that may be busy; no test here measures time.
vi.setConfig({ testTimeout: 60_000 });

describePostgres('proofs and sends at once at two server processes', (database) => {
  let servers: TwoServers;
  beforeAll(async () => {
    servers = await startTwoServers(database());
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  /** One round: both claim the number, then prove it in the same moment. */
  async function race(pair: readonly Awaited<ReturnType<TwoServers['person']>>[], round: number) {
    const phoneNumber = servers.phone();
    await servers.coolDown(pair.map(({ accountId }) => accountId));
    const codes: string[] = [];
    const ids: string[] = [];
    for (const [index, { accessToken }] of pair.entries()) {
      const { challenge } = await (index === 0
        ? servers.processes[0]
        : servers.processes[1]
      ).auth.sendPhoneVerificationCode({ phoneNumber }, { accessToken });
      codes.push(await servers.code(phoneNumber, index + 1));
      ids.push(challenge?.challengeId ?? '');
    }
    const results = await servers.atOnce(2, (auth, index) =>
      auth.confirmPhoneNumber(
        { challengeId: ids[index], code: codes[index] ?? '' },
        // With and without a session: both ways to prove are raced.
        round % 3 === 0 ? {} : { accessToken: pair[index]?.accessToken },
      ),
    );
    expect(tally(results)).toEqual({ OK: 1, IDENTIFIER_TAKEN: 1 });
    const winner = results.findIndex(({ status }) => status === 'fulfilled');
    const { rows } = await sql<{ account_id: string; state: string }>`
      select account_id, state from identifiers where type = 'phone' and value = ${phoneNumber}
        and state <> 'claimed'`.execute(database().db);
    expect(rows).toEqual([{ account_id: pair[winner]?.accountId, state: 'verified' }]);
    return winner;
  }

  it('of two accounts that prove one number one wins, the other gets IDENTIFIER_TAKEN: 200 rounds (V6)', async () => {
    const pairs = await Promise.all(
      Array.from({ length: 10 }, () => Promise.all([servers.person(), servers.person()])),
    );
    const wins = [0, 0];
    await Promise.all(
      pairs.map(async (pair) => {
        for (let round = 0; round < 20; round += 1) {
          const winner = await race(pair, round);
          wins[winner] = (wins[winner] ?? 0) + 1;
        }
      }),
    );
    expect(wins[0]).toBeGreaterThan(0);
    expect(wins[1]).toBeGreaterThan(0);
    expect((wins[0] ?? 0) + (wins[1] ?? 0)).toBe(200);
  });

  it('of 20 accounts that prove one number exactly one wins (V6)', async () => {
    const phoneNumber = servers.phone();
    const rivals: { accessToken: string; code: string }[] = [];
    for (let count = 1; count <= 20; count += 1) {
      const { accessToken } = await servers.person({ phoneNumber });
      rivals.push({ accessToken, code: await servers.code(phoneNumber, count) });
    }
    const results = await servers.atOnce(20, (auth, index) => {
      const { accessToken = '', code = '' } = rivals[index] ?? {};
      return auth.confirmPhoneNumber({ code }, { accessToken });
    });
    const { OK, IDENTIFIER_TAKEN = 0, ...shut } = tally(results);
    expect(OK).toBe(1);
    expect(IDENTIFIER_TAKEN).toBeGreaterThan(0);
    // They all guess at one address, whose row admits 5 at a time, right or wrong.
    const { VERIFICATION_LOCKED = 0, CODE_ATTEMPTS_EXHAUSTED = 0, ...others } = shut;
    expect(1 + IDENTIFIER_TAKEN + VERIFICATION_LOCKED + CODE_ATTEMPTS_EXHAUSTED).toBe(20);
    expect(others).toEqual({});
    expect(await brokenInvariants(database().db)).toEqual([]);
  });

  it('sends one message for 20 sends of one account at once, and one code lives (T1, V9)', async () => {
    for (let round = 0; round < 5; round += 1) {
      const phoneNumber = servers.phone();
      const { accountId, accessToken } = await servers.person();
      const results = await servers.atOnce(20, (auth) =>
        auth.sendPhoneVerificationCode({ phoneNumber }, { accessToken }),
      );
      expect(tally(results)).toEqual({ OK: 1, RESEND_TOO_SOON: 19 });
      const code = await servers.code(phoneNumber);
      const { rows } = await sql<{ messages: number; slots: number; live: number }>`select
        (select count(*)::int from outbox where account_id = ${accountId}) as messages,
        count(*)::int as slots, count(*) filter (where used_at is null)::int as live
        from challenges where account_id = ${accountId}`.execute(database().db);
      expect(rows).toEqual([{ messages: 1, slots: 1, live: 1 }]);
      expect(await servers.messagesTo(phoneNumber)).toHaveLength(1);
      const { identifier } = await servers.processes[1].auth.confirmPhoneNumber(
        { code },
        { accessToken },
      );
      expect(identifier?.verified).toBe(true);
    }
  });

  it('sends one message for 20 sends to different numbers at once: the claim is of that number', async () => {
    for (let round = 0; round < 5; round += 1) {
      const numbers = Array.from({ length: 20 }, () => servers.phone());
      const { accountId, accessToken } = await servers.person();
      const results = await servers.atOnce(20, (auth, index) =>
        auth.sendPhoneVerificationCode({ phoneNumber: numbers[index] ?? '' }, { accessToken }),
      );
      expect(tally(results)).toEqual({ OK: 1, RESEND_TOO_SOON: 19 });
      const sent = numbers[results.findIndex(({ status }) => status === 'fulfilled')] ?? '';
      const { rows } = await sql`select value, state from identifiers
        where account_id = ${accountId} and type = 'phone'`.execute(database().db);
      expect(rows).toEqual([{ value: sent, state: 'claimed' }]);
      const code = await servers.code(sent);
      await servers.processes[1].auth.confirmPhoneNumber({ code }, { accessToken });
    }
  });

  it('one request_id, 20 times at once: one message, and whoever is answered has the same challenge', async () => {
    const phoneNumber = servers.phone();
    const { accessToken } = await servers.person();
    const requestId = '0b0f3c1e-6f0e-4b6f-9d5a-3d3b8f0f1a11';
    const send = () =>
      servers.atOnce(20, (auth) =>
        auth.sendPhoneVerificationCode({ phoneNumber, requestId }, { accessToken }),
      );
    const results = [...(await send()), ...(await send())];
    expect(tally(results)).toEqual({ OK: 40 });
    const ids = results.map((result) =>
      result.status === 'fulfilled' ? result.value.challenge?.challengeId : '',
    );
    expect(new Set(ids).size).toBe(1);
    await servers.code(phoneNumber);
    expect(await servers.messagesTo(phoneNumber)).toHaveLength(1);
  });

  it('a send beside a confirmation: either is first, and only the address of the code is proven (rules 4, 6)', async () => {
    const outcomes = { proven: 0, superseded: 0 };
    const people = await Promise.all(Array.from({ length: 5 }, () => servers.person()));
    const rounds = people.map(async ({ accountId, accessToken }) => {
      let verified: string | undefined;
      for (let round = 0; round < 12; round += 1) {
        const [first, second] = [servers.phone(), servers.phone()];
        await servers.coolDown([accountId]);
        await servers.processes[0].auth.sendPhoneVerificationCode(
          { phoneNumber: first },
          { accessToken },
        );
        const code = await servers.code(first);
        await servers.coolDown([accountId]);
        const [sent, confirmed] = await servers
          .atOnce<unknown>(2, async (auth, index) =>
            index === round % 2
              ? auth.sendPhoneVerificationCode({ phoneNumber: second }, { accessToken })
              : auth.confirmPhoneNumber({ code }, { accessToken }),
          )
          .then((results) => (round % 2 === 0 ? results : [...results].reverse()));
        expect(sent?.status).toBe('fulfilled');
        if (confirmed?.status === 'fulfilled') {
          verified = first;
          outcomes.proven += 1;
        } else {
          // Looked at after the send: not this slot's code any more; or redeemed after it: it is dead.
          expect(['CODE_INVALID', 'CODE_EXPIRED']).toContain(confirmed?.reason.reason);
          outcomes.superseded += 1;
        }
        const { rows } = await sql<{
          value: string;
          state: string;
        }>`select value, state from identifiers
          where account_id = ${accountId} and type = 'phone' order by state desc`.execute(
          database().db,
        );
        const held = verified === undefined ? [] : [{ value: verified, state: 'verified' }];
        expect(rows).toEqual([...held, { value: second, state: 'claimed' }]);
        // The code of the second send is the living one. Proving it clears the count as well.
        const next = await servers.code(second);
        await servers.processes[1].auth.confirmPhoneNumber({ code: next }, { accessToken });
        verified = second;
      }
    });
    await Promise.all(rounds);
    expect(outcomes.proven + outcomes.superseded).toBe(60);
    expect(outcomes.proven).toBeGreaterThan(0);
    expect(outcomes.superseded).toBeGreaterThan(0);
  });

  it('met no deadlock, broke no invariant, and logged no failure', async () => {
    expect(await brokenInvariants(database().db)).toEqual([]);
    expect(await servers.deadlocks()).toBe(0);
    expect(servers.processes.map((server) => server.stderr())).toEqual(['', '']);
  });
});
