import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { isSealedUnderCurrent, type KeyRing } from '../core/keys.js';
import type { Db } from '../db/index.js';
import {
  generateSigningKey,
  openSigningKey,
  resealSigningKey,
  type SealedSigningKey,
  signingKeySeals,
} from './signing-key.js';
import {
  insertSuccessor,
  listSigningKeyRows,
  replaceAllKeys,
  retireDeadKeys,
  selectDue,
  selectSigningKeys,
  updateSeal,
} from './signing-key-store.js';

/**
 * The life of a signing key (rule 19). Every step is decided by the database's clock, in one guarded
 * statement behind a lock, so that any number of processes may try it at any moment.
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> published: its predecessor is SIGNING_KEY_LIFETIME old, or by command
 *   published --> signing: after the lead; the first key at once
 *   signing --> retiring: its successor signs
 *   retiring --> retired: nothing that it signed is valid any more
 *   published --> retired: all are replaced, by command
 *   signing --> retired: all are replaced, by command
 *   retired --> [*]: swept after a year
 * ```
 */
export type SigningKeyState = 'published' | 'signing' | 'retiring' | 'retired';

/**
 * A key is published for an hour before it signs. Longer than the caches of verifiers one after the
 * other: a process reads the keys every 30 s, a proxy keeps the set for 5 minutes (its `max-age`), our
 * verifier for 10, which makes 930 s. The rest is for whoever cannot fetch the set for a while.
 */
export const PUBLICATION_LEAD_SECONDS = 3_600;

/** The greatest ACCESS_TOKEN_TTL that the configuration takes: of any release, of any replica. */
export const MAX_ACCESS_TOKEN_SECONDS = 3_600;

/**
 * How long after its successor has begun to sign a key is retired: the life of the last token, and an
 * hour for processes that learn of the successor late and for clocks that differ.
 */
export const RETIREMENT_SECONDS = MAX_ACCESS_TOKEN_SECONDS + 3_600;

export interface SigningKeyDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  /** TOKEN_KEYS. */
  readonly tokenKeys: KeyRing;
}

export interface RotationStep {
  readonly published?: string;
  readonly retired: readonly string[];
  readonly resealed: readonly string[];
}

/**
 * What is due, and mostly nothing: publishes a successor, retires what is dead, and seals private
 * parts that an older key of TOKEN_KEYS sealed anew under the current one, so that the older can go.
 * Rejects when TOKEN_KEYS do not open a key in use.
 */
export async function stepSigningKeys(
  deps: SigningKeyDeps & {
    /** SIGNING_KEY_LIFETIME. */
    readonly lifetimeSeconds: number;
  },
): Promise<RotationStep> {
  const { db, clock, lifetimeSeconds } = deps;
  const olderThanSeconds = Math.max(0, lifetimeSeconds - PUBLICATION_LEAD_SECONDS);
  const due = await selectDue(db, clock, {
    successorSeconds: olderThanSeconds,
    retirementSeconds: RETIREMENT_SECONDS,
  });
  const published = due.successor_due ? await publish(deps, olderThanSeconds) : undefined;
  const retired = due.retirement_due ? await retireDeadKeys(db, clock, RETIREMENT_SECONDS) : [];
  const resealed = await reseal(deps);
  return { ...(published === undefined ? {} : { published }), retired, resealed };
}

/**
 * Publishes a successor now, which signs after the lead. Undefined, and nothing done, where one is
 * published already or there is no key yet (the first start makes it).
 */
export function rotateSigningKey(deps: SigningKeyDeps): Promise<string | undefined> {
  return publish(deps, 0);
}

/**
 * For a leaked key: a new one signs from now on, and all others are retired at once. Access tokens
 * that they signed are dead where the set of keys is read anew; sessions live on and refresh.
 */
export async function replaceSigningKeys(
  deps: SigningKeyDeps,
): Promise<{ readonly made: string; readonly retired: readonly string[] }> {
  const key = await newKey(deps);
  return { made: key.kid, retired: await replaceAllKeys(deps.db, deps.clock, key) };
}

export interface ListedSigningKey {
  readonly kid: string;
  readonly state: SigningKeyState;
  readonly createdAt: Date;
  readonly activeFrom: Date;
  readonly retiredAt: Date | undefined;
}

/** The newest first. */
export async function listSigningKeys({
  db,
  clock,
}: Pick<SigningKeyDeps, 'db' | 'clock'>): Promise<readonly ListedSigningKey[]> {
  const rows = await listSigningKeyRows(db, clock);
  const signing = rows.find(({ active, retired_at }) => active && retired_at === null)?.kid;
  return rows.map(({ kid, active, created_at, active_from, retired_at }) => {
    const inUse = active ? (kid === signing ? 'signing' : 'retiring') : 'published';
    return {
      kid,
      state: retired_at === null ? inUse : 'retired',
      createdAt: created_at,
      activeFrom: active_from,
      retiredAt: retired_at ?? undefined,
    };
  });
}

async function publish(
  deps: SigningKeyDeps,
  olderThanSeconds: number,
): Promise<string | undefined> {
  const { db, clock } = deps;
  const key = await newKey(deps);
  const when = { leadSeconds: PUBLICATION_LEAD_SECONDS, olderThanSeconds };
  return (await insertSuccessor(db, clock, key, when)) ? key.kid : undefined;
}

/**
 * Opens the keys in use first: a new one sealed under TOKEN_KEYS of another installation could be
 * opened by no process of this one.
 */
async function newKey({ db, clock, random, tokenKeys }: SigningKeyDeps): Promise<SealedSigningKey> {
  const seals = signingKeySeals(tokenKeys);
  for (const { kid, private_sealed } of await selectSigningKeys(db, clock)) {
    await openSigningKey(seals, { kid, privateSealed: private_sealed });
  }
  return generateSigningKey(seals, random);
}

async function reseal({ db, clock, random, tokenKeys }: SigningKeyDeps) {
  const seals = signingKeySeals(tokenKeys);
  const resealed: string[] = [];
  for (const { kid, private_sealed: before } of await selectSigningKeys(db, clock)) {
    if (isSealedUnderCurrent(seals, before)) continue;
    const after = await resealSigningKey(seals, random, { kid, privateSealed: before });
    await updateSeal(db, { kid, before, after });
    resealed.push(kid);
  }
  return resealed;
}
