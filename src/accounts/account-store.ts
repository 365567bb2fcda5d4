import { type RawBuilder, sql } from 'kysely';
import type { Person } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Locale } from '../core/contact.js';
import { clockCte, type StatementTarget, sqlNow, statementNow } from '../db/index.js';
import type { PasswordHash } from '../passwords/index.js';
import { sessionIsAlive } from '../sessions/index.js';
import type { Account, AccountStatus } from './account.js';
import {
  type Identifier,
  type IdentifierState,
  RECENT_AUTHENTICATION_SECONDS,
} from './identifier.js';

/**
 * Condition on an account `a`: it is active and the person's session still lives. Every signed-in
 * statement carries it, because an access token outlives the end of its session by minutes and its
 * power must not (rule 16).
 */
export function liveSession(now: RawBuilder<Date>, person: Person): RawBuilder<boolean> {
  return sql<boolean>`(a.account_id = ${person.accountId}::uuid and a.status = 'active' and exists (
    select from sessions s where s.session_id = ${person.sessionId}::uuid and s.account_id = a.account_id
      and ${sessionIsAlive(now, sql`s`, sql`a.session_epoch`)}))`;
}

/** Condition on an account `a`: it is this one. */
export const isAccount = (accountId: string): RawBuilder<boolean> =>
  sql<boolean>`a.account_id = ${accountId}::uuid`;

/** Whether the person authenticated lately enough to start a change of the ways in (rule 12). */
export function authenticatedLately(now: RawBuilder<Date>, person: Person): RawBuilder<boolean> {
  return sql<boolean>`(${person.authTime}::timestamptz >
    ${now} - make_interval(secs => ${RECENT_AUTHENTICATION_SECONDS}::float8))`;
}

/** Whether the session still lives; for the rare answer that must say so. One trip. */
export async function isSignedIn(
  db: StatementTarget,
  clock: Clock,
  person: Person,
): Promise<boolean> {
  const { rows } =
    await sql`select from accounts a where ${liveSession(sqlNow(clock), person)}`.execute(db);
  return rows.length > 0;
}

/** The proof epoch of a challenge `c`'s account; null where the account may not prove anything now. */
export function proofEpochOf(
  now: RawBuilder<Date>,
  person: Person | undefined,
): RawBuilder<number | null> {
  const alive = person === undefined ? sql`a.status = 'active'` : liveSession(now, person);
  return sql<number | null>`(select a.proof_epoch from accounts a
    where a.account_id = c.account_id and ${alive})`;
}

export interface NewAccount {
  readonly accountId: string;
  /** Undefined: it is entered by codes alone, until a recovery sets one. */
  readonly password: PasswordHash | undefined;
  readonly auditKey: Buffer;
  readonly organizationId: string;
  readonly displayName: string;
  readonly locale: Locale | undefined;
}

/** CTE bodies of a new account, its profile and its settings; each inserts only if `from` has a row. */
export function insertAccount(
  now: RawBuilder<Date>,
  account: NewAccount,
  from: RawBuilder<unknown>,
): { account: RawBuilder<unknown>; profile: RawBuilder<unknown>; settings: RawBuilder<unknown> } {
  const id = sql`${account.accountId}::uuid`;
  return {
    account: sql`
      insert into accounts (account_id, status, password_hash, password_pepper, last_organization_id,
        audit_key, created_at, updated_at)
      select ${id}, 'active', ${account.password?.hash ?? null}::text, ${account.password?.pepper ?? null}::text,
        ${account.organizationId}::uuid, ${account.auditKey}::bytea, ${now}, ${now}
      from ${from}
      returning account_id, proof_epoch, session_epoch, created_at`,
    profile: sql`insert into profiles (account_id, display_name)
      select ${id}, ${account.displayName}::text from ${from}`,
    settings: sql`insert into account_settings (account_id, locale)
      select ${id}, ${account.locale ?? null}::text from ${from}`,
  };
}

interface AccountRow {
  account_id: string;
  status: AccountStatus;
  display_name: string;
  locale: Locale | null;
  revision: number;
  created_at: Date;
  updated_at: Date;
  identifiers: IdentifierJson[];
}

interface IdentifierJson {
  type: Identifier['type'];
  value: string;
  state: IdentifierState;
  verified_at: string | null;
  sign_in_enabled: boolean;
  generated: boolean;
}

/** One trip. Undefined: no such account, or `alive` does not hold. */
export async function readAccount(
  db: StatementTarget,
  clock: Clock,
  which: (now: RawBuilder<Date>) => RawBuilder<boolean>,
): Promise<Account | undefined> {
  const now = statementNow;
  const { rows } = await sql<AccountRow>`
    with ${clockCte(clock)}
    select a.account_id, a.status, p.display_name, l.locale, a.revision, a.created_at, a.updated_at,
      coalesce((
        select jsonb_agg(jsonb_build_object('type', i.type, 'value', i.value, 'state', i.state,
          'verified_at', i.verified_at, 'sign_in_enabled', i.sign_in_enabled,
          'generated', i.proven_by is not distinct from 'generated')
          order by array_position(array['username', 'email', 'phone'], i.type), i.state = 'claimed')
        from identifiers i where i.account_id = a.account_id), '[]') as identifiers
    from accounts a
    join profiles p on p.account_id = a.account_id
    join account_settings l on l.account_id = a.account_id
    where ${which(now)}`.execute(db);
  return rows[0] && toAccount(rows[0]);
}

function toAccount(row: AccountRow): Account {
  return {
    accountId: row.account_id,
    status: row.status,
    displayName: row.display_name,
    locale: row.locale ?? undefined,
    revision: row.revision,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    identifiers: row.identifiers.map((json) => ({
      type: json.type,
      value: json.value,
      state: json.state,
      verifiedAt: json.verified_at === null ? undefined : new Date(json.verified_at),
      signInEnabled: json.sign_in_enabled,
      generated: json.generated,
    })),
  };
}
