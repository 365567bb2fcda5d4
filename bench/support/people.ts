/** Accounts by the thousand, without thousands of hashes: rows as a sign-up leaves them. */
import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { keyRing } from '../../src/core/keys.js';
import { openDatabase } from '../../src/db/index.js';
import {
  createAccessTokens,
  createRefreshTokens,
  createSigningKeys,
} from '../../src/sessions/index.js';
import { loadRows } from '../../test/plans/load-rows.js';
import { hashPassword } from './password.js';
import type { Subject } from './subject.js';

export { PASSWORD } from './password.js';

export interface SeededPerson {
  readonly accountId: string;
  readonly username: string;
  /** A valid number that is not on the account yet, and nobody else's. */
  readonly phone: string;
  /** Good for 15 minutes, and for 10 to begin what needs a recent sign-in. */
  readonly accessToken: string;
  readonly refreshToken: string;
}

const log = { debug() {}, info() {}, warn() {}, error() {} };
const ISSUER = 'countersign';
const ACCESS_TOKEN_SECONDS = 900;
/** In every table that grows: those of a service that has run for a while. */
export const PAST_ROWS = 20_000;

/** `count` people with a username, the common `PASSWORD`, an organization of their own and a session. */
export async function seedPeople(
  subject: Pick<Subject, 'databaseUrl' | 'tokenKey' | 'callerName'>,
  count: number,
  pastRows = PAST_ROWS,
): Promise<readonly SeededPerson[]> {
  const url = subject.databaseUrl;
  if (url === undefined) throw new Error('people are seeded on PostgreSQL only');
  await using database = await openDatabase({ url }, { log });
  const parts = {
    tokenKeys: keyRing([subject.tokenKey]),
    clock: systemClock,
    random: systemRandom,
  };
  await using keys = await createSigningKeys({ ...parts, db: database.db, log });
  const ended = { has: () => false };
  const accessTokens = createAccessTokens({
    ...parts,
    keys,
    ended,
    issuer: ISSUER,
    audience: ISSUER,
    ttlSeconds: ACCESS_TOKEN_SECONDS,
  });
  const refreshTokens = createRefreshTokens(parts);
  const caller = subject.callerName;
  const batch = randomBytes(3).toString('hex');
  const people = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const [accountId, sessionId, organizationId] = [randomUUID(), randomUUID(), randomUUID()];
      const refresh = refreshTokens.first(sessionId, caller);
      const accessToken = await accessTokens.issue({
        accountId,
        sessionId,
        caller,
        authTime: systemClock.now(),
        amr: ['pwd'],
        scope: { organizationId },
        grants: [{ role: 'owner' }],
        platformRoles: [],
      });
      const username = `p${batch}${i}`;
      return {
        person: {
          accountId,
          username,
          phone: phoneNumber(i),
          accessToken,
          refreshToken: refresh.token,
        },
        row: { accountId, sessionId, organizationId, username, tokenHash: refresh.hash },
      };
    }),
  );
  // On empty tables PostgreSQL would plan for empty tables, and keep those plans while they fill.
  await loadRows(database.db, pastRows);
  await insertPeople(
    url,
    caller,
    people.map(({ row }) => row),
  );
  return people.map(({ person }) => person);
}

/** Gives each of them the number as if they had proven it: it signs in and recovers. */
export async function proveNumbers(
  url: string,
  people: readonly Pick<SeededPerson, 'accountId' | 'phone'>[],
): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(
      `insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
        select account_id, 'phone', phone, 'verified', true, 'code', now(), now()
        from unnest($1::uuid[], $2::text[]) as people (account_id, phone)`,
      [people.map(({ accountId }) => accountId), people.map(({ phone }) => phone)],
    );
    await client.query('vacuum analyze');
  } finally {
    await client.end();
  }
}

/** Vietnamese mobile numbers, apart from each other within one database. */
function phoneNumber(i: number): string {
  return `+8491${String(1_000_000 + i).padStart(7, '0')}`;
}

interface PersonRow {
  readonly accountId: string;
  readonly sessionId: string;
  readonly organizationId: string;
  readonly username: string;
  readonly tokenHash: Buffer;
}

const COLUMNS = `select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bytea[])
  as people (account_id, session_id, organization_id, username, token_hash)`;

async function insertPeople(
  url: string,
  caller: string,
  rows: readonly PersonRow[],
): Promise<void> {
  const password = await hashPassword();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('begin');
    await client.query(`create temp table people on commit drop as ${COLUMNS}`, [
      rows.map((row) => row.accountId),
      rows.map((row) => row.sessionId),
      rows.map((row) => row.organizationId),
      rows.map((row) => row.username),
      rows.map((row) => row.tokenHash),
    ]);
    for (const statement of statements(password, caller)) await client.query(statement);
    await client.query('commit');
    await client.query('vacuum analyze');
  } finally {
    await client.end();
  }
}

function statements(password: string, caller: string): readonly string[] {
  const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  return [
    `insert into organizations (organization_id, name, created_at, updated_at)
      select organization_id, username, now(), now() from people`,
    `insert into accounts (account_id, status, password_hash, last_organization_id, audit_key, created_at, updated_at)
      select account_id, 'active', ${quoted(password)}, organization_id, sha256(uuid_send(gen_random_uuid())), now(), now()
      from people`,
    `insert into profiles (account_id, display_name) select account_id, username from people`,
    `insert into account_settings (account_id, locale) select account_id, 'en' from people`,
    `insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
      select account_id, 'username', username, 'verified', true, 'sign_up', now(), now() from people`,
    `insert into role_assignments (role_assignment_id, account_id, role, organization_id, created_at)
      select gen_random_uuid(), account_id, 'owner', organization_id, now() from people`,
    `insert into sessions (session_id, account_id, caller, session_epoch, auth_time, amr, organization_id, generation,
        token_hash, idle_expires_at, expires_at, created_at)
      select session_id, account_id, ${quoted(caller)}, 0, now(), '{pwd}', organization_id, 0, token_hash,
        now() + interval '30 days', now() + interval '90 days', now() from people`,
  ];
}
