import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { AuthClient } from '../../src/client/index.js';
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

/** Rule 2: what has been counted stays counted, whatever becomes of the call. */
describePostgres('a counted guess', (database) => {
  let servers: TwoServers;
  beforeAll(async () => {
    servers = await startTwoServers(database());
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const failuresOf = async (accountId: string) =>
    (await accountBudget(database().db, accountId, 'sms', 'session'))?.failures ?? 0;

  async function claimant() {
    const phoneNumber = servers.phone();
    const person = await servers.person({ phoneNumber });
    const right = await servers.code(phoneNumber);
    return { ...person, phoneNumber, right, wrong: wrongCodes(right, 100) };
  }

  /**
   * Rounds of calls that end early, until the budget is shut: between rounds the count never falls,
   * and in all no more than 5 are told that their code was wrong.
   */
  async function exhaust(
    person: Awaited<ReturnType<typeof claimant>>,
    call: (auth: AuthClient, code: string) => Promise<unknown>,
  ): Promise<{ judged: number; cut: number }> {
    let judged = 0;
    let cut = 0;
    let counted = 0;
    for (let round = 0; counted < 5 && round < 50; round += 1) {
      const results = await servers.atOnce(2, (auth, index) =>
        call(auth, person.wrong[round * 2 + index] ?? ''),
      );
      const counts = tally(results);
      judged += counts['CODE_INVALID'] ?? 0;
      cut += (counts['CANCELLED'] ?? 0) + (counts['DEADLINE_EXCEEDED'] ?? 0);
      const now = await failuresOf(person.accountId);
      expect(now).toBeGreaterThanOrEqual(counted);
      // Whoever was told has been counted before.
      expect(now).toBeGreaterThanOrEqual(judged);
      counted = now;
    }
    return { judged, cut };
  }

  async function expectShut(person: Awaited<ReturnType<typeof claimant>>) {
    const { accessToken } = person;
    // What a cut call had begun is over once its statement is.
    await expect.poll(() => failuresOf(person.accountId)).toBe(5);
    const late = await servers.atOnce(20, (auth, index) =>
      auth.confirmPhoneNumber(
        { code: index % 2 === 0 ? person.right : (person.wrong[index] ?? '') },
        { accessToken },
      ),
    );
    expect(tally(late)).toEqual({ VERIFICATION_LOCKED: 20 });
    expect(await failuresOf(person.accountId)).toBe(5);
  }

  it('survives its cancellation at any moment', async () => {
    let cut = 0;
    for (let lives = 0; lives < 10; lives += 1) {
      const person = await claimant();
      const done = await exhaust(person, async (auth, code) => {
        const leaving = new AbortController();
        const timer = setTimeout(() => leaving.abort(), Math.random() * 8);
        const { signal } = leaving;
        const { accessToken } = person;
        await auth.confirmPhoneNumber({ code }, { accessToken, signal }).finally(() => {
          clearTimeout(timer);
        });
      });
      expect(done.judged).toBeLessThanOrEqual(5);
      cut += done.cut;
      await expectShut(person);
    }
    // The moments were not all too late.
    expect(cut).toBeGreaterThan(0);
  });

  it('survives a deadline of a few milliseconds', async () => {
    let cut = 0;
    for (let lives = 0; lives < 10; lives += 1) {
      const person = await claimant();
      const { accessToken } = person;
      const done = await exhaust(person, (auth, code) =>
        auth.confirmPhoneNumber({ code }, { accessToken, deadlineMs: 1 + Math.random() * 8 }),
      );
      expect(done.judged).toBeLessThanOrEqual(5);
      cut += done.cut;
      await expectShut(person);
    }
    expect(cut).toBeGreaterThan(0);
  });

  it('is cut while it waits for the row, and is counted all the same', async () => {
    const person = await claimant();
    const { accountId, accessToken, wrong } = person;
    const { auth } = servers.processes[0];
    await expect(
      auth.confirmPhoneNumber({ code: wrong[0] ?? '' }, { accessToken }),
    ).rejects.toMatchObject({
      reason: 'CODE_INVALID',
    });
    await database()
      .db.transaction()
      .execute(async (tx) => {
        await sql`select from guess_budgets where subject = uuid_send(${accountId}::uuid) for update`.execute(
          tx,
        );
        const results = await servers.atOnce(2, (client, index) =>
          client.confirmPhoneNumber(
            { code: wrong[index + 1] ?? '' },
            { accessToken, deadlineMs: 300 },
          ),
        );
        expect(tally(results)).toEqual({ DEADLINE_EXCEEDED: 2 });
      });
    await expect.poll(() => failuresOf(accountId)).toBe(3);
  });

  it('survives an error thrown after it, right though the code was', async () => {
    const person = await claimant();
    const { accountId, accessToken, right } = person;
    const { db } = database();
    await sql`create function refuse_redeeming() returns trigger language plpgsql as
      $$ begin raise exception 'thrown by a test'; end $$`.execute(db);
    await sql`create trigger refuse_redeeming before update of used_at on challenges
      for each row when (new.used_at is not null) execute function refuse_redeeming()`.execute(db);
    const results = await servers.atOnce(20, (auth) =>
      auth.confirmPhoneNumber({ code: right }, { accessToken }),
    );
    expect(tally(results)).toEqual({ INTERNAL: 5, VERIFICATION_LOCKED: 15 });
    expect(await failuresOf(accountId)).toBe(5);
    await sql`drop trigger refuse_redeeming on challenges`.execute(db);
    await expectShut(person);
    const { account } = await servers.processes[1].auth.getAccount({}, { accessToken });
    const phone = account?.identifiers.find(({ value }) => value === person.phoneNumber);
    expect(phone).toMatchObject({ verified: false });
  });
});
