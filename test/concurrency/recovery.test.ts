import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { AuthClient } from '../../src/client/index.js';
import { describePostgres } from '../support/databases.js';
import { unique } from '../support/people.js';
import { ROUNDS_IN_TURN, race } from '../support/race.js';
import { brokenInvariants, startTwoServers, type TwoServers, tally } from './two-servers.js';

// Passwords are hashed in earnest here, on a machine that may be busy; no test here measures time.
vi.setConfig({ testTimeout: 300_000 });

const PEOPLE = 10;
const ROUNDS = 200 + PEOPLE * ROUNDS_IN_TURN;

describePostgres('recovery at two server processes', (database) => {
  let servers: TwoServers;
  let auth: AuthClient;
  beforeAll(async () => {
    servers = await startTwoServers(database());
    auth = servers.processes[0].auth;
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  /** Somebody with a proven email, whose messages are counted so that the latest code is found. */
  async function recoverable() {
    const email = unique.email();
    const { accountId, username, password, accessToken, refreshToken } = await servers.person({
      email,
    });
    await auth.confirmEmail({ code: await servers.code(email) }, { accessToken });
    return { accountId, username, password, email, session: { accessToken, refreshToken } };
  }
  type Person = Awaited<ReturnType<typeof recoverable>>;

  async function flow({ email }: Person) {
    const before = (await servers.messagesTo(email)).length;
    const { challenge } = await auth.requestPasswordReset({ identifier: email });
    const challengeId = challenge?.challengeId ?? '';
    return { challengeId, code: await servers.code(email, before + 1) };
  }
  const tokenOf = async (person: Person) =>
    (await auth.verifyPasswordResetCode(await flow(person))).resetToken;

  /** Lets the notice of the next reset be one within the hour, so that messages stay countable. */
  const told = (people: readonly Person[]) =>
    sql`insert into notices (account_id, kind, sent_at)
      select id, kind, clock_timestamp() from unnest(${people.map(({ accountId }) => accountId)}::uuid[]) id,
        unnest(array['password_reset', 'contact_added', 'contact_changed']) kind
      on conflict (account_id, kind) do update set sent_at = excluded.sent_at`.execute(
      database().db,
    );

  /** `ROUNDS` rounds, each person's one after the other. */
  async function rounds(play: (person: Person, round: number) => Promise<void>): Promise<void> {
    const people = await Promise.all(Array.from({ length: PEOPLE }, recoverable));
    await told(people);
    await Promise.all(
      people.map(async (person) => {
        for (let round = 0; round < ROUNDS / PEOPLE; round += 1) await play(person, round);
      }),
    );
    expect(await brokenInvariants(database().db)).toEqual([]);
  }
  /** A reset at one process, and a confirmation at the other. */
  const beside = (
    round: number,
    reset: { readonly resetToken: string; readonly newPassword: string },
    confirm: (auth: AuthClient) => Promise<unknown>,
  ) => {
    const [one, other] = servers.processes;
    return race(
      round,
      () => one.auth.resetPassword(reset),
      async () => {
        // A reset hashes first, which the confirmation must not always win by.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
        return confirm(other.auth);
      },
    );
  };
  const signIn = async ({ username }: Person, password: string) => {
    const { tokens } = await auth.signIn({ identifier: username, password });
    return { accessToken: tokens?.accessToken ?? '', refreshToken: tokens?.refreshToken ?? '' };
  };
  const epochs = async ({ accountId }: Person) => {
    const { rows } = await sql<{ proof: number; session: number }>`
      select proof_epoch as proof, session_epoch as session from accounts
      where account_id = ${accountId}::uuid`.execute(database().db);
    return rows[0] ?? { proof: Number.NaN, session: Number.NaN };
  };

  it('of 50 tries with one code one gets a token, and of 50 with the token one sets a password (rule 5)', async () => {
    const person = await recoverable();
    const { challengeId, code } = await flow(person);
    const verified = await servers.atOnce(50, (client) =>
      client.verifyPasswordResetCode({ challengeId, code }),
    );
    expect(tally(verified)['OK']).toBe(1);
    const resetToken = verified.flatMap((result) =>
      result.status === 'fulfilled' ? [result.value.resetToken] : [],
    )[0];
    const before = await epochs(person);
    const results = await servers.atOnce(50, (client, index) =>
      client.resetPassword({ resetToken: resetToken ?? '', newPassword: `phrase of try ${index}` }),
    );
    expect(tally(results)).toEqual({ OK: 1, CODE_EXPIRED: 49 });
    const winner = results.findIndex(({ status }) => status === 'fulfilled');
    await signIn(person, `phrase of try ${winner}`);
    expect(await epochs(person)).toEqual({ proof: before.proof + 1, session: before.session + 1 });
  });

  it(`of two resets with one token one is carried out, whole: ${ROUNDS} rounds`, async () => {
    await rounds(async (person, round) => {
      const resetToken = await tokenOf(person);
      const before = await epochs(person);
      const results = await servers.atOnce(2, (client, index) =>
        client.resetPassword({ resetToken, newPassword: `phrase ${round} of try ${index}` }),
      );
      expect(tally(results)).toEqual({ OK: 1, CODE_EXPIRED: 1 });
      expect(await epochs(person)).toEqual({
        proof: before.proof + 1,
        session: before.session + 1,
      });
    });
  });

  it(`no session that is older than a reset survives it, however it refreshes meanwhile: ${ROUNDS} rounds`, async () => {
    await rounds(async (person, round) => {
      const newPassword = `phrase of round ${round}`;
      const session =
        round === 0 ? person.session : await signIn(person, `phrase of round ${round - 1}`);
      const resetToken = await tokenOf(person);
      let { refreshToken } = session;
      let over = false;
      const refreshing = async (client: AuthClient) => {
        while (!over) {
          const { tokens } = await client.refreshSession({ refreshToken });
          refreshToken = tokens?.refreshToken ?? '';
        }
      };
      const [reset, refreshed] = await servers.atOnce<unknown>(2, (client, index) =>
        index === 1
          ? refreshing(client)
          : client.resetPassword({ resetToken, newPassword }).finally(() => {
              over = true;
            }),
      );
      expect(reset?.status).toBe('fulfilled');
      expect(refreshed?.status).toMatch(/fulfilled|rejected/);
      const afterwards = await servers.atOnce(2, (client) =>
        client.refreshSession({ refreshToken }),
      );
      expect(tally(afterwards)).toEqual({ REFRESH_TOKEN_INVALID: 2 });
      const used = await servers.atOnce(2, (client) => client.getAccount({}, session));
      expect(tally(used)).toEqual({ ACCESS_TOKEN_INVALID: 2 });
    });
  });

  it(`a pending change is proven before the reset, and undone by it, or not at all: ${ROUNDS} rounds`, async () => {
    const wins = { confirm: 0, reset: 0 };
    await rounds(async (person, round) => {
      const newPassword = `phrase of round ${round}`;
      const session =
        round === 0 ? person.session : await signIn(person, `phrase of round ${round - 1}`);
      const phoneNumber = servers.phone();
      await servers.coolDown([person.accountId]);
      await auth.sendPhoneVerificationCode({ phoneNumber }, session);
      const code = await servers.code(phoneNumber);
      const resetToken = await tokenOf(person);
      const [reset, confirmed] = await beside(round, { resetToken, newPassword }, (other) =>
        other.confirmPhoneNumber({ code }, session),
      );
      expect(reset.status).toBe('fulfilled');
      const { rows } = await sql<{ state: string; sign_in_enabled: boolean }>`
        select state, sign_in_enabled from identifiers where type = 'phone' and value = ${phoneNumber}`.execute(
        database().db,
      );
      const proven = confirmed.status === 'fulfilled';
      wins[proven ? 'confirm' : 'reset'] += 1;
      expect(rows).toEqual(proven ? [{ state: 'lapsed', sign_in_enabled: false }] : []);
    });
    expect(Math.min(wins.confirm, wins.reset)).toBeGreaterThan(0);
  });

  it(`an address that is replaced in the same moment recovers nothing, or is not replaced: ${ROUNDS} rounds`, async () => {
    const wins = { confirm: 0, reset: 0 };
    await rounds(async (person, round) => {
      // A round that the change won left the password; the next one is recovered by the new address.
      const session = await signIn(person, person.password);
      const email = unique.email();
      await servers.coolDown([person.accountId]);
      await auth.sendEmailVerificationCode({ email }, session);
      const code = await servers.code(email);
      const resetToken = await tokenOf(person);
      const newPassword = `phrase of round ${round}`;
      const [reset, confirmed] = await beside(round, { resetToken, newPassword }, (other) =>
        other.confirmEmail({ code }, session),
      );
      expect([reset.status, confirmed.status].sort()).toEqual(['fulfilled', 'rejected']);
      const replaced = confirmed.status === 'fulfilled';
      wins[replaced ? 'confirm' : 'reset'] += 1;
      Object.assign(person, replaced ? { email } : { password: newPassword });
      await signIn(person, person.password);
    });
    expect(Math.min(wins.confirm, wins.reset)).toBeGreaterThan(0);
  });

  it('met no deadlock in any of this', async () => {
    expect(await servers.deadlocks()).toBe(0);
  });
});
