import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import type { AuthClient } from '../../src/client/index.js';
import { describePostgres } from '../support/databases.js';
import { type Signup, unique } from '../support/people.js';
import { ROUNDS_IN_TURN, race } from '../support/race.js';
import { brokenInvariants, startTwoServers, type TwoServers, tally } from './two-servers.js';

// Two more processes on a machine that may be busy; no test here measures time.
vi.setConfig({ testTimeout: 180_000 });

const LANES = 10;
const ROUNDS = 200 + LANES * ROUNDS_IN_TURN;

describePostgres('changes of contacts at once at two server processes', (database) => {
  let servers: TwoServers;
  beforeAll(async () => {
    servers = await startTwoServers(database());
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  /** `ROUNDS` rounds, in lanes that each have a person of their own. */
  const rounds = async (play: (person: Signup, round: number) => Promise<void>) => {
    const people: Signup[] = [];
    // One by one: a busy machine sheds hashes that come together.
    for (let n = 0; n < LANES; n += 1) people.push(await servers.person());
    const lane = async (person: Signup) => {
      for (let round = 0; round < ROUNDS / LANES; round += 1) await play(person, round);
    };
    await Promise.all(people.map(lane));
  };

  /** Two calls of one person in the same moment, each at a process of its own. */
  const both = async (
    person: Signup,
    round: number,
    calls: readonly [Call, Call],
  ): Promise<readonly PromiseSettledResult<unknown>[]> => {
    const [one, two] = servers.processes;
    const session = { accessToken: person.accessToken };
    return race(
      round,
      () => calls[0](one.auth, session),
      () => calls[1](two.auth, session),
    );
  };
  type Call = (auth: AuthClient, session: { readonly accessToken: string }) => Promise<unknown>;

  const phonesOf = async ({ accountId }: Signup) => {
    const { rows } = await sql<{ value: string; state: string }>`
      select value, state from identifiers
      where account_id = ${accountId}::uuid and type = 'phone' order by state desc`.execute(
      database().db,
    );
    return rows;
  };

  /** Gives the account an email and a phone as a proof leaves them, and no sign-in by username. */
  const lastTwoWays = async ({ accountId }: Signup) => {
    const { db } = database();
    await sql`delete from identifiers
      where account_id = ${accountId}::uuid and type <> 'username'`.execute(db);
    await sql`update identifiers set sign_in_enabled = false
      where account_id = ${accountId}::uuid`.execute(db);
    const phone = servers.phone();
    await sql`insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
      select ${accountId}::uuid, v.type, v.value, 'verified', true, 'code', clock_timestamp(), clock_timestamp()
      from (values ('email', ${unique.email()}), ('phone', ${phone})) v (type, value)`.execute(db);
    return { phone };
  };

  const switchOff =
    (type: IdentifierType): Call =>
    (auth, session) =>
      auth.setSignInEnabled({ type, enabled: false }, session);
  const removeEmail: Call = (auth, session) => auth.removeEmail({}, session);
  const removePhone: Call = (auth, session) => auth.removePhoneNumber({}, session);
  const setPhone =
    (phoneNumber: string): Call =>
    (auth, session) =>
      auth.setPhoneNumber({ phoneNumber }, session);
  const sendPhone =
    (phoneNumber: string): Call =>
    (auth, session) =>
      auth.sendPhoneVerificationCode({ phoneNumber }, session);
  const confirmPhone =
    (code: string): Call =>
    (auth, session) =>
      auth.confirmPhoneNumber({ code }, session);

  const lastOfTwo = async (person: Signup, round: number, calls: readonly [Call, Call]) => {
    await lastTwoWays(person);
    expect(tally(await both(person, round, calls))).toEqual({ OK: 1, LAST_SIGN_IN_METHOD: 1 });
    const { rows } = await sql`select from identifiers where account_id = ${person.accountId}::uuid
      and sign_in_enabled and state = 'verified'`.execute(database().db);
    expect(rows).toHaveLength(1);
  };

  it('of two that switch off the last two ways in exactly one is refused: 200 rounds (rule 13)', () =>
    rounds((person, round) =>
      lastOfTwo(person, round, [switchOff(IdentifierType.EMAIL), switchOff(IdentifierType.PHONE)]),
    ));

  it('of two that remove the last two ways in exactly one is refused: 200 rounds (rule 13)', () =>
    rounds((person, round) => lastOfTwo(person, round, [removeEmail, removePhone])));

  it('of one that removes and one that switches off the last two exactly one is refused: 200 rounds', () =>
    rounds((person, round) =>
      lastOfTwo(
        person,
        round,
        round % 4 < 2
          ? [removeEmail, switchOff(IdentifierType.PHONE)]
          : [setPhone(servers.phone()), switchOff(IdentifierType.EMAIL)],
      ),
    ));

  it('of two that remove one phone both succeed, and one did it: 200 rounds', async () => {
    await rounds(async (person, round) => {
      const { processes } = servers;
      await processes[0].auth.setPhoneNumber({ phoneNumber: servers.phone() }, person);
      expect(tally(await both(person, round, [removePhone, removePhone]))).toEqual({ OK: 2 });
      expect(await phonesOf(person)).toEqual([]);
    });
    const { rows } = await sql<{ set: number; removed: number }>`
      select count(*) filter (where action = 'identifier_removed')::int as removed,
        count(*) filter (where action = 'identifier_set')::int as set from audit_events
      where account_id in (select account_id from audit_events where action = 'identifier_set'
        group by account_id having count(*) = ${ROUNDS / LANES})`.execute(database().db);
    expect(rows[0]?.removed).toBe(rows[0]?.set);
  });

  it('of two numbers that are set at once the later stands alone: 200 rounds', () =>
    rounds(async (person, round) => {
      const numbers = [servers.phone(), servers.phone()] as const;
      const results = await both(person, round, [setPhone(numbers[0]), setPhone(numbers[1])]);
      expect(tally(results)).toEqual({ OK: 2 });
      const [phone, ...more] = await phonesOf(person);
      expect(more).toEqual([]);
      expect(phone?.state).toBe('claimed');
      expect(numbers).toContain(phone?.value);
    }));

  /** A phone that is held, and the code for another that is to take its place. */
  const pendingChange = async (person: Signup, round: number) => {
    const { phone: held } = await lastTwoWays(person);
    // A right code that came too late was counted all the same.
    await sql`delete from guess_budgets where subject = uuid_send(${person.accountId}::uuid)`.execute(
      database().db,
    );
    const next = servers.phone();
    await servers.coolDown([person.accountId]);
    const { auth } = servers.processes[round % 2 === 0 ? 0 : 1];
    await sendPhone(next)(auth, person);
    return { held, next, code: await servers.code(next) };
  };

  it('of a proof and a removal either comes first, and the phone is gone: 200 rounds', async () => {
    const seen = { proven: 0, dead: 0 };
    await rounds(async (person, round) => {
      const { code } = await pendingChange(person, round);
      const [confirmed, removed] = await both(person, round, [confirmPhone(code), removePhone]);
      expect(removed?.status).toBe('fulfilled');
      expect(await phonesOf(person)).toEqual([]);
      if (confirmed?.status === 'fulfilled') seen.proven += 1;
      else {
        expect(confirmed?.reason.reason).toBe('CODE_EXPIRED');
        seen.dead += 1;
      }
    });
    expect(Math.min(seen.proven, seen.dead)).toBeGreaterThan(0);
    expect(seen.proven + seen.dead).toBe(ROUNDS);
  });

  it('of a proof and a number that is set either comes first, and the set one stands: 200 rounds (V4)', async () => {
    const seen = { proven: 0, dead: 0 };
    await rounds(async (person, round) => {
      const { code } = await pendingChange(person, round);
      const other = servers.phone();
      const results = await both(person, round, [confirmPhone(code), setPhone(other)]);
      expect(results[1]?.status).toBe('fulfilled');
      expect(await phonesOf(person)).toEqual([{ value: other, state: 'claimed' }]);
      const { OK = 0, CODE_EXPIRED = 0 } = tally(results);
      expect(OK + CODE_EXPIRED).toBe(2);
      seen[CODE_EXPIRED === 0 ? 'proven' : 'dead'] += 1;
    });
    expect(Math.min(seen.proven, seen.dead)).toBeGreaterThan(0);
    expect(seen.proven + seen.dead).toBe(ROUNDS);
  });

  it('of a proof and a change to another number the held one is whole, and the last code lives: 200 rounds (V4)', () =>
    rounds(async (person, round) => {
      const { held, next, code } = await pendingChange(person, round);
      const other = servers.phone();
      await servers.coolDown([person.accountId]);
      const [confirmed, sent] = await both(person, round, [confirmPhone(code), sendPhone(other)]);
      expect(sent?.status).toBe('fulfilled');
      const proven = confirmed?.status === 'fulfilled';
      if (!proven) expect(['CODE_INVALID', 'CODE_EXPIRED']).toContain(confirmed?.reason.reason);
      expect(await phonesOf(person)).toEqual([
        { value: proven ? next : held, state: 'verified' },
        { value: other, state: 'claimed' },
      ]);
      await confirmPhone(await servers.code(other))(servers.processes[0].auth, person);
    }));

  it('of a code that is asked for and a number that is set neither fails: 200 rounds', () =>
    rounds(async (person, round) => {
      const [asked, set] = [servers.phone(), servers.phone()];
      await servers.coolDown([person.accountId]);
      const results = await both(person, round, [sendPhone(asked), setPhone(set)]);
      expect(tally(results)).toEqual({ OK: 2 });
      const [phone, ...more] = await phonesOf(person);
      expect(more).toEqual([]);
      expect([asked, set]).toContain(phone?.value);
    }));

  it('links both channels of one account at once, and of two numbers one: 200 rounds (V5)', () =>
    rounds(async (person, round) => {
      const [mail, numbers] = [unique.email(), [servers.phone(), servers.phone()] as const];
      const sendMail: Call = (auth, session) =>
        auth.sendEmailVerificationCode({ email: mail }, session);
      await servers.coolDown([person.accountId]);
      const sent = await both(person, round, [sendPhone(numbers[0]), sendPhone(numbers[1])]);
      expect(tally(sent)).toEqual({ OK: 1, RESEND_TOO_SOON: 1 });
      await sendMail(servers.processes[0].auth, person);
      const number = numbers[sent[0]?.status === 'fulfilled' ? 0 : 1];
      const codes = { phone: await servers.code(number), mail: await servers.code(mail) };
      const confirmMail: Call = (auth, session) => auth.confirmEmail({ code: codes.mail }, session);
      const results = await both(person, round, [confirmPhone(codes.phone), confirmMail]);
      expect(tally(results)).toEqual({ OK: 2 });
      expect(await phonesOf(person)).toEqual([{ value: number, state: 'verified' }]);
    }));

  it('does nothing for a session that ended while the change waited for the account (rule 16)', async () => {
    const { db } = database();
    for (const end of [
      sql`update accounts set session_epoch = session_epoch + 1`,
      sql`update accounts set status = 'blocked'`,
    ]) {
      const person = await servers.person();
      await lastTwoWays(person);
      const before = await phonesOf(person);
      const change = await db.transaction().execute(async (tx) => {
        await sql`${end} where account_id = ${person.accountId}::uuid`.execute(tx);
        const waiting = servers.processes[0].auth.removePhoneNumber({}, person).then(
          () => 'OK',
          (error: { readonly reason?: string }) => error.reason,
        );
        await vi.waitFor(async () => {
          const { rows } = await sql`select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'`.execute(tx);
          expect(rows.length).toBeGreaterThan(0);
        }, 10_000);
        // In an object: a promise would be waited for, and the lock kept until then.
        return { waiting };
      });
      expect(await change.waiting).toBe('ACCESS_TOKEN_INVALID');
      expect(await phonesOf(person)).toEqual(before);
    }
  });

  it('met no deadlock, broke no invariant, and logged no failure', async () => {
    expect(await brokenInvariants(database().db)).toEqual([]);
    const { rows } = await sql`select a.account_id from accounts a where not exists (
      select from identifiers i where i.account_id = a.account_id and i.state = 'verified'
        and i.sign_in_enabled)`.execute(database().db);
    expect(rows).toEqual([]);
    expect(await servers.deadlocks()).toBe(0);
    expect(servers.processes.map((server) => server.stderr())).toEqual(['', '']);
  });
});
