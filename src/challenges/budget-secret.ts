import { sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import {
  isSealedUnderCurrent,
  KEY_BYTES,
  type KeyRing,
  SEAL_NONCE_BYTES,
  seal,
  unseal,
} from '../core/keys.js';
import { type Db, sqlNow } from '../db/index.js';

const NAME = 'guess-budget';

/**
 * The secret that keys the address rows of the guess budgets. Made once by whichever process comes
 * first and kept, sealed, in the database: it must be the same for every replica and never rotate,
 * since a new one would lift every lock. After a rotation of DATA_KEYS it is sealed anew under the
 * current key, so that the old one can go. Rejects where no key of DATA_KEYS opens it.
 */
export async function loadBudgetSecret(
  db: Db,
  deps: { readonly dataKeys: KeyRing; readonly random: Random; readonly clock: Clock },
): Promise<Buffer> {
  const context = `secret:${NAME}`;
  const fresh = seal(
    deps.dataKeys,
    deps.random.nonce(SEAL_NONCE_BYTES),
    context,
    deps.random.bytes(KEY_BYTES),
  );
  await sql`insert into secrets (name, sealed, created_at)
    values (${NAME}, ${fresh}::bytea, ${sqlNow(deps.clock)}) on conflict (name) do nothing`.execute(
    db,
  );
  const { rows } = await sql<{
    sealed: Buffer;
  }>`select sealed from secrets where name = ${NAME}`.execute(db);
  const stored = rows[0];
  if (stored === undefined)
    throw new Error('the guess-budget secret has been deleted under our feet');
  const secret = unseal(deps.dataKeys, context, stored.sealed);
  if (!isSealedUnderCurrent(deps.dataKeys, stored.sealed)) {
    const again = seal(deps.dataKeys, deps.random.nonce(SEAL_NONCE_BYTES), context, secret);
    await sql`update secrets set sealed = ${again}::bytea where name = ${NAME}`.execute(db);
  }
  return secret;
}
