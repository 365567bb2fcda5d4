import { sql } from 'kysely';
import type { Db } from '../../src/db/index.js';

/**
 * How many rows each table has. Of the audit only what tells of changes: that a call was made and
 * refused is an access event, and meant to be written.
 */
export async function rowCounts(db: Db): Promise<Readonly<Record<string, number>>> {
  const tables = await sql<{ name: string }>`
    select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition order by 1`.execute(
    db,
  );
  const parts = tables.rows.map(
    ({ name }) => sql`select ${sql.lit(name)} as name, count(*)::int as rows from ${sql.table(name)}
      ${name === 'audit_events' ? sql`where kind = 'change'` : sql``}`,
  );
  const { rows } = await sql<{
    name: string;
    rows: number;
  }>`${sql.join(parts, sql` union all `)}`.execute(db);
  return Object.fromEntries(rows.map((row) => [row.name, row.rows]));
}

/** What grew between two counts. */
export function grown(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, rows]): [string, number] => [name, rows - (before[name] ?? 0)])
      .filter(([, difference]) => difference !== 0),
  );
}
