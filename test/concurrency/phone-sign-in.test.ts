import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { AuthClient } from '../../src/client/index.js';
import { stopAccount } from '../sign-in/phone-house.js';
import { describePostgres } from '../support/databases.js';
import { PASSWORD } from '../support/people.js';
import { ROUNDS_IN_TURN, race } from '../support/race.js';
import {
  brokenInvariants,
  startTwoServers,
  type TwoServers,
  tally,
  wrongCodes,
} from './two-servers.js';

// Two more processes on a machine that may be busy; no test here measures time.
vi.setConfig({ testTimeout: 240_000 });

const ROUNDS = 200 + ROUNDS_IN_TURN;
/** So many rounds are prepared together: a code takes the sender's two trips and a file. */
const BATCH = 20;

describePostgres('phone sign-ins at once at two server processes', (database) => {
  let servers: TwoServers;
  beforeAll(async () => {
    servers = await startTwoServers(database());
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  /** The code of the `nth` message to the number is the flow's. */
  const ask = async (phoneNumber: string, nth = 1) => {
    const [one, other] = servers.processes;
    const { auth } = nth === 1 ? one : other;
    const { challenge } = await auth.requestPhoneSignIn({ phoneNumber });
    const code = await servers.code(phoneNumber, nth);
    return { challengeId: challenge?.challengeId ?? '', code };
  };
  /** `ROUNDS` rounds, a batch at a time. */
  const inRounds = async (round: (number: number) => Promise<void>) => {
    for (let first = 0; first < ROUNDS; first += BATCH) {
      const count = Math.min(BATCH, ROUNDS - first);
      await Promise.all(Array.from({ length: count }, (_, index) => round(first + index)));
    }
  };
  const rowsOf = async (phone: string) => {
    const { rows } = await sql<{ account_id: string; state: string }>`
      select account_id, state from identifiers where type = 'phone' and value = ${phone} order by state`.execute(
      database().db,
    );
    return rows;
  };
  const sessionsOf = async (accountId: string) => {
    const { rows } = await sql<{ live: number; all: number }>`
      select count(*) filter (where s.session_epoch = a.session_epoch)::int as live, count(*)::int as all
      from sessions s join accounts a on a.account_id = s.account_id where s.account_id = ${accountId}::uuid`.execute(
      database().db,
    );
    return rows[0];
  };
  /** One call at each process. */
  const raceHere = <A, B>(
    round: number,
    one: (auth: AuthClient) => Promise<A>,
    other: (auth: AuthClient) => Promise<B>,
  ) => {
    const [first, second] = servers.processes;
    return race(
      round,
      () => one(first.auth),
      () => other(second.auth),
    );
  };

  it('three of one new number, each with a code of its own: one account, and everybody is in it', async () => {
    const outcomes: Record<string, number> = {};
    await inRounds(async () => {
      const phone = servers.phone();
      const asked = [await ask(phone, 1), await ask(phone, 2), await ask(phone, 3)];
      const results = await servers.atOnce(3, (auth, index) =>
        auth.completePhoneSignIn(asked[index] ?? { challengeId: '', code: '' }),
      );
      for (const [name, count] of Object.entries(tally(results))) {
        outcomes[name] = (outcomes[name] ?? 0) + count;
      }
      const done = results.flatMap((result) =>
        result.status === 'fulfilled' ? [result.value] : [],
      );
      expect(done.filter(({ isFirstSignIn }) => isFirstSignIn)).toHaveLength(1);
      expect(new Set(done.map(({ accountId }) => accountId)).size).toBe(1);
      expect(await rowsOf(phone)).toMatchObject([
        { account_id: done[0]?.accountId, state: 'verified' },
      ]);
    });
    // Three guesses at most at one address: none is turned away.
    expect(outcomes).toEqual({ OK: 3 * ROUNDS });
    const { rows } = await sql<{ strays: number }>`select count(*)::int as strays from accounts a
      where not exists (select from identifiers i where i.account_id = a.account_id)`.execute(
      database().db,
    );
    expect(rows).toEqual([{ strays: 0 }]);
  });

  it('one code of a new number, three times at once: one account, one session', async () => {
    await inRounds(async () => {
      const phone = servers.phone();
      const asked = await ask(phone);
      const results = await servers.atOnce(3, (auth) => auth.completePhoneSignIn(asked));
      expect(tally(results)).toEqual({ OK: 1, CODE_EXPIRED: 2 });
      const [held] = await rowsOf(phone);
      expect(await sessionsOf(held?.account_id ?? '')).toEqual({ live: 1, all: 1 });
    });
  });

  it('a sign-in beside the removal of the number: a session from before, or CODE_EXPIRED; never an account', async () => {
    const outcomes = { signedIn: 0, expired: 0 };
    await inRounds(async (round) => {
      const phone = servers.phone();
      const { accountId, accessToken } = await personWith(phone);
      const asked = await ask(phone, 2);
      const [signedIn, removed] = await raceHere(
        round,
        (auth) => auth.completePhoneSignIn(asked),
        (auth) => auth.removePhoneNumber({}, { accessToken }),
      );
      expect(removed.status).toBe('fulfilled');
      expect(await rowsOf(phone)).toEqual([]);
      if (signedIn.status === 'fulfilled') {
        expect(signedIn.value).toMatchObject({ accountId, isFirstSignIn: false });
        outcomes.signedIn += 1;
      } else {
        expect(tally([signedIn])).toEqual({ CODE_EXPIRED: 1 });
        outcomes.expired += 1;
      }
      expect((await sessionsOf(accountId))?.all).toBe(signedIn.status === 'fulfilled' ? 2 : 1);
    });
    expect(outcomes.signedIn + outcomes.expired).toBe(ROUNDS);
    expect(Math.min(outcomes.signedIn, outcomes.expired)).toBeGreaterThan(0);
  });

  it('a sign-in beside a demotion: a session from before it, or CREDENTIALS_INVALID and a note', async () => {
    const outcomes: Record<string, number> = {};
    await inRounds(async (round) => {
      const phone = servers.phone();
      const { accessToken } = await personWith(phone);
      const asked = await ask(phone, 2);
      const [signedIn, demoted] = await raceHere(
        round,
        (auth) => auth.completePhoneSignIn(asked),
        (auth) => auth.setSignInEnabled({ type: 3, enabled: false }, { accessToken }),
      );
      expect(demoted.status).toBe('fulfilled');
      const [name = ''] = Object.keys(tally([signedIn]));
      outcomes[name] = (outcomes[name] ?? 0) + 1;
    });
    const { OK = 0, CREDENTIALS_INVALID = 0, ...others } = outcomes;
    expect(others).toEqual({});
    expect(OK + CREDENTIALS_INVALID).toBe(ROUNDS);
    expect(Math.min(OK, CREDENTIALS_INVALID)).toBeGreaterThan(0);
  });

  it('a sign-in beside a block: no session of the account is alive afterwards, whoever was first', async () => {
    const outcomes: Record<string, number> = {};
    await inRounds(async (round) => {
      const phone = servers.phone();
      const { accountId } = await personWith(phone);
      const asked = await ask(phone, 2);
      const [signedIn] = await raceHere(
        round,
        (auth) => auth.completePhoneSignIn(asked),
        () => stopAccount(database(), accountId, 'blocked'),
      );
      const [name = ''] = Object.keys(tally([signedIn]));
      outcomes[name] = (outcomes[name] ?? 0) + 1;
      expect((await sessionsOf(accountId))?.live).toBe(0);
      if (signedIn.status === 'fulfilled') {
        const { refreshToken = '' } = signedIn.value.tokens ?? {};
        const refreshed = servers.processes[0].auth.refreshSession({ refreshToken });
        expect(tally(await Promise.allSettled([refreshed]))).toEqual({ REFRESH_TOKEN_INVALID: 1 });
      }
    });
    const { OK = 0, CREDENTIALS_INVALID = 0, ...others } = outcomes;
    expect(others).toEqual({});
    expect(OK + CREDENTIALS_INVALID).toBe(ROUNDS);
    expect(Math.min(OK, CREDENTIALS_INVALID)).toBeGreaterThan(0);
  });

  it('a first sign-in beside a proof of the same number by an account: one holder, nobody twice', async () => {
    const outcomes: Record<string, number> = {};
    await inRounds(async (round) => {
      const phone = servers.phone();
      const person = await servers.person({ phoneNumber: phone });
      const own = await servers.code(phone);
      const asked = await ask(phone, 2);
      const [signedIn, proven] = await raceHere(
        round,
        (auth) => auth.completePhoneSignIn(asked),
        (auth) => auth.confirmPhoneNumber({ code: own }, { accessToken: person.accessToken }),
      );
      expect(signedIn.status).toBe('fulfilled');
      if (signedIn.status === 'rejected') return;
      const [name = ''] = Object.keys(tally([proven]));
      outcomes[name] = (outcomes[name] ?? 0) + 1;
      const { accountId, isFirstSignIn } = signedIn.value;
      expect(await rowsOf(phone)).toEqual([{ account_id: accountId, state: 'verified' }]);
      expect(accountId === person.accountId).toBe(!isFirstSignIn);
      expect(isFirstSignIn).toBe(proven.status === 'rejected');
    });
    const { OK = 0, IDENTIFIER_TAKEN = 0, CODE_EXPIRED = 0, ...others } = outcomes;
    expect(others).toEqual({});
    expect(OK + IDENTIFIER_TAKEN + CODE_EXPIRED).toBe(ROUNDS);
  });

  it('counts 5 of 50 wrong guesses at once, with flows and processes in turn (rule 2)', async () => {
    const phone = servers.phone();
    const asked = [await ask(phone, 1), await ask(phone, 2)];
    const codes = wrongCodes(asked[0]?.code ?? '', 50);
    const results = await servers.atOnce(50, (auth, index) =>
      auth.completePhoneSignIn({
        challengeId: asked[index % 2]?.challengeId ?? '',
        code: codes[index] === asked[1]?.code ? '000000' : (codes[index] ?? ''),
      }),
    );
    const {
      CODE_INVALID,
      VERIFICATION_LOCKED = 0,
      CODE_ATTEMPTS_EXHAUSTED = 0,
      ...others
    } = tally(results);
    expect(others).toEqual({});
    expect(CODE_INVALID).toBe(5);
    expect(VERIFICATION_LOCKED + CODE_ATTEMPTS_EXHAUSTED).toBe(45);
  });

  it('met no deadlock, broke no invariant, and logged no failure', async () => {
    expect(await brokenInvariants(database().db)).toEqual([]);
    expect(await servers.deadlocks()).toBe(0);
    expect(servers.processes.map((server) => server.stderr())).toEqual(['', '']);
  });

  /** Somebody with a password, whose number is proven. */
  async function personWith(phoneNumber: string) {
    const person = await servers.person({ phoneNumber, password: PASSWORD });
    const code = await servers.code(phoneNumber);
    await servers.processes[0].auth.confirmPhoneNumber(
      { code },
      { accessToken: person.accessToken },
    );
    return person;
  }
});
