import { type Mock, vi } from 'vitest';
import { addCaller, rpcGroups } from '../../src/callers/index.js';
import type { codeMatches } from '../../src/challenges/code.js';
import type { Lane } from '../../src/challenges/index.js';
import type { AuthClient, CallOptions } from '../../src/client/index.js';
import { limitVariable } from '../../src/config/settings/limits.js';
import { systemRandom } from '../../src/core/ids.js';
import { limiterNames, MAX_POINTS } from '../../src/throttling/limits.js';
import { type Recoverer, withBoth } from '../recovery/recovering.js';
import { testDatabase } from '../support/databases.js';
import { unique } from '../support/people.js';
import { seeded } from '../support/seeded.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestClock } from '../support/test-clock.js';

/** Digits that were compared with a code: what a guess is once it is judged. */
export interface Judged {
  readonly purpose: string;
  /** Whose code it was; empty: nobody's. */
  readonly accountId: string;
  readonly channel: 'email' | 'sms';
  readonly lane: Lane;
  readonly destination: string;
  readonly digits: number;
  readonly codeHash: string;
  /** Days since the attack began. */
  readonly day: number;
}

/** What is theirs now: numbers change. */
type Owner = { -readonly [Field in keyof Recoverer]: Recoverer[Field] };

export interface Laboratory extends AsyncDisposable {
  readonly app: TestApp;
  readonly owner: Owner;
  /** 0 to 1, the same each time. */
  readonly random: () => number;
  /** One of several calling services. */
  caller(): AuthClient;
  /** A source that nobody has met. */
  source(): CallOptions;
  /** Everything that the attacker's guesses were compared with so far. */
  readonly judged: readonly Judged[];
  /** Counts what was judged since the last time. */
  count(lane: Lane): void;
  /** Days since the attack began. */
  today(): number;
  advance(by: {
    readonly days?: number;
    readonly minutes?: number;
    readonly seconds?: number;
  }): void;
  /** What somebody else does meanwhile is not counted. */
  uncounted(work: () => Promise<void>): Promise<void>;
}

/** None of these may be needed for the promise to hold (rule 3). */
const NO_SOFT_LIMITS = Object.fromEntries(
  limiterNames.map((name) => [limitVariable(name), `${MAX_POINTS}/1s`]),
);

const CALLERS = 3;

/**
 * The house as it is, but for its soft limits, its hasher and its clock; an account with an email and a phone
 * that were proven long ago. Judged guesses are not derived but observed: `matches` is the function of the
 * house that compares, watched.
 */
export async function openLaboratory(
  matches: Mock<typeof codeMatches>,
  seed: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Laboratory> {
  const database = await testDatabase({ profile: 'embedded' });
  const clock = createTestClock();
  const keys: string[] = [];
  for (let n = 0; n < CALLERS; n += 1) {
    const caller = { name: unique.username(), groups: rpcGroups, random: systemRandom, clock };
    keys.push(await addCaller(database.db, caller));
  }
  const app = await startTestApp({ database, clock, env: { ...NO_SOFT_LIMITS, ...env } });
  const callers = keys.map((callerKey) => app.connect({ callerKey }));
  const owner: Owner = await withBoth(app);
  const random = seeded(seed);
  const began = clock.now().getTime();
  const judged: Judged[] = [];
  const today = () => (clock.now().getTime() - began) / 86_400_000;
  const forget = () => void matches.mock.calls.splice(0);
  forget();

  return {
    app,
    owner,
    random,
    today,
    caller: () => callers[Math.floor(random() * CALLERS)] ?? app.auth,
    source: () => ({ clientAddress: `198.51.${byte(random)}.${byte(random)}` }),
    judged,
    count(lane) {
      for (const [, binding, , code, codeHash] of matches.mock.calls.splice(0)) {
        const { purpose, subject: accountId, channel, destination } = binding;
        const [digits, day] = [code.length, today()];
        const hash = codeHash.toString('hex');
        judged.push({
          purpose,
          accountId,
          channel,
          lane,
          destination,
          digits,
          codeHash: hash,
          day,
        });
      }
    },
    advance: (by) => clock.advance(by),
    async uncounted(work) {
      await work();
      forget();
    },
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      vi.clearAllMocks();
    },
  };
}

const byte = (random: () => number): number => Math.floor(random() * 256);

/** Most guesses within any 30 days in a row: a window that begins with a guess has the most. */
export function worstThirtyDays<T extends { readonly day: number }>(
  judged: readonly T[],
): readonly T[] {
  const windows = judged.map(({ day: from }) =>
    judged.filter(({ day }) => day >= from && day < from + 30),
  );
  return windows.reduce((worst, window) => (window.length > worst.length ? window : worst), []);
}
