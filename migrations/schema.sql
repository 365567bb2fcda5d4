-- The migrated schema, dumped from the catalogue. Generated: do not edit.

create table account_settings (
  account_id uuid not null,
  locale text,
  constraint account_settings_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint account_settings_locale_check CHECK ((locale = ANY (ARRAY['en'::text, 'vi'::text]))),
  constraint account_settings_pkey PRIMARY KEY (account_id)
);

create table accounts (
  account_id uuid not null,
  status text not null,
  password_hash text,
  password_pepper text,
  proof_epoch integer not null default 0,
  session_epoch integer not null default 0,
  last_organization_id uuid,
  audit_key bytea,
  revision integer not null default 1,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint accounts_last_organization_id_fkey FOREIGN KEY (last_organization_id) REFERENCES organizations(organization_id),
  constraint accounts_pkey PRIMARY KEY (account_id),
  constraint accounts_status_check CHECK ((status = ANY ('{active,blocked,deactivated,closed}'::text[])))
);

create table audit_events (
  event_id uuid not null,
  occurred_at timestamp with time zone not null,
  kind text not null,
  action text not null,
  account_id uuid,
  caller text not null,
  request_id text not null,
  outcome text not null,
  duration_ms integer,
  address_sealed bytea,
  detail jsonb not null default '{}'::jsonb,
  constraint audit_events_kind_check CHECK ((kind = ANY ('{change,access}'::text[]))),
  constraint audit_events_pkey PRIMARY KEY (occurred_at, event_id)
) partition by RANGE (occurred_at);

create table audit_events_default partition of audit_events DEFAULT (
  event_id uuid not null,
  occurred_at timestamp with time zone not null,
  kind text not null,
  action text not null,
  account_id uuid,
  caller text not null,
  request_id text not null,
  outcome text not null,
  duration_ms integer,
  address_sealed bytea,
  detail jsonb not null default '{}'::jsonb
);

create table caller_certificates (
  certificate_name text not null,
  caller text not null,
  created_at timestamp with time zone not null,
  constraint caller_certificates_caller_fkey FOREIGN KEY (caller) REFERENCES callers(caller),
  constraint caller_certificates_pkey PRIMARY KEY (certificate_name)
);

create table caller_keys (
  key_hash bytea not null,
  caller text not null,
  created_at timestamp with time zone not null,
  revoked_at timestamp with time zone,
  constraint caller_keys_caller_fkey FOREIGN KEY (caller) REFERENCES callers(caller),
  constraint caller_keys_pkey PRIMARY KEY (key_hash)
);

create table callers (
  caller text not null,
  rpc_groups text[] not null,
  created_at timestamp with time zone not null,
  disabled_at timestamp with time zone,
  constraint callers_pkey PRIMARY KEY (caller)
);

create table challenges (
  challenge_id uuid not null,
  account_id uuid,
  purpose text not null,
  channel text not null,
  caller text not null,
  address_subject bytea not null,
  destination_sealed bytea not null,
  code_hash bytea not null,
  long_code boolean not null,
  proof_epoch integer not null,
  issued_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  resend_at timestamp with time zone not null,
  used_at timestamp with time zone,
  delivered_by text,
  reset_token_hash bytea,
  reset_expires_at timestamp with time zone,
  constraint challenges_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint challenges_channel_check CHECK ((channel = ANY ('{email,sms}'::text[]))),
  constraint challenges_check CHECK (((reset_token_hash IS NULL) = (reset_expires_at IS NULL))),
  constraint challenges_check1 CHECK (((reset_token_hash IS NULL) OR ((purpose = 'reset'::text) AND (used_at IS NOT NULL)))),
  constraint challenges_delivered_by_check CHECK ((delivered_by = ANY ('{email,sms}'::text[]))),
  constraint challenges_pkey PRIMARY KEY (challenge_id),
  constraint challenges_purpose_check CHECK ((purpose = ANY ('{verify,sign_in,reset}'::text[])))
);

create table guess_budgets (
  subject bytea not null,
  channel text not null,
  lane text not null,
  failures integer not null,
  locks integer not null,
  locked_at timestamp with time zone,
  locked_until timestamp with time zone,
  window_failures integer not null,
  window_started_at timestamp with time zone not null,
  constraint guess_budgets_channel_check CHECK ((channel = ANY ('{email,sms,password}'::text[]))),
  constraint guess_budgets_lane_check CHECK ((lane = ANY ('{session,anonymous}'::text[]))),
  constraint guess_budgets_pkey PRIMARY KEY (subject, channel, lane)
);

