import { sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { KEY_BYTES, type KeyRing, SEAL_NONCE_BYTES, seal, unseal } from '../core/keys.js';
import { type Db, sqlNow } from '../db/index.js';

const NAME = 'guess-budget';

/**
 * The secret that keys the address rows of the guess budgets. Made once by whichever process comes
 * first and kept, sealed, in the database: it must be the same for every replica and never rotate,
 * since a new one would lift every lock. Rejects where DATA_KEYS does not open it.
 */
export async function loadBudgetSecret(
  db: Db,
  deps: { readonly dataKeys: KeyRing; readonly random: Random; readonly clock: Clock },
): Promise<Buffer> {
  const context = `secret:${NAME}`;
  const fresh = seal(deps.dataKeys, deps.random.bytes(SEAL_NONCE_BYTES), context, deps.random.bytes(KEY_BYTES));
  await sql`insert into secrets (name, sealed, created_at)
    values (${NAME}, ${fresh}::bytea, ${sqlNow(deps.clock)}) on conflict (name) do nothing`.execute(db);
  const { rows } = await sql<{ sealed: Buffer }>`select sealed from secrets where name = ${NAME}`.execute(db);
  const stored = rows[0];
  if (stored === undefined) throw new Error('the guess-budget secret has been deleted under our feet');
  return unseal(deps.dataKeys, context, stored.sealed);
}
