/**
 * What the house wants to know about a failed statement. Errors of both drivers carry PostgreSQL's
 * own fields (`code`, `constraint`), so that nothing here asks which driver it was.
 */

/** The database cannot be reached, or the pool has no connection to give in time. */
export class DatabaseUnavailableError extends Error {
  override readonly name = 'DatabaseUnavailableError';
}

/** A statement took longer than it may. Whether it had an effect is not known. */
export class StatementTimeoutError extends Error {
  override readonly name = 'StatementTimeoutError';
}

/** Name of the unique constraint or index that the statement ran into. */
export function uniqueViolation(error: unknown): string | undefined {
  if (field(error, 'code') !== '23505') return undefined;
  return field(error, 'constraint');
}

/** Connection classes 08 and 57P0x, `too_many_connections`, and what sockets and resolvers say. */
const UNAVAILABLE =
  /^(08...|57P0[1-5]|53300|ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT)$/;

/** The database is away, or going: the same call may succeed later. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof DatabaseUnavailableError) return true;
  const code = field(error, 'code');
  return code !== undefined && UNAVAILABLE.test(code);
}

/** The statement was stopped: by its own time limit, by a role's `statement_timeout`, by an operator. */
export function isCancelled(error: unknown): boolean {
  return error instanceof StatementTimeoutError || field(error, 'code') === '57014';
}

/** An answer of the server itself, as against a failure on the way. */
export function isServerError(error: unknown): error is Error {
  return error instanceof Error && field(error, 'severity') !== undefined;
}

/**
 * The connection prepared the statement before a migration changed what it returns, or a pooler lost
 * it: the connection has to go, a new one prepares anew.
 */
export function isStalePlan(error: unknown): boolean {
  const code = field(error, 'code');
  return code === '0A000' || code === '26000' || code === '42P05';
}

/**
 * Takes away what quotes the statement's values: PostgreSQL repeats the row in `detail` and `where`,
 * the embedded driver attaches all parameters. Errors are logged, and values are addresses (rule 22).
 */
export function withoutValues(error: unknown): unknown {
  if (error instanceof Error) {
    for (const name of ['detail', 'where', 'internalQuery', 'params', 'query', 'queryOptions']) {
      if (name in error) Reflect.deleteProperty(error, name);
    }
  }
  return error;
}

function field(error: unknown, name: 'code' | 'constraint' | 'severity'): string | undefined {
  if (typeof error !== 'object' || error === null || !(name in error)) return undefined;
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : undefined;
}
