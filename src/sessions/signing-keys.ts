import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import type { KeyRing } from '../core/keys.js';
import type { Logger } from '../core/logger.js';
import type { Db } from '../db/index.js';
import { repeat } from './repeat.js';
import { PUBLICATION_LEAD_SECONDS } from './rotate-signing-keys.js';
import {
  generateSigningKey,
  openSigningKey,
  type SigningKey,
  signingKeySeals,
} from './signing-key.js';
import { insertFirstSigningKey, selectSigningKeys } from './signing-key-store.js';

export interface SigningKeysDeps {
  readonly db: Db;
  /** TOKEN_KEYS. */
  readonly tokenKeys: KeyRing;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** How often the keys are read anew. */
  readonly reloadMs?: number;
}

/** The keys of access tokens, as all replicas share them. Answers from memory. */
export interface SigningKeys extends AsyncDisposable {
  /** The one that signs, as far as this process knows. */
  current(): SigningKey;
  /**
   * The same, to sign with. What was published since the keys were last read does not sign before its
   * lead is over; who knows them from longer ago reads them first, lest a retired key should sign.
   * Rejects where that fails.
   */
  signer(): Promise<SigningKey>;
  find(kid: string): SigningKey | undefined;
  /** JWK Set of all that are not retired; public parts only. */
  jwks(): string;
  /** Reads the keys again now. Rejects, and keeps what it had, where that fails. */
  reload(): Promise<void>;
}

interface Loaded {
  readonly readAtMs: number;
  /** The newest first; the last one signs already. */
  readonly signers: readonly Signer[];
  readonly byKid: ReadonlyMap<string, SigningKey>;
  readonly jwks: string;
}

/** A key, and from when on it signs, by the process's own clock. */
interface Signer {
  readonly key: SigningKey;
  readonly fromMs: number;
}

/** `PUBLICATION_LEAD_SECONDS` counts on it. */
const RELOAD_MS = 30_000;

/**
 * Loads the keys, and makes the first one where there is none. Rejects when a key cannot be opened
 * with the configured TOKEN_KEYS: a replica that cannot verify what the others sign must not start.
 */
export async function createSigningKeys(deps: SigningKeysDeps): Promise<SigningKeys> {
  const { db, clock, random, log } = deps;
  const sealingKeys = signingKeySeals(deps.tokenKeys);
  const load = async (known?: Loaded): Promise<Loaded | undefined> => {
    const rows = await selectSigningKeys(db, clock);
    const nowMs = clock.now().getTime();
    const byKid = new Map<string, SigningKey>();
    const signers: Signer[] = [];
    for (const row of rows) {
      const stored = { kid: row.kid, privateSealed: row.private_sealed };
      const key = known?.byKid.get(row.kid) ?? (await openSigningKey(sealingKeys, stored));
      byKid.set(key.kid, key);
      signers.push({
        key,
        fromMs: row.active_in_ms <= 0 ? Number.NEGATIVE_INFINITY : nowMs + row.active_in_ms,
      });
    }
    if (!signers.some(({ fromMs }) => fromMs <= nowMs)) return undefined;
    const jwks = JSON.stringify({ keys: [...byKid.values()].map(({ publicJwk }) => publicJwk) });
    return { readAtMs: nowMs, signers, byKid, jwks };
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
  // By the clock, and not at the next reload: all processes change over together, and one that
  // cannot read the keys for a while does too.
  const current = (): SigningKey => {
    const nowMs = clock.now().getTime();
    const signer = loaded.signers.find(({ fromMs }) => fromMs <= nowMs);
    if (signer === undefined) throw new Error('no signing key is active');
    return signer.key;
  };
  /** Many may sign at once: one reads for all of them. */
  let rereading: Promise<void> | undefined;
  return {
    current,
    async signer() {
      if (clock.now().getTime() - loaded.readAtMs > PUBLICATION_LEAD_SECONDS * 1_000) {
        rereading ??= reload().finally(() => {
          rereading = undefined;
        });
        await rereading;
      }
      return current();
    },
    find: (kid) => loaded.byKid.get(kid),
    jwks: () => loaded.jwks,
    reload,
    [Symbol.asyncDispose]: () => loop[Symbol.asyncDispose](),
  };
}
