import { traced } from '../core/tracing.js';

/** A child span for a statement, where the call is traced. Neither its text nor its values are in it. */
export function tracedStatement<T>(text: string, work: () => Promise<T>): Promise<T> {
  const describe = () => ({
    'db.system.name': 'postgresql',
    'db.query.summary': summaryOf(text),
  });
  return traced('database statement', describe, work);
}

const MAX_TABLES = 6;

/**
 * What a statement does to which tables: `UPDATE guess_budgets, INSERT sessions`, or what it reads
 * where it writes nothing. Read off the text, because one statement is a whole trip and has no name.
 */
export function summaryOf(text: string): string {
  const ctes = new Set(
    [...text.matchAll(/\b(\w+)\s+as\s+(?:not\s+)?(?:materialized\s*)?\(/gi)].map(
      ([, name]) => name,
    ),
  );
  const writes = [...text.matchAll(/\b(insert\s+into|update|delete\s+from)\s+(?!set\b)(\w+)/gi)]
    // Not `for update of i skip locked`.
    .filter(({ index }) => !/\bfor\s+$|\bdo\s+$|\bon\s+$/i.test(text.slice(0, index)))
    .map(([, verb = '', table]) => `${verb.split(/\s/)[0]?.toUpperCase()} ${table}`);
  const reads = [...text.matchAll(/\b(?:from|join)\s+([a-z_]\w*)(?!\w*\s*[.(])/gi)]
    .filter(([, table]) => !ctes.has(table))
    .map(([, table]) => `SELECT ${table}`);
  const parts = [...new Set(writes.length > 0 ? writes : reads)].slice(0, MAX_TABLES);
  return parts.length > 0 ? parts.join(', ') : (/^\s*(\w+)/.exec(text)?.[1] ?? '').toUpperCase();
}
