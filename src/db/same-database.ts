import { sql } from 'kysely';
import type { Db } from './database.js';

/**
 * Whether two handles lead to one database: a lock held by the one is seen by the other. Asks for no
 * right that a role may lack, and believes no name, which a copy of the database has too.
 */
export function isSameDatabase(one: Db, other: Db): Promise<boolean> {
  // Without the house's transaction scope, which forbids a second handle, here needed on purpose.
  return one.transaction().execute(async (tx) => {
    // Any key that nobody else holds at this moment; a fixed one would be held by whoever checks too.
    const { rows } = await sql<{ key: number }>`
      with drawn as materialized (select (random() * 1e14)::bigint as key)
      select key, pg_advisory_xact_lock(key) from drawn`.execute(tx);
    const seen = await sql<{ free: boolean }>`
      select pg_try_advisory_xact_lock(${rows[0]?.key}::bigint) as free`.execute(other);
    return seen.rows[0]?.free === false;
  });
}
