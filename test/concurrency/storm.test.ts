import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AuthClient } from '../../src/client/index.js';
import { describePostgres } from '../support/databases.js';
import { codeIn } from '../support/filed-messages.js';
import { PASSWORD, unique } from '../support/people.js';
import { seeded } from '../support/seeded.js';
import { brokenInvariants, startTwoServers, type TwoServers, tally } from './two-servers.js';

const ACCOUNTS = 6;
const CALLS = 2_000;
/** As many as two servers with ten connections each have to queue. */
const AT_ONCE = 80;

/** What a person in the storm has in hand; it changes under the calls that use it. */
interface Victim {
  readonly accountId: string;
  readonly username: string;
  readonly accessToken: string;
  refreshToken: string;
  challengeId: string | undefined;
  /** What the last sends went to. */
  phone: string;
  email: string;
}

type Action = (auth: AuthClient, person: Victim) => Promise<unknown>;

/** What may happen, and how often among all that does. */
function actionsOf({
  pick,
  numbers,
  emails,
  name,
  latest,
}: {
  readonly pick: <T>(list: readonly T[]) => T;
  readonly numbers: readonly string[];
  readonly emails: readonly string[];
  /** The username that several people want. */
  readonly name: string;
  /** The last codes by address. */
  readonly latest: ReadonlyMap<string, readonly string[]>;
}): readonly (readonly [number, Action])[] {
  /** Mostly one of the last codes that went to the address: perhaps this person's, perhaps a rival's. */
  const code = (to: string) =>
    pick([...(latest.get(to) ?? []), ...(latest.get(to) ?? []), '000000']);
  return [
    [
      5,
      async (auth, person) => {
        const phoneNumber = pick(numbers);
        const { challenge } = await auth.sendPhoneVerificationCode({ phoneNumber }, person);
        person.challengeId = challenge?.challengeId;
        person.phone = phoneNumber;
      },
    ],
    [
      3,
      async (auth, person) => {
        const email = pick(emails);
        await auth.sendEmailVerificationCode({ email }, person);
        person.email = email;
      },
    ],
    [4, (auth, person) => auth.confirmPhoneNumber({ code: code(person.phone) }, person)],
    [
      2,
      (auth, { challengeId, phone }) =>
        auth.confirmPhoneNumber({ challengeId: challengeId ?? '', code: code(phone) }),
    ],
    [3, (auth, person) => auth.confirmEmail({ code: code(person.email) }, person)],
    [
      2,
      (auth, { username, phone }) =>
        auth.signIn({
          identifier: pick([username, phone]),
          password: pick([PASSWORD, PASSWORD, 'wrong password']),
        }),
    ],
    [
      4,
      async (auth, person) => {
        const { tokens } = await auth.refreshSession({ refreshToken: person.refreshToken });
        person.refreshToken = tokens?.refreshToken ?? '';
      },
    ],
    [
      1,
      (auth) =>
        auth.signUp({
          username: pick([name, unique.username()]),
          password: PASSWORD,
          phoneNumber: pick(numbers),
          email: pick(emails),
        }),
    ],
    [2, (auth, person) => auth.getAccount({}, person)],
  ];
}

describePostgres('everything at once at two server processes', (database) => {
  let servers: TwoServers;
  beforeAll(async () => {
    servers = await startTwoServers(database(), { LOCKOUT_DURATION: '1s', RESEND_COOLDOWN: '1s' });
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  /** Fails of these kinds are what the storm is about; all others are a bug. */
  const expected = new Set([
    'OK',
    'CODE_INVALID',
    'CODE_EXPIRED',
    'CODE_ATTEMPTS_EXHAUSTED',
    'VERIFICATION_LOCKED',
    'IDENTIFIER_TAKEN',
    'RESEND_TOO_SOON',
    'CREDENTIALS_INVALID',
    'SIGN_IN_LOCKED',
    'USERNAME_TAKEN',
  ]);

  it(`keeps every promise over ${CALLS} mixed calls: no deadlock, no INTERNAL, no broken invariant`, async () => {
    const seed = Date.now() % 2 ** 31;
    const random = seeded(seed);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const numbers = Array.from({ length: 3 }, () => servers.phone());
    const emails = Array.from({ length: 3 }, () => unique.email());
    const people = await Promise.all(
      Array.from({ length: ACCOUNTS }, async (_, index): Promise<Victim> => {
        const person = await servers.person({ phoneNumber: numbers[index % 3] });
        return {
          ...person,
          challengeId: person.challengeIds[0],
          phone: numbers[index % 3] ?? '',
          email: emails[0] ?? '',
        };
      }),
    );
    const name = unique.username();
    const latest = new Map<string, string[]>();
    const readMail = async () => {
      for (const to of [...numbers, ...emails]) {
        const codes = (await servers.messagesTo(to)).filter(({ text }) => /[0-9]{6}/.test(text));
        latest.set(
          to,
          codes.slice(-2).map((message) => codeIn(message)),
        );
      }
    };
    const actions = actionsOf({ pick, numbers, emails, name, latest });
    const lots = actions.flatMap(([weight, action]) =>
      Array.from({ length: weight }, () => action),
    );
    const results: PromiseSettledResult<unknown>[] = [];
    while (results.length < CALLS) {
      await servers.coolDown(people.map(({ accountId }) => accountId));
      await readMail();
      results.push(...(await servers.atOnce(AT_ONCE, (auth) => pick(lots)(auth, pick(people)))));
    }
    const counts = tally(results);
    const unexpected = Object.entries(counts).filter(([outcome]) => !expected.has(outcome));
    expect(unexpected, `seed ${seed}`).toEqual([]);
    // The storm was one: each of the races has been run and lost.
    for (const outcome of [
      'OK',
      'CODE_INVALID',
      'IDENTIFIER_TAKEN',
      'RESEND_TOO_SOON',
      'USERNAME_TAKEN',
    ]) {
      expect(counts[outcome], `${outcome}, seed ${seed}`).toBeGreaterThan(0);
    }
    expect(await brokenInvariants(database().db), `seed ${seed}`).toEqual([]);
    expect(await servers.deadlocks(), `seed ${seed}`).toBe(0);
    expect(servers.processes.map((server) => server.stderr())).toEqual(['', '']);
  }, 120_000);
});
