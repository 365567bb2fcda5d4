import type { KyselyPlugin } from 'kysely';
import type { TestDatabase } from '../support/databases.js';

export interface WatchedDatabase {
  readonly database: TestDatabase;
  /** Statements that calls have made since the last `reset`, without those of workers and writers. */
  statements(): readonly string[];
  reset(): void;
  /** The next statement of a call that fits is refused, as by a fault that nobody thought of. */
  failNext(fits: RegExp, error: Error): void;
}

/** What runs beside the calls, on its own account. */
const BACKGROUND = [
  /e\."eventId", e\."occurredAt"/,
  /account_id as "accountId", audit_key/,
  /^\s*with (?:moment|failed|old|dead|overdue|stretch) as/,
  // The sweeps: no call's statement begins with a deletion.
  /^\s*delete from/,
  /to_regclass\('audit_events_/,
  /pg_advisory_xact_lock|^\s*set local |from audit_events_default|^\s*create table/,
  /^\s*update outbox/,
  /select created_at from outbox where state = 'queued'/,
  /join callers c using/,
  /(?:ended_at|raised_at)::text as/,
  /from signing_keys/,
  /^\s*select 1\s*$/,
  // What the sender asks at the moment of sending: the flow, its code, its note.
  /c\.code_hash from challenges c/,
  /issued as \(\s*update challenges/,
  /^\s*insert into notices as n/,
];

export function isBackground(statement: string): boolean {
  return BACKGROUND.some((pattern) => pattern.test(statement));
}

/** A database handle that tells which statements calls made. */
export function watchDatabase(database: TestDatabase): WatchedDatabase {
  let made: string[] = [];
  let fault: { readonly fits: RegExp; readonly error: Error } | undefined;
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => {
      const text = isRaw(node) ? rawText(node) : node.kind;
      if (isBackground(text)) return node;
      made.push(text);
      if (fault?.fits.test(text) === true) {
        const { error } = fault;
        fault = undefined;
        throw error;
      }
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  return {
    database: { ...database, db: database.db.withPlugin(plugin) },
    statements: () => made,
    reset: () => {
      made = [];
    },
    failNext: (fits, error) => {
      fault = { fits, error };
    },
  };
}

interface RawLike {
  readonly sqlFragments: readonly string[];
  readonly parameters: readonly object[];
}

/** The text of a statement, its nested parts in place and `?` for its values. */
function rawText(node: RawLike): string {
  return node.sqlFragments
    .map((fragment, index) => {
      const inner = node.parameters[index];
      if (inner === undefined) return fragment;
      return fragment + (isRaw(inner) ? rawText(inner) : '?');
    })
    .join('');
}

function isRaw(node: object): node is RawLike {
  return 'sqlFragments' in node && 'parameters' in node;
}
