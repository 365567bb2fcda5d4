import type { Migration } from '../src/db/index.js';

/**
 * The whole data model (docs/architecture.md, "The state model"). Frozen: a later change is a later file.
 *
 * Moments are `timestamptz`, ids are made by the application, and no column has a default for time:
 * every "now" is a parameter of the statement, so that tests can move it.
 */
export const migration: Migration = {
  name: '0001-identity',
  sql: `
create table organizations (
  organization_id uuid primary key,
  name text not null,
  revision integer not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table merchants (
  merchant_id uuid primary key,
  organization_id uuid not null references organizations,
  name text not null,
  revision integer not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (organization_id, merchant_id)
);

create table accounts (
  account_id uuid primary key,
  status text not null check (status in ('active', 'blocked', 'deactivated', 'closed')),
  password_hash text,
  -- name of the pepper in force when the hash was made; null: none
  password_pepper text,
  -- one more kills every live code of the account at once
  proof_epoch integer not null default 0,
  -- one more kills every session of the account at once
  session_epoch integer not null default 0,
  last_organization_id uuid references organizations,
  -- seals this account's client addresses in the audit; erasure destroys it
  audit_key bytea,
  revision integer not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table profiles (
  account_id uuid primary key references accounts,
  display_name text not null
);

create table account_settings (
  account_id uuid primary key references accounts,
  locale text check (locale in ('en', 'vi'))
);

create table role_assignments (
  role_assignment_id uuid primary key,
  account_id uuid not null references accounts,
  role text not null check (role in ('operator', 'owner', 'employee', 'cashier', 'customer')),
  organization_id uuid references organizations,
  merchant_id uuid,
  created_at timestamptz not null,
  foreign key (organization_id, merchant_id) references merchants (organization_id, merchant_id),
  -- a merchant has an organization; without one the role is over the platform
  check (merchant_id is null or organization_id is not null),
  check ((role = 'operator') = (organization_id is null)),
  constraint role_assignments_once unique nulls not distinct (account_id, organization_id, merchant_id, role)
);
create index role_assignments_by_organization on role_assignments (organization_id, account_id);

-- States and what they mean: docs/architecture.md. 'verified' and 'lapsed' hold the address against
-- others; a 'claimed' one reserves nothing and expires.
create table identifiers (
  account_id uuid not null references accounts,
  type text not null check (type in ('username', 'email', 'phone')),
  value text not null,
  state text not null check (state in ('claimed', 'verified', 'contact', 'lapsed', 'disputed')),
  sign_in_enabled boolean not null,
  -- demoted by hand: proving it again does not promote it
  kept_demoted boolean not null default false,
  proven_by text check (proven_by in ('sign_up', 'code', 'operator')),
  verified_at timestamptz,
  claim_expires_at timestamptz,
  created_at timestamptz not null,
  constraint identifiers_pkey primary key (account_id, type, value),
  check (not sign_in_enabled or state in ('verified', 'lapsed')),
  check ((state = 'claimed') = (claim_expires_at is not null)),
  check (state = 'claimed' or (verified_at is not null and proven_by is not null))
);
create unique index identifiers_holder on identifiers (type, value) where state in ('verified', 'lapsed');
create unique index identifiers_handle on identifiers (type, value) where sign_in_enabled;
create unique index identifiers_held_once on identifiers (account_id, type) where state <> 'claimed';
create unique index identifiers_claimed_once on identifiers (account_id, type) where state = 'claimed';
create index identifiers_claims on identifiers (type, value, created_at) where state = 'claimed';
create index identifiers_claim_expiry on identifiers (claim_expires_at) where state = 'claimed';
create index identifiers_disputed on identifiers (type, value) where state = 'disputed';

-- A slot: signed in, one per account, channel and purpose; anonymous, one per flow. The next send
-- rotates the code inside it and keeps the id.
create table challenges (
  challenge_id uuid primary key,
  account_id uuid references accounts,
  purpose text not null check (purpose in ('verify', 'sign_in', 'reset')),
  channel text not null check (channel in ('email', 'sms')),
  caller text not null,
  -- what the budgets know the address by (a keyed hash), and the address itself, sealed
  address_subject bytea not null,
  destination_sealed bytea not null,
  code_hash bytea not null,
  -- a 20-digit code, sent while a budget was shut: judged always
  long_code boolean not null,
  proof_epoch integer not null,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  resend_at timestamptz not null,
  used_at timestamptz
);
create unique index challenges_slot on challenges (account_id, channel, purpose);
create index challenges_expiry on challenges (expires_at);

-- One row per (who or what is guessed at, channel, lane). No index on times: a guess touches one key.
create table guess_budgets (
  subject bytea not null,
  channel text not null check (channel in ('email', 'sms', 'password')),
  lane text not null check (lane in ('session', 'anonymous')),
  -- wrong in a row, since the last success or lock
  failures integer not null,
  -- locks in a row, since the last success: password waits grow with it
  locks integer not null,
  locked_at timestamptz,
  locked_until timestamptz,
  -- wrong in the long window, which success does not clear
  window_failures integer not null,
  window_started_at timestamptz not null,
  primary key (subject, channel, lane)
);

-- One row per session family; the refresh token names it and rotates inside it.
create table sessions (
  session_id uuid primary key,
  account_id uuid not null references accounts,
  caller text not null,
  session_epoch integer not null,
  auth_time timestamptz not null,
  amr text[] not null,
  organization_id uuid references organizations,
  merchant_id uuid,
  generation integer not null,
  token_hash bytea not null,
  predecessor_hash bytea,
  -- the current refresh token, sealed under a key that only its predecessor yields
  successor_sealed bytea,
  rotated_at timestamptz,
  idle_expires_at timestamptz not null,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  ended_at timestamptz,
  end_reason text check (end_reason in ('signed_out', 'reused', 'revoked'))
);
create index sessions_by_account on sessions (account_id);
create index sessions_ended on sessions (ended_at) where ended_at is not null;
create index sessions_expiry on sessions (expires_at);

-- Accounts whose session_epoch rose, for the polled set behind introspection.
create table session_epochs (
  account_id uuid primary key references accounts,
  session_epoch integer not null,
  raised_at timestamptz not null
);
create index session_epochs_by_time on session_epochs (raised_at);

create table signing_keys (
  kid text primary key,
  algorithm text not null check (algorithm in ('EdDSA', 'ES256')),
  public_jwk jsonb not null,
  private_sealed bytea not null,
  created_at timestamptz not null,
  -- published before use, retired after the longest token life
  active_from timestamptz not null,
  retired_at timestamptz
);

-- Random values that must be the same for every replica and never rotate, sealed.
create table secrets (
  name text primary key,
  sealed bytea not null,
  created_at timestamptz not null
);

create table callers (
  caller text primary key,
  rpc_groups text[] not null,
  created_at timestamptz not null,
  disabled_at timestamptz
);

create table caller_keys (
  key_hash bytea primary key,
  caller text not null references callers,
  created_at timestamptz not null,
  revoked_at timestamptz
);
create index caller_keys_by_caller on caller_keys (caller);

-- Messages, leased at insert by the process that will send them: due_at is the end of the lease,
-- and what is overdue belongs to whoever takes it. The payload is sealed, and scrubbed when done.
create table outbox (
  message_id uuid primary key,
  account_id uuid references accounts,
  kind text not null,
  channel text not null check (channel in ('email', 'sms')),
  -- decided by the inserting statement, which sees what the account has chosen
  locale text not null check (locale in ('en', 'vi')),
  payload_sealed bytea,
  state text not null check (state in ('queued', 'sent', 'expired', 'failed')),
  attempts integer not null default 0,
  due_at timestamptz not null,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  finished_at timestamptz,
  last_error text,
  check ((state = 'queued') = (payload_sealed is not null)),
  check ((state = 'queued') = (finished_at is null))
);
create index outbox_due on outbox (due_at) where state = 'queued';
create index outbox_finished on outbox (finished_at) where state <> 'queued';

-- The last notice of each kind to each account: at most one an hour.
create table notices (
  account_id uuid not null references accounts,
  kind text not null,
  sent_at timestamptz not null,
  primary key (account_id, kind)
);

-- Append-only: change events are written by the statement that makes the change, access events
-- (method, outcome, duration) by a batch writer. Months are partitions, so that old ones drop whole.
create table audit_events (
  event_id uuid not null,
  occurred_at timestamptz not null,
  kind text not null check (kind in ('change', 'access')),
  action text not null,
  account_id uuid,
  caller text not null,
  request_id text not null,
  outcome text not null,
  duration_ms integer,
  -- client address, sealed under the account's audit_key (under a server key where there is none)
  address_sealed bytea,
  detail jsonb not null default '{}',
  primary key (occurred_at, event_id)
) partition by range (occurred_at);
create table audit_events_default partition of audit_events default;
create index audit_events_by_account on audit_events (account_id, occurred_at);

create table idempotency_keys (
  caller text not null,
  rpc text not null,
  request_id uuid not null,
  -- keyed HMAC of the request without its secrets
  request_mac bytea not null,
  result jsonb not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (caller, rpc, request_id)
);
create index idempotency_keys_expiry on idempotency_keys (expires_at);
`,
};
