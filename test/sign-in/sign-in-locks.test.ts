import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CountersignError } from '../../src/client/index.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

const WRONG = 'not the password';
const DAY_SECONDS = 86_400;

eachDatabase('guessing passwords', (database) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ database: database() });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  interface Outcome {
    readonly reason: string;
    readonly wait: number | undefined;
  }
  const attempt = (identifier: string, password = WRONG): Promise<Outcome> =>
    app.auth.signIn({ identifier, password }).then(
      () => ({ reason: 'OK', wait: undefined }),
      (error: CountersignError) => ({ reason: error.reason, wait: error.retryAfter }),
    );
  const reasons = async (identifier: string, count: number) => {
    const seen: string[] = [];
    for (let i = 0; i < count; i += 1) seen.push((await attempt(identifier)).reason);
    return seen;
  };
  const five = Array.from({ length: 5 }, () => 'CREDENTIALS_INVALID');

  async function person(channel: 'proven' | 'none') {
    const email = unique.email();
    const made = await signUp(app, channel === 'proven' ? { email } : {});
    if (channel === 'proven') {
      await app.mailbox.waitFor(({ to }) => to === email);
      const [challengeId = ''] = made.challengeIds;
      await app.auth.confirmEmail({ challengeId, code: app.mailbox.codeFor(email) });
    }
    return { ...made, email };
  }

  /** Wrong passwords for one name until it locks, and the wait that the lock then shows. */
  async function lock(identifier: string): Promise<number> {
    expect(await reasons(identifier, 5)).toEqual(five);
    const { reason, wait = 0 } = await attempt(identifier);
    expect(reason).toBe('SIGN_IN_LOCKED');
    app.clock.advance({ seconds: wait });
    return wait;
  }

  const window = async (accountId: string) => {
    const { rows } = await sql<{
      window_failures: number;
    }>`select window_failures from guess_budgets
      where subject = uuid_send(${accountId}::uuid) and channel = 'password'`.execute(app.db);
    return rows[0]?.window_failures;
  };

  describe('in a row', () => {
    it('locks after five, by the moved clock for 15 minutes, and the right password then works', async () => {
      const { username } = await person('proven');
      expect(await reasons(username, 5)).toEqual(five);
      const { reason, wait = 0 } = await attempt(username, PASSWORD);
      expect(reason).toBe('SIGN_IN_LOCKED');
      expect(wait).toBeGreaterThan(14 * 60);
      expect(wait).toBeLessThanOrEqual(15 * 60);
      app.clock.advance({ seconds: wait - 10 });
      expect((await attempt(username, PASSWORD)).reason).toBe('SIGN_IN_LOCKED');
      app.clock.advance({ seconds: 11 });
      expect((await attempt(username, PASSWORD)).reason).toBe('OK');
    });

    it('computes no hash for the account while locked, but a decoy', async () => {
      const { username } = await person('proven');
      await reasons(username, 5);
      const before = { ...app.hasher.counts };
      await attempt(username, PASSWORD);
      await attempt(username);
      expect(app.hasher.counts).toEqual({ ...before, decoys: before.decoys + 2 });
    });

    it('charges nothing while locked: trying on does not lengthen the wait', async () => {
      const { username, accountId } = await person('proven');
      await reasons(username, 5);
      const first = await attempt(username);
      expect(await reasons(username, 20)).toEqual(
        Array.from({ length: 20 }, () => 'SIGN_IN_LOCKED'),
      );
      const last = await attempt(username);
      expect(last.wait).toBeLessThanOrEqual(first.wait ?? 0);
      expect(await window(accountId)).toBe(5);
    });

    it('lets the waits grow: 15 minutes, 30, 60, and so on to 16 hours, for known and unknown alike', async () => {
      for (const identifier of [(await person('proven')).username, unique.username()]) {
        const minutes: number[] = [];
        for (let round = 0; round < 8; round += 1) {
          minutes.push(Math.ceil((await lock(identifier)) / 60));
        }
        expect(minutes).toEqual([15, 30, 60, 120, 240, 480, 960, 960]);
      }
    });

    it('is cleared by a success: five more are judged, and the next wait is 15 minutes again', async () => {
      const { username } = await person('proven');
      await lock(username);
      await lock(username);
      expect((await attempt(username, PASSWORD)).reason).toBe('OK');
      expect(Math.ceil((await lock(username)) / 60)).toBe(15);
      expect(await reasons(username, 4)).toEqual(five.slice(1));
      expect((await attempt(username, PASSWORD)).reason).toBe('OK');
      expect(await reasons(username, 4)).toEqual(five.slice(1));
    });

    it('locks nobody else, and no other spelling escapes it', async () => {
      const [victim, other] = [await person('proven'), await person('proven')];
      await reasons(victim.username, 5);
      expect((await attempt(victim.username.toUpperCase(), PASSWORD)).reason).toBe(
        'SIGN_IN_LOCKED',
      );
      expect((await attempt(other.username, PASSWORD)).reason).toBe('OK');
    });

    it('shut through the username, silently judges nothing by email: it looks like wrong (model.md: only what was typed is seen)', async () => {
      const { username, email } = await person('proven');
      await reasons(username, 5);
      const before = { ...app.hasher.counts };
      expect(await attempt(email, PASSWORD)).toEqual({
        reason: 'CREDENTIALS_INVALID',
        wait: undefined,
      });
      expect(app.hasher.counts).toEqual({ ...before, decoys: before.decoys + 1 });
      app.clock.advance({ minutes: 15, seconds: 1 });
      expect((await attempt(email, PASSWORD)).reason).toBe('OK');
    });

    it('counts for the account across its identifiers: five in all, not five for each', async () => {
      const { username, email } = await person('proven');
      await reasons(username, 3);
      const before = app.hasher.counts.verifications;
      await reasons(email, 4);
      expect(app.hasher.counts.verifications - before).toBe(2);
      app.clock.advance({ minutes: 16 });
      expect((await attempt(email, PASSWORD)).reason).toBe('OK');
    });
  });

  describe('in 30 days', () => {
    it('stops hard after 100 for an account with a proven channel, and opens when the window is over', async () => {
      const { accountId, email } = await person('proven');
      // Through the row of the account alone: what was typed is fresh each time.
      await sql`insert into guess_budgets (subject, channel, lane, failures, locks, window_failures, window_started_at)
        values (uuid_send(${accountId}::uuid), 'password', 'anonymous', 0, 0, 99, ${app.clock.now()}::timestamptz)
        on conflict (subject, channel, lane) do update set window_failures = 99, failures = 0, locks = 0,
          locked_until = null, window_started_at = excluded.window_started_at`.execute(app.db);
      const before = { ...app.hasher.counts };
      expect((await attempt(email)).reason).toBe('CREDENTIALS_INVALID');
      expect(app.hasher.counts.verifications).toBe(before.verifications + 1);
      expect(await window(accountId)).toBe(100);
      expect((await attempt(email, PASSWORD)).reason).toBe('CREDENTIALS_INVALID');
      expect(app.hasher.counts.verifications).toBe(before.verifications + 1);
      app.clock.advance({ days: 29 });
      expect((await attempt(email, PASSWORD)).reason).toBe('CREDENTIALS_INVALID');
      app.clock.advance({ days: 1, seconds: 60 });
      expect((await attempt(email, PASSWORD)).reason).toBe('OK');
    });

    it('never judges more than 100 wrong ones, however patient the guesser', async () => {
      const { username } = await person('proven');
      const before = app.hasher.counts.verifications;
      let elapsed = 0;
      while (elapsed < 29 * DAY_SECONDS) {
        const { wait = 0 } = await attempt(username);
        app.clock.advance({ seconds: wait });
        elapsed += wait;
      }
      expect(app.hasher.counts.verifications - before).toBe(100);
    });

    it('never stops for an account without a proven channel, whose waits only grow', async () => {
      const { username, accountId } = await person('none');
      await sql`insert into guess_budgets (subject, channel, lane, failures, locks, window_failures, window_started_at)
        values (uuid_send(${accountId}::uuid), 'password', 'anonymous', 0, 0, 250, ${app.clock.now()}::timestamptz)
        on conflict (subject, channel, lane) do update set window_failures = 250`.execute(app.db);
      expect((await attempt(username)).reason).toBe('CREDENTIALS_INVALID');
      expect((await attempt(username, PASSWORD)).reason).toBe('OK');
      expect(Math.ceil((await lock(username)) / 60)).toBe(15);
      expect(Math.ceil((await lock(username)) / 60)).toBe(30);
    });

    it('is not refilled by successes in between: each gives back its own charge alone', async () => {
      const { username, accountId } = await person('proven');
      for (let round = 1; round <= 3; round += 1) {
        await reasons(username, 4);
        expect((await attempt(username, PASSWORD)).reason).toBe('OK');
        expect(await window(accountId)).toBe(4 * round);
      }
    });
  });
});
