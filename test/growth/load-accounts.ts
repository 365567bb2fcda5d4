import { sql } from 'kysely';
import { type Db, unhurried } from '../../src/db/index.js';

/**
 * Fills a migrated, empty database with `count` accounts as sign-up leaves them, each with a profile,
 * settings, a username, an email or a phone, an organization of its own and a session; and, of what passes (codes,
 * guesses, messages, audit, repeated requests), one row for every tenth account. Ids are
 * random, so that neighbours in an index are strangers; `passwordHash` opens every account.
 */
export async function loadAccounts(
  db: Db,
  count: number,
  passwordHash: string,
  progress: (text: string) => void,
): Promise<void> {
  await db.connection().execute(async (connection) => {
    await unhurried(connection);
    for (const [what, statement] of statements(count, passwordHash)) {
      const start = performance.now();
      await sql.raw(statement).execute(connection);
      progress(`${count} accounts: ${what}, ${Math.round((performance.now() - start) / 1000)} s`);
    }
  });
}

function statements(count: number, passwordHash: string): readonly (readonly [string, string])[] {
  const every = (n: number): string => `from people where i % ${n} = 0`;
  return [
    // Nobody else uses the database, and a crash would only mean to load it again.
    ['replica role', `set session_replication_role = replica; set synchronous_commit = off`],
    [
      'people',
      `create unlogged table people as
       select i, gen_random_uuid() as account_id, gen_random_uuid() as organization_id
       from generate_series(1, ${count}) i`,
    ],
    [
      'organizations',
      `insert into organizations (organization_id, name, created_at, updated_at)
       select organization_id, 'organization ' || i, now(), now() from people`,
    ],
    [
      'accounts',
      `insert into accounts (account_id, status, password_hash, last_organization_id, created_at, updated_at)
       select account_id, 'active', '${passwordHash}', organization_id, now(), now() from people`,
    ],
    [
      'profiles',
      `insert into profiles (account_id, display_name) select account_id, 'person ' || i from people`,
    ],
    [
      'settings',
      `insert into account_settings (account_id, locale) select account_id, 'en' from people`,
    ],
    [
      'usernames',
      `insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
       select account_id, 'username', 'loaded' || i, 'verified', true, 'sign_up', now(), now() from people`,
    ],
    [
      'emails and phones',
      `insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
       select account_id, case when i % 2 = 0 then 'email' else 'phone' end,
         case when i % 2 = 0 then 'loaded' || i || '@example.com' else '+8490' || lpad(i::text, 8, '0') end,
         'verified', true, 'code', now(), now() from people`,
    ],
    [
      'roles',
      `insert into role_assignments (role_assignment_id, account_id, role, organization_id, created_at)
       select gen_random_uuid(), account_id, 'owner', organization_id, now() from people`,
    ],
    [
      'sessions',
      `insert into sessions (session_id, account_id, caller, session_epoch, auth_time, amr, organization_id,
         generation, token_hash, idle_expires_at, expires_at, created_at)
       select gen_random_uuid(), account_id, '', 0, now(), '{pwd}', organization_id, 1,
         sha256(account_id::text::bytea), now() + interval '20 days', now() + interval '60 days', now()
       from people`,
    ],
    [
      'challenges',
      `insert into challenges (challenge_id, account_id, purpose, channel, caller, address_subject,
         destination_sealed, code_hash, long_code, proof_epoch, issued_at, expires_at, resend_at)
       select gen_random_uuid(), account_id, 'verify', 'email', '', sha256(i::text::bytea), '\\x00',
         sha256(account_id::text::bytea), false, 0, now(), now() + interval '5 minutes', now()
       ${every(10)}`,
    ],
    [
      'budgets',
      `insert into guess_budgets (subject, channel, lane, failures, locks, window_failures, window_started_at)
       select sha256(i::text::bytea), 'sms', 'session', 1, 0, 1, now() ${every(10)}`,
    ],
    [
      'outbox',
      `insert into outbox (message_id, account_id, kind, channel, locale, state, attempts, due_at, expires_at,
         created_at, finished_at)
       select gen_random_uuid(), account_id, 'verification_code', 'email', 'en', 'sent', 0,
         now() + interval '1 hour', now() + interval '2 hours', now(), now() ${every(10)}`,
    ],
    [
      'audit',
      `insert into audit_events (event_id, occurred_at, kind, action, account_id, caller, request_id, outcome)
       select gen_random_uuid(), now() - (i % 1000) * interval '1 second', 'access', 'SignIn', account_id, '',
         i::text, 'OK' ${every(10)}`,
    ],
    [
      'repeated requests',
      `insert into idempotency_keys (caller, rpc, request_id, request_mac, result, created_at, expires_at)
       select '', 'sign_up', account_id, sha256(i::text::bytea), '{}', now(), now() + interval '1 hour'
       ${every(10)}`,
    ],
    ['the list of people', `drop table people`],
    ['statistics', `analyze`],
    ['hint bits', `vacuum`],
    ['origin role', `set session_replication_role = origin; set synchronous_commit = on`],
  ];
}