create table idempotency_keys (
  caller text not null,
  rpc text not null,
  request_id uuid not null,
  request_mac bytea not null,
  result jsonb not null,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  constraint idempotency_keys_pkey PRIMARY KEY (caller, rpc, request_id)
);

create table identifiers (
  account_id uuid not null,
  type text not null,
  value text not null,
  state text not null,
  sign_in_enabled boolean not null,
  kept_demoted boolean not null default false,
  proven_by text,
  verified_at timestamp with time zone,
  claim_expires_at timestamp with time zone,
  created_at timestamp with time zone not null,
  constraint identifiers_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint identifiers_check CHECK (((NOT sign_in_enabled) OR (state = ANY ('{verified,lapsed}'::text[])))),
  constraint identifiers_check1 CHECK (((state = 'claimed'::text) = (claim_expires_at IS NOT NULL))),
  constraint identifiers_check2 CHECK (((state = 'claimed'::text) OR ((verified_at IS NOT NULL) AND (proven_by IS NOT NULL)))),
  constraint identifiers_pkey PRIMARY KEY (account_id, type, value),
  constraint identifiers_proven_by_check CHECK ((proven_by = ANY ('{sign_up,generated,code,operator}'::text[]))),
  constraint identifiers_state_check CHECK ((state = ANY ('{claimed,verified,contact,lapsed,disputed}'::text[]))),
  constraint identifiers_type_check CHECK ((type = ANY ('{username,email,phone}'::text[])))
);

create table merchants (
  merchant_id uuid not null,
  organization_id uuid not null,
  name text not null,
  revision integer not null default 1,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint merchants_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id),
  constraint merchants_organization_id_merchant_id_key UNIQUE (organization_id, merchant_id),
  constraint merchants_pkey PRIMARY KEY (merchant_id)
);

create table notices (
  account_id uuid not null,
  kind text not null,
  sent_at timestamp with time zone not null,
  constraint notices_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint notices_pkey PRIMARY KEY (account_id, kind)
);

create table organizations (
  organization_id uuid not null,
  name text not null,
  revision integer not null default 1,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint organizations_pkey PRIMARY KEY (organization_id)
);

create table outbox (
  message_id uuid not null,
  account_id uuid,
  kind text not null,
  channel text not null,
  locale text not null,
  payload_sealed bytea,
  state text not null,
  attempts integer not null default 0,
  due_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  finished_at timestamp with time zone,
  last_error text,
  constraint outbox_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint outbox_channel_check CHECK ((channel = ANY ('{email,sms}'::text[]))),
  constraint outbox_check CHECK (((state = 'queued'::text) = (payload_sealed IS NOT NULL))),
  constraint outbox_check1 CHECK (((state = 'queued'::text) = (finished_at IS NULL))),
  constraint outbox_locale_check CHECK ((locale = ANY ('{en,vi}'::text[]))),
  constraint outbox_pkey PRIMARY KEY (message_id),
  constraint outbox_state_check CHECK ((state = ANY ('{queued,sent,expired,failed,dropped}'::text[])))
);

create table profiles (
  account_id uuid not null,
  display_name text not null,
  constraint profiles_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint profiles_pkey PRIMARY KEY (account_id)
);

create table role_assignments (
  role_assignment_id uuid not null,
  account_id uuid not null,
  role text not null,
  organization_id uuid,
  merchant_id uuid,
  created_at timestamp with time zone not null,
  constraint role_assignments_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint role_assignments_check CHECK (((merchant_id IS NULL) OR (organization_id IS NOT NULL))),
  constraint role_assignments_check1 CHECK (((role = 'operator'::text) = (organization_id IS NULL))),
  constraint role_assignments_once UNIQUE NULLS NOT DISTINCT (account_id, organization_id, merchant_id, role),
  constraint role_assignments_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id),
  constraint role_assignments_organization_id_merchant_id_fkey FOREIGN KEY (organization_id, merchant_id) REFERENCES merchants(organization_id, merchant_id),
  constraint role_assignments_pkey PRIMARY KEY (role_assignment_id),
  constraint role_assignments_role_check CHECK ((role = ANY (ARRAY['operator'::text, 'owner'::text, 'employee'::text, 'cashier'::text, 'customer'::text])))
);

