import { createHash } from 'node:crypto';
import type { Logger } from '../core/logger.js';

/** Under which name a statement is prepared on every connection. */
export interface StatementNames {
  /** Undefined: the statement is not prepared. */
  of(text: string): string | undefined;
  /** The server has no use for the name (any more): from here on the statement has none. */
  spoilt(text: string, kind: 'stale' | 'lost'): void;
}

/** A server keeps every prepared statement for the life of a connection, so their number is bounded. */
const MAX_PREPARED = 500;

export const noStatementNames: StatementNames = { of: () => undefined, spoilt() {} };

/**
 * Names by hash of the text, so that a name never stands for two texts: behind a pooler that mixes
 * connections up, the worst is a failure, and never somebody else's statement.
 */
export function createStatementNames(log: Logger): StatementNames {
  const names = new Map<string, string | undefined>();
  let kept = true;
  return {
    of(text) {
      if (!kept) return undefined;
      if (names.has(text) || names.size >= MAX_PREPARED) return names.get(text);
      const name = `cs_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
      names.set(text, name);
      return name;
    },
    spoilt(text, kind) {
      // A migration has changed what it returns. Not prepared anew: a pooler knows statements by their
      // text and would find the old one again, and a build older than the schema goes soon.
      names.set(text, undefined);
      if (kind === 'stale' || !kept) return;
      kept = false;
      log.error(
        { setting: 'DATABASE_PREPARED_STATEMENTS' },
        'prepared statements are lost on the way to the database: a pooler does not keep them. Set DATABASE_PREPARED_STATEMENTS=off, or max_prepared_statements of PgBouncer 1.21 or later; this process goes on without them',
      );
    },
  };
}
