import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { type Db, inTransaction } from '../db/index.js';
import {
  type CallerRecord,
  callerKeyId,
  hashCallerKey,
  isCallerName,
  isRpcGroup,
  MAX_LIVE_KEYS,
  newCallerKey,
  type RpcGroup,
  rpcGroups,
} from './caller.js';
import {
  insertCaller,
  insertKey,
  lockCaller,
  revokeKey,
  selectCallers,
  selectKeys,
} from './caller-store.js';

/** What an operator asked for cannot be done; the message says why, to whoever is at the terminal. */
export class CallerAdministrationError extends Error {
  override readonly name = 'CallerAdministrationError';
}

interface Deps {
  readonly random: Random;
  readonly clock: Clock;
}

export interface NewCaller extends Deps {
  /** `[a-z][a-z0-9-]{0,62}`: stands in tokens as `client_id`, in logs and in the audit. */
  readonly name: string;
  readonly groups: readonly string[];
}

/**
 * Registers a calling service with its first key, both or neither. The key is returned here and
 * nowhere else: only its hash is stored.
 */
export async function addCaller(
  db: Db,
  { name, groups, random, clock }: NewCaller,
): Promise<string> {
  if (!isCallerName(name)) {
    throw new CallerAdministrationError(
      'a caller name has 1 to 63 characters of a-z, 0-9 and "-", a letter first',
    );
  }
  const granted = parseGroups(groups);
  const key = newCallerKey(random);
  await inTransaction(db, async (tx) => {
    if (!(await insertCaller(tx, clock, name, granted))) {
      throw new CallerAdministrationError(`there is a caller ${name} already`);
    }
    await insertKey(tx, clock, name, hashCallerKey(key));
  });
  return key;
}

/** Gives a caller a second key, so that its first can be replaced without a gap. */
export async function addCallerKey(
  db: Db,
  { name, random, clock }: Deps & { readonly name: string },
): Promise<string> {
  const key = newCallerKey(random);
  await inTransaction(db, async (tx) => {
    requireCaller(await lockCaller(tx, name), name);
    if (await insertKey(tx, clock, name, hashCallerKey(key))) return;
    throw new CallerAdministrationError(
      `${name} has ${MAX_LIVE_KEYS} keys, as many as it may: revoke one first`,
    );
  });
  return key;
}

/** Revokes a key by the id that `listCallers` shows. Replicas stop accepting it at their next poll. */
export async function revokeCallerKey(
  db: Db,
  { name, keyId, clock }: { readonly name: string; readonly keyId: string; readonly clock: Clock },
): Promise<void> {
  if (!/^[0-9a-f]{8,64}$/.test(keyId)) {
    throw new CallerAdministrationError(
      'a key id is 8 hex digits, as the list of callers shows it',
    );
  }
  await inTransaction(db, async (tx) => {
    requireCaller(await lockCaller(tx, name), name);
    if ((await revokeKey(tx, clock, name, keyId)) > 0) return;
    throw new CallerAdministrationError(`${name} has no live key ${keyId}`);
  });
}

export async function listCallers(db: Db): Promise<readonly CallerRecord[]> {
  const [callers, keys] = [await selectCallers(db), await selectKeys(db)];
  return callers.map((row) => ({
    name: row.caller,
    rpcGroups: row.rpc_groups,
    disabled: row.disabled_at !== null,
    createdAt: row.created_at,
    keys: keys
      .filter((key) => key.caller === row.caller)
      .map((key) => ({ id: callerKeyId(key.key_hash), createdAt: key.created_at })),
  }));
}

function parseGroups(groups: readonly string[]): readonly RpcGroup[] {
  const known = [...new Set(groups)].filter(isRpcGroup);
  if (known.length > 0 && known.length === new Set(groups).size) return known;
  throw new CallerAdministrationError(`groups are one or more of ${rpcGroups.join(', ')}`);
}

function requireCaller(found: boolean, name: string): void {
  if (!found) throw new CallerAdministrationError(`there is no caller ${name}`);
}
