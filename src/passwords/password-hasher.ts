import type { Random } from '../core/ids.js';
import type { KeyRing } from '../core/keys.js';
import type { Argon2, Argon2Parameters } from './argon2.js';
import { decoyArgon2, OUTPUT_BYTES, readArgon2, SALT_BYTES } from './argon2.js';
import type { HashLane, Place, WorkContext } from './hash-lane.js';

/** What an account keeps of its password (A4). */
export interface PasswordHash {
  /** Argon2id in its usual encoding, parameters and salt included. */
  readonly hash: string;
  /** Name of the pepper that went into it; `null` where none was configured. */
  readonly pepper: string | null;
}

export interface PasswordVerdict {
  readonly matches: boolean;
  /** Only with a match: parameters or pepper have moved on since, so that it is time to rehash. */
  readonly outdated: boolean;
}

export interface PasswordHasher {
  /** OVERLOADED, where `admit` would throw it at a call with so much time left; changes nothing. */
  refuses(leftMs: number): Error | undefined;
  /**
   * For what comes before the hash: keeps a place in the lane for the call until it hashes, or until it is
   * disposed of. @throws OVERLOADED where the call would be shed at this moment.
   */
  admit(context: WorkContext): Place;
  /** @throws OVERLOADED, or the signal's reason when the caller leaves. */
  hash(password: string, context: WorkContext): Promise<PasswordHash>;
  /**
   * One Argon2 computation through the lane, whatever `stored` is (rule 9): where there is
   * nothing to compare with (no account, no password, a foreign hash, a pepper that is no longer
   * configured), a decoy is verified with current parameters and nothing matches.
   *
   * @throws OVERLOADED, or the signal's reason when the caller leaves.
   */
  verify(
    stored: PasswordHash | undefined,
    password: string,
    context: WorkContext,
  ): Promise<PasswordVerdict>;
}

export interface PasswordHasherDeps {
  readonly parameters: Argon2Parameters;
  /** Current first; hashes under older ones still verify and are reported outdated. */
  readonly peppers: KeyRing | undefined;
  readonly lane: HashLane;
  readonly random: Random;
  /** The computations: threads of their own; tests count them. */
  readonly argon2: Argon2;
}

/** What one verification has to compare with. */
interface Target {
  readonly encoded: string;
  readonly secret: Buffer | undefined;
  readonly outdated: boolean;
}

const NO_MATCH: PasswordVerdict = { matches: false, outdated: false };

/**
 * Passwords must come from `parseNewPassword` or `parsePresentedPassword`: neither length nor
 * normal form is looked at again. Never call it inside a transaction.
 */
export function createPasswordHasher(deps: PasswordHasherDeps): PasswordHasher {
  const { parameters, peppers, lane, random, argon2 } = deps;
  const decoy = decoyArgon2(parameters, random.bytes(SALT_BYTES), random.bytes(OUTPUT_BYTES));
  const pepper = peppers?.current;

  return {
    refuses: (leftMs) => lane.refuses(leftMs),
    admit: (context) => lane.admit(context),

    async hash(password, context) {
      const hash = await lane.run(context, () =>
        argon2.hash(password, random.bytes(SALT_BYTES), parameters, pepper?.key),
      );
      return { hash, pepper: pepper?.name ?? null };
    },

    async verify(stored, password, context) {
      const target = stored === undefined ? undefined : targetOf(stored, parameters, peppers);
      if (target === undefined) {
        await lane.run(context, () => argon2.verify(decoy, password, pepper?.key));
        return NO_MATCH;
      }
      const { encoded, secret, outdated } = target;
      const matches = await lane.run(context, () => argon2.verify(encoded, password, secret));
      return matches ? { matches, outdated } : NO_MATCH;
    },
  };
}

function targetOf(
  stored: PasswordHash,
  parameters: Argon2Parameters,
  peppers: KeyRing | undefined,
): Target | undefined {
  const made = readArgon2(stored.hash);
  if (made === undefined) return undefined;
  const named = peppers?.all.find(({ name }) => name === stored.pepper);
  if (stored.pepper !== null && named === undefined) return undefined;
  const current =
    made.currentShape &&
    sameParameters(made.parameters, parameters) &&
    stored.pepper === (peppers?.current.name ?? null);
  return { encoded: stored.hash, secret: named?.key, outdated: !current };
}

function sameParameters(a: Argon2Parameters, b: Argon2Parameters): boolean {
  return (
    a.memoryKib === b.memoryKib && a.iterations === b.iterations && a.parallelism === b.parallelism
  );
}
