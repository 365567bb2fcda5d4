import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { deriveKeyRing, type KeyRing } from '../core/keys.js';
import type { Logger } from '../core/logger.js';
import type { Db } from '../db/index.js';
import { repeat } from './repeat.js';
import { generateSigningKey, openSigningKey, type SigningKey } from './signing-key.js';
import { insertFirstSigningKey, selectSigningKeys } from './signing-key-store.js';

export interface SigningKeysDeps {
  readonly db: Db;
  /** TOKEN_KEYS. */
  readonly tokenKeys: KeyRing;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /**
   * How often the keys are read anew; a key must be published for longer than this before it signs.
   */
  readonly reloadMs?: number;
}

/** The keys of access tokens, as all replicas share them. Answers from memory. */
export interface SigningKeys extends AsyncDisposable {
  /** The one that signs. */
  current(): SigningKey;
  find(kid: string): SigningKey | undefined;
  /** JWK Set of all that are not retired; public parts only. */
  jwks(): string;
  /** Reads the keys again now. Rejects, and keeps what it had, where that fails. */
  reload(): Promise<void>;
}

interface Loaded {
  readonly current: SigningKey;
  readonly byKid: ReadonlyMap<string, SigningKey>;
  readonly jwks: string;
}

const RELOAD_MS = 30_000;

/**
 * Loads the keys, and makes the first one where there is none. Rejects when a key cannot be opened
 * with the configured TOKEN_KEYS: a replica that cannot verify what the others sign must not start.
 */
export async function createSigningKeys(deps: SigningKeysDeps): Promise<SigningKeys> {
  const { db, clock, random, log } = deps;
  const sealingKeys = deriveKeyRing(deps.tokenKeys, 'signing-key');
  const load = async (known?: Loaded): Promise<Loaded | undefined> => {
    const rows = await selectSigningKeys(db, clock);
    const byKid = new Map<string, SigningKey>();
    let current: SigningKey | undefined;
    for (const row of rows) {
      const stored = { kid: row.kid, privateSealed: row.private_sealed };
      const key = known?.byKid.get(row.kid) ?? (await openSigningKey(sealingKeys, stored));
      byKid.set(key.kid, key);
      if (row.active) current ??= key;
    }
    if (current === undefined) return undefined;
    const jwks = JSON.stringify({ keys: [...byKid.values()].map(({ publicJwk }) => publicJwk) });
    return { current, byKid, jwks };
  };
  const ensure = async (): Promise<Loaded> => {
    const found = await load();
    if (found !== undefined) return found;
    await insertFirstSigningKey(db, clock, await generateSigningKey(sealingKeys, random));
    const made = await load();
    if (made === undefined) throw new Error('no signing key is active');
    return made;
  };

  let loaded = await ensure();
  const reload = async (): Promise<void> => {
    const next = await load(loaded);
    if (next === undefined) throw new Error('no signing key is active');
    loaded = next;
  };
  const loop = repeat(deps.reloadMs ?? RELOAD_MS, () =>
    reload().catch((error: unknown) => {
      log.error(
        { err: error },
        'signing keys could not be read again; the last known ones stay in use',
      );
    }),
  );
  return {
    current: () => loaded.current,
    find: (kid) => loaded.byKid.get(kid),
    jwks: () => loaded.jwks,
    reload,
    [Symbol.asyncDispose]: () => loop[Symbol.asyncDispose](),
  };
}
