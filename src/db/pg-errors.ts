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
  /^(08...|57P0[1-5]|53300|ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/;

/** The database is away, or going: the same call may succeed later. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof DatabaseUnavailableError) return true;
  const code = field(error, 'code');
  // No such socket. From any other call it is a file that is missing, and no matter of the database.
  if (code === 'ENOENT') return field(error, 'syscall') === 'connect';
  return code !== undefined && UNAVAILABLE.test(code);
}

/** The statement was stopped: by its own time limit, by a role's `statement_timeout`, by an operator. */
export function isCancelled(error: unknown): boolean {
  return error instanceof StatementTimeoutError || field(error, 'code') === '57014';
}

/**
 * Why no connection came about, for people: what the server said to whoever knocked, or the system
 * when nobody opened. Undefined for any other failure.
 */
export function connectionRefusal(error: unknown): string | undefined {
  const refused: Readonly<Record<string, string>> = {
    '3D000': 'there is no database of that name: create it first (createdb)',
    '28000': 'the server does not let this role in: check its name, password and pg_hba.conf',
    '28P01': 'the server refused the role or its password',
    ECONNREFUSED: 'connection refused: no server listens there',
    ENOENT: 'no server listens on that socket',
    ENOTFOUND: 'its host is not known',
    EAI_AGAIN: 'its host cannot be looked up',
  };
  const cause = error instanceof DatabaseUnavailableError ? error.cause : error;
  const code = field(cause, 'code') ?? '';
  if (Object.hasOwn(refused, code) && (isServerError(cause) || isUnavailable(cause))) {
    return refused[code];
  }
  if (!isUnavailable(error)) return undefined;
  return cause instanceof Error ? cause.message : 'no connection in time';
}

/** An answer of the server itself, as against a failure on the way. */
export function isServerError(error: unknown): error is Error {
  return error instanceof Error && field(error, 'severity') !== undefined;
}

/**
 * Why a prepared statement could not be used; undefined: that was not the reason. `stale`: a migration
 * has changed what it returns since. `lost`: a pooler gave us a server connection that does not know
 * it, or that knows it from somebody else.
 */
export function spoiltPlan(error: unknown): 'stale' | 'lost' | undefined {
  const code = field(error, 'code');
  if (code === '0A000') return 'stale';
  return code === '26000' || code === '42P05' ? 'lost' : undefined;
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

function field(
  error: unknown,
  name: 'code' | 'constraint' | 'severity' | 'syscall',
): string | undefined {
  if (typeof error !== 'object' || error === null || !(name in error)) return undefined;
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : undefined;
}
