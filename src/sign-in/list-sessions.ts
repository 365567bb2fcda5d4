import { sql } from 'kysely';
import { liveSession } from '../accounts/index.js';
import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { KeyRing } from '../core/keys.js';
import { type PageDeps, readPageToken, writePageToken } from '../core/page.js';
import { clockCte, type Db, statementNow, untilAborted } from '../db/index.js';
import {
  accessTokenInvalid,
  type ListedSessionRow,
  openClient,
  type SessionClient,
  type SessionPlace,
  selectLiveSessions,
} from '../sessions/index.js';

export interface ListSessionsDeps extends PageDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly clientKeys: KeyRing;
}

export interface ListSessionsInput {
  /** As `parsePageSize` gives it. */
  readonly pageSize: number;
  readonly pageToken: string | undefined;
}

export interface ListedSession {
  readonly sessionId: string;
  readonly createdAt: Date;
  /** When its tokens were last refreshed; the sign-in counts. */
  readonly lastUsedAt: Date;
  readonly expiresAt: Date;
  readonly caller: string;
  readonly client: SessionClient;
  readonly amr: readonly string[];
  /** The session that asks. */
  readonly current: boolean;
}

export interface SessionPage {
  readonly sessions: readonly ListedSession[];
  /** Undefined: there are no more. */
  readonly nextPageToken: string | undefined;
}

/**
 * The live sessions of the signed-in person's account, the youngest sign-in first. One PostgreSQL trip.
 *
 * Throws `FIELD_INVALID` (a page token that is not one of this account's list) and `ACCESS_TOKEN_INVALID`
 * (the session has ended).
 */
export async function listSessions(
  deps: ListSessionsDeps,
  call: PersonCall,
  { pageSize, pageToken }: ListSessionsInput,
): Promise<SessionPage> {
  const list = `sessions:${call.person.accountId}`;
  const after = pageToken === undefined ? undefined : placeOf(deps, list, pageToken);
  // One more than the page has: whether there is another.
  const rows = await readSessions(deps, call, { after, limit: pageSize + 1 });
  if (rows === undefined) throw accessTokenInvalid();
  const page = rows.slice(0, pageSize);
  const last = rows.length > pageSize ? page.at(-1) : undefined;
  return {
    sessions: page.map((row) => toSession(deps, call, row)),
    nextPageToken: last && writePageToken(deps, list, [last.place, last.session_id]),
  };
}

function placeOf(deps: ListSessionsDeps, list: string, token: string): SessionPlace {
  const [createdAt = '', sessionId = ''] = readPageToken(deps, list, 'page_token', token);
  return { createdAt, sessionId };
}

/** Undefined: the session that asks has ended. */
async function readSessions(
  deps: ListSessionsDeps,
  call: PersonCall,
  page: { readonly after: SessionPlace | undefined; readonly limit: number },
): Promise<readonly ListedSessionRow[] | undefined> {
  const { rows } = await sql<ListedSessionRow | { readonly session_id: null }>`
    with ${clockCte(deps.clock)},
    person as materialized (
      select a.account_id, a.session_epoch from accounts a where ${liveSession(statementNow, call.person)}
    )
    select l.* from person
    left join lateral (${selectLiveSessions(statementNow, sql`person`, page)}) l on true
    order by l.created_at desc, l.session_id desc`.execute(untilAborted(call.signal, deps.db));
  if (rows.length === 0) return undefined;
  return rows.filter((row) => row.session_id !== null);
}

function toSession(
  deps: ListSessionsDeps,
  { person }: PersonCall,
  row: ListedSessionRow,
): ListedSession {
  return {
    sessionId: row.session_id,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    expiresAt: row.expires_at,
    caller: row.caller,
    client: openClient(deps, row.session_id, row.client_sealed),
    amr: row.amr,
    current: row.session_id === person.sessionId,
  };
}
