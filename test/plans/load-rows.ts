import { sql } from 'kysely';
import { type Db, unhurried } from '../../src/db/index.js';

/** Tables that grow with use: no hot statement may read one of them from end to end. */
export const GROWING_TABLES = [
  'accounts',
  'account_settings',
  'audit_events',
  'challenges',
  'guess_budgets',
  'idempotency_keys',
  'identifiers',
  'organizations',
  'outbox',
  'profiles',
  'role_assignments',
  'sessions',
] as const;

/**
 * Fills every growing table with `count` rows or more, in the shape of a service that has run for a
 * while: most sessions alive, most challenges and messages of the past, few of anything overdue.
 */
export async function loadRows(db: Db, count: number): Promise<void> {
  await db.connection().execute(async (connection) => {
    await unhurried(connection);
    for (const statement of statements(count)) await sql.raw(statement).execute(connection);
  });
}

function statements(count: number): readonly string[] {
  const spread = (per: string): string => `now() - (i % 1000) * interval '1 second' * ${per}`;
  return [
    // Neither foreign keys row by row nor a flush per commit: what counts is what is there at the end.
    `set session_replication_role = replica`,
    `set synchronous_commit = off`,
    `create temp table people as
      select i, gen_random_uuid() as account_id, gen_random_uuid() as organization_id
      from generate_series(1, ${count}) i`,
    `insert into organizations (organization_id, name, created_at, updated_at)
      select organization_id, 'organization ' || i, now(), now() from people`,
    `insert into accounts (account_id, status, password_hash, last_organization_id, created_at, updated_at)
      select account_id, 'active', 'loaded', organization_id, now(), now() from people`,
    `insert into profiles (account_id, display_name) select account_id, 'person ' || i from people`,
    `insert into account_settings (account_id, locale) select account_id, 'en' from people`,
    `insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
      select account_id, 'username', 'loaded' || i, 'verified', true, 'sign_up', now(), now() from people`,
    `insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
      select account_id, 'email', 'loaded' || i || '@example.com', 'verified', true, 'code', now(), now()
      from people where i % 2 = 0`,
    `insert into identifiers (account_id, type, value, state, sign_in_enabled, claim_expires_at, created_at)
      select account_id, 'phone', '+8490' || lpad((i % 9999999)::text, 7, '0'), 'claimed', false,
        now() + interval '1 day' + i % 500 * interval '1 minute', now()
      from people where i % 2 = 1`,
    `insert into role_assignments (role_assignment_id, account_id, role, organization_id, created_at)
      select gen_random_uuid(), account_id, 'owner', organization_id, now() from people`,
    `insert into sessions (session_id, account_id, caller, session_epoch, auth_time, amr, organization_id,
        generation, token_hash, idle_expires_at, expires_at, created_at, ended_at, end_reason)
      select gen_random_uuid(), account_id, '', 0, now(), '{pwd}', organization_id, 1, sha256(account_id::text::bytea),
        now() + interval '20 days', now() + interval '60 days', now(),
        case when i % 50 = 0 then ${spread('600')} end, case when i % 50 = 0 then 'signed_out' end
      from people`,
    `insert into challenges (challenge_id, account_id, purpose, channel, caller, address_subject, destination_sealed,
        code_hash, long_code, proof_epoch, issued_at, expires_at, resend_at, used_at)
      select gen_random_uuid(), account_id, 'verify', case when i % 2 = 0 then 'email' else 'sms' end, '',
        sha256(i::text::bytea), '\\x00', sha256(account_id::text::bytea), false, 0, ${spread('60')},
        ${spread('60')} + interval '5 minutes', ${spread('60')}, case when i % 2 = 0 then now() end
      from people`,
    `insert into guess_budgets (subject, channel, lane, failures, locks, window_failures, window_started_at)
      select sha256(i::text::bytea), 'sms', 'session', 1, 0, 1, now() from people`,
    `insert into outbox (message_id, account_id, kind, channel, locale, payload_sealed, state, attempts, due_at,
        expires_at, created_at, finished_at)
      select gen_random_uuid(), account_id, 'verification_code', case when i % 2 = 0 then 'email' else 'sms' end, 'en',
        case when i % 500 = 0 then '\\x00'::bytea end, case when i % 500 = 0 then 'queued' else 'sent' end, 0,
        now() + interval '1 hour', now() + interval '2 hours', now(), case when i % 500 <> 0 then ${spread('500')} end
      from people`,
    `insert into audit_events (event_id, occurred_at, kind, action, account_id, caller, request_id, outcome)
      select gen_random_uuid(), ${spread('1')}, 'access', 'SignIn', account_id, '', i::text, 'OK' from people`,
    `insert into idempotency_keys (caller, rpc, request_id, request_mac, result, created_at, expires_at)
      select '', 'sign_up', account_id, sha256(i::text::bytea), '{}', now(), now() + interval '1 hour' from people`,
    `drop table people`,
    `set session_replication_role = origin`,
    `set synchronous_commit = on`,
    `analyze`,
  ];
}
