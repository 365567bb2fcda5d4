import { sql } from 'kysely';
import type { IdentifierType } from '../core/contact.js';
import type { Logger } from '../core/logger.js';
import type { Db } from '../db/index.js';

/** The unique indexes that make an address one account's, as PostgreSQL spells them. */
const GUARDS: ReadonlyMap<string, string> = new Map([
  [
    'identifiers_holder',
    "(type, value) WHERE (state = ANY (ARRAY['verified'::text, 'lapsed'::text]))",
  ],
  ['identifiers_handle', '(type, value) WHERE sign_in_enabled'],
]);

export interface HandleCheck {
  /** Indexes that are missing, not valid, or not what they must be. */
  readonly missing: readonly string[];
  /** What nobody signs in by while one is. */
  readonly closed: ReadonlySet<IdentifierType>;
}

/**
 * Looks, once at the start, whether the database itself still keeps two accounts from one handle. Without that
 * a code could open another person's account, so that nobody signs in by an email or a phone; a username is
 * nobody's address, and goes on (docs/decisions/0024-handle-check.md). One trip.
 */
export async function checkHandles(db: Db, log: Logger): Promise<HandleCheck> {
  const { rows } = await sql<{ name: string; definition: string }>`
    select c.relname as name, pg_get_indexdef(i.indexrelid) as definition
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = 'identifiers'::regclass and i.indisunique and i.indisvalid and i.indisready`.execute(
    db,
  );
  const found = new Map(rows.map(({ name, definition }) => [name, definition]));
  const missing = [...GUARDS]
    .filter(([name, columns]) => found.get(name)?.endsWith(` USING btree ${columns}`) !== true)
    .map(([name]) => name);
  if (missing.length > 0) {
    log.warn({ missing }, 'nobody signs in by email or phone: a unique index is missing');
  }
  return { missing, closed: new Set(missing.length > 0 ? ['email', 'phone'] : []) };
}