create table schema_migrations (
  name text not null,
  checksum text not null,
  applied_at timestamp with time zone not null,
  constraint schema_migrations_pkey PRIMARY KEY (name)
);

create table secrets (
  name text not null,
  sealed bytea not null,
  created_at timestamp with time zone not null,
  constraint secrets_pkey PRIMARY KEY (name)
);

create table session_epochs (
  account_id uuid not null,
  session_epoch integer not null,
  raised_at timestamp with time zone not null,
  constraint session_epochs_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint session_epochs_pkey PRIMARY KEY (account_id)
);

create table sessions (
  session_id uuid not null,
  account_id uuid not null,
  caller text not null,
  session_epoch integer not null,
  auth_time timestamp with time zone not null,
  amr text[] not null,
  organization_id uuid,
  merchant_id uuid,
  generation integer not null,
  token_hash bytea not null,
  predecessor_hash bytea,
  successor_sealed bytea,
  rotated_at timestamp with time zone,
  idle_expires_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  end_reason text,
  client_sealed bytea,
  constraint sessions_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint sessions_end_reason_check CHECK ((end_reason = ANY ('{signed_out,reused,revoked}'::text[]))),
  constraint sessions_pkey PRIMARY KEY (session_id)
);

create table signing_keys (
  kid text not null,
  algorithm text not null,
  public_jwk jsonb not null,
  private_sealed bytea not null,
  created_at timestamp with time zone not null,
  active_from timestamp with time zone not null,
  retired_at timestamp with time zone,
  constraint signing_keys_algorithm_check CHECK ((algorithm = ANY (ARRAY['EdDSA'::text, 'ES256'::text]))),
  constraint signing_keys_pkey PRIMARY KEY (kid)
);

CREATE INDEX audit_events_by_account ON ONLY public.audit_events USING btree (account_id, occurred_at);
CREATE INDEX caller_certificates_by_caller ON public.caller_certificates USING btree (caller);
CREATE INDEX caller_keys_by_caller ON public.caller_keys USING btree (caller);
CREATE INDEX challenges_expiry ON public.challenges USING btree (expires_at);
CREATE UNIQUE INDEX challenges_slot ON public.challenges USING btree (account_id, channel) WHERE (purpose = 'verify'::text);
CREATE INDEX idempotency_keys_expiry ON public.idempotency_keys USING btree (expires_at);
CREATE INDEX identifiers_claim_expiry ON public.identifiers USING btree (claim_expires_at) WHERE (state = 'claimed'::text);
CREATE UNIQUE INDEX identifiers_claimed_once ON public.identifiers USING btree (account_id, type) WHERE (state = 'claimed'::text);
CREATE INDEX identifiers_claims ON public.identifiers USING btree (type, value, created_at) WHERE (state = 'claimed'::text);
CREATE INDEX identifiers_contact ON public.identifiers USING btree (type, value) WHERE (state = 'contact'::text);
CREATE INDEX identifiers_disputed ON public.identifiers USING btree (type, value) WHERE (state = 'disputed'::text);
CREATE UNIQUE INDEX identifiers_handle ON public.identifiers USING btree (type, value) WHERE sign_in_enabled;
CREATE UNIQUE INDEX identifiers_held_once ON public.identifiers USING btree (account_id, type) WHERE (state <> 'claimed'::text);
CREATE UNIQUE INDEX identifiers_holder ON public.identifiers USING btree (type, value) WHERE (state = ANY (ARRAY['verified'::text, 'lapsed'::text]));
CREATE INDEX outbox_due ON public.outbox USING btree (due_at) WHERE (state = 'queued'::text);
CREATE INDEX outbox_finished ON public.outbox USING btree (finished_at) WHERE (state <> 'queued'::text);
CREATE INDEX role_assignments_by_organization ON public.role_assignments USING btree (organization_id, account_id);
CREATE INDEX session_epochs_by_time ON public.session_epochs USING btree (raised_at);
CREATE INDEX sessions_by_account ON public.sessions USING btree (account_id);
CREATE INDEX sessions_ended ON public.sessions USING btree (ended_at) WHERE (ended_at IS NOT NULL);
CREATE INDEX sessions_expiry ON public.sessions USING btree (expires_at);
