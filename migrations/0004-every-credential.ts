import type { Migration } from '../src/db/index.js';

/**
 * What flows without a session need: a challenge that no account stands behind until a message is sent,
 * a code that was traded for a reset token, and who a session was opened for.
 *
 * Slots are for codes that a signed-in person asks for; of anonymous flows one account may have many.
 */
export const migration: Migration = {
  name: '0004-every-credential',
  sql: `
-- In the lock order of the house: calls go on meanwhile, and must wait rather than die.
lock table challenges, identifiers, sessions, outbox in access exclusive mode;

drop index challenges_slot;
create unique index challenges_slot on challenges (account_id, channel) where purpose = 'verify';
alter table challenges
  -- how the code went out, where the account chose it; null: by the row's own channel, which budgets count by
  add column delivered_by text check (delivered_by = any ('{email,sms}'::text[])),
  -- a right code of a reset was traded for this token; null again: the token was used up
  add column reset_token_hash bytea,
  add column reset_expires_at timestamptz,
  add check ((reset_token_hash is null) = (reset_expires_at is null)),
  add check (reset_token_hash is null or (purpose = 'reset' and used_at is not null));

alter table identifiers
  drop constraint identifiers_proven_by_check,
  -- 'generated': a username that the service made up, which its owner may change once
  add constraint identifiers_proven_by_check
    check (proven_by = any ('{sign_up,generated,code,operator}'::text[]));
create index identifiers_contact on identifiers (type, value) where state = 'contact';

alter table sessions
  -- client address and user agent as the calling service gave them at the sign-in, sealed
  add column client_sealed bytea;

alter table outbox
  drop constraint outbox_state_check,
  -- 'dropped': at the moment of sending nothing was due
  add constraint outbox_state_check
    check (state = any ('{queued,sent,expired,failed,dropped}'::text[]));
`,
};
