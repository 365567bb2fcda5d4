import type { QueryResult } from 'kysely';

export interface StatementResult<R> extends QueryResult<R> {
  /** First word of PostgreSQL's command tag: `SELECT`, `COMMIT`. */
  readonly command: string;
}

const COUNTED = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

/** The one shape in which both drivers answer. */
export function statementResult<R>(
  command: string | undefined,
  rowCount: number | null | undefined,
  rows: readonly unknown[] | undefined,
): StatementResult<R> {
  return {
    command: command ?? '',
    rows: (rows ?? []) as R[],
    ...(COUNTED.has(command ?? '') ? { numAffectedRows: BigInt(rowCount ?? 0) } : {}),
  };
}

/**
 * PostgreSQL answers `commit` with `ROLLBACK`, and no error, when a statement of the transaction has
 * failed and somebody swallowed that error.
 */
export function requireCommitted(result: StatementResult<unknown>): void {
  if (result.command !== 'COMMIT') {
    throw new Error('nothing was committed: a statement failed inside the transaction');
  }
}
