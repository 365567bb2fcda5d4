import type { Migration } from '../src/db/index.js';

/**
 * What a write had to do beside writing.
 *
 * Checks: the same rules, with their lists as one constant each. PostgreSQL reads a check anew in every
 * statement that writes the table, and `in ('a', 'b')` is kept as an array still to be built.
 *
 * A session's organization: the foreign key locked the organization's row at every sign-in, and everybody who
 * signed in to one organization at once shared that lock. The column is only where the session acts by
 * preference; its power comes from `role_assignments`, which keeps its own key and is read anew at each refresh.
 */
export const migration: Migration = {
  name: '0003-cheaper-writes',
  sql: `
-- In the lock order of the house: calls go on meanwhile, and must wait rather than die.
lock table accounts, guess_budgets, challenges, identifiers, sessions, organizations, outbox, audit_events
  in access exclusive mode;

alter table sessions drop constraint sessions_organization_id_fkey;

alter table accounts
  drop constraint accounts_status_check,
  add constraint accounts_status_check check (status = any ('{active,blocked,deactivated,closed}'::text[]));
alter table audit_events
  drop constraint audit_events_kind_check,
  add constraint audit_events_kind_check check (kind = any ('{change,access}'::text[]));
alter table challenges
  drop constraint challenges_channel_check,
  add constraint challenges_channel_check check (channel = any ('{email,sms}'::text[])),
  drop constraint challenges_purpose_check,
  add constraint challenges_purpose_check check (purpose = any ('{verify,sign_in,reset}'::text[]));
alter table guess_budgets
  drop constraint guess_budgets_channel_check,
  add constraint guess_budgets_channel_check check (channel = any ('{email,sms,password}'::text[])),
  drop constraint guess_budgets_lane_check,
  add constraint guess_budgets_lane_check check (lane = any ('{session,anonymous}'::text[]));
alter table identifiers
  drop constraint identifiers_check,
  add constraint identifiers_check check (not sign_in_enabled or state = any ('{verified,lapsed}'::text[])),
  drop constraint identifiers_proven_by_check,
  add constraint identifiers_proven_by_check check (proven_by = any ('{sign_up,code,operator}'::text[])),
  drop constraint identifiers_state_check,
  add constraint identifiers_state_check check (state = any ('{claimed,verified,contact,lapsed,disputed}'::text[])),
  drop constraint identifiers_type_check,
  add constraint identifiers_type_check check (type = any ('{username,email,phone}'::text[]));
alter table outbox
  drop constraint outbox_channel_check,
  add constraint outbox_channel_check check (channel = any ('{email,sms}'::text[])),
  drop constraint outbox_locale_check,
  add constraint outbox_locale_check check (locale = any ('{en,vi}'::text[])),
  drop constraint outbox_state_check,
  add constraint outbox_state_check check (state = any ('{queued,sent,expired,failed}'::text[]));
alter table sessions
  drop constraint sessions_end_reason_check,
  add constraint sessions_end_reason_check check (end_reason = any ('{signed_out,reused,revoked}'::text[]));
`,
};
