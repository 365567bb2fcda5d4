import { type RawBuilder, sql } from 'kysely';
import {
  type Account,
  claimAddress,
  type Identifier,
  insertAccount,
  insertProven,
  typeOfChannel,
} from '../accounts/index.js';
import { changeBy, insertChange } from '../audit/index.js';
import {
  budgetsOfSend,
  type Challenge,
  type CodeDeps,
  openSlot,
  type PreparedCode,
} from '../challenges/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import { clockCte, type Db, statementNow } from '../db/index.js';
import { insertMessage } from '../delivery/index.js';
import {
  type IdempotencyDeps,
  type IdempotentRequest,
  insertIdempotent,
} from '../idempotency/index.js';
import { insertOrganization, insertRoleAssignment } from '../organizations/index.js';
import type { PasswordHash } from '../passwords/index.js';
import { insertSession, type PreparedSession, type SessionDeps } from '../sessions/index.js';
import type { SignUpInput } from './sign-up-input.js';

export interface NewSignUp extends SignUpInput {
  readonly accountId: string;
  readonly passwordHash: PasswordHash;
  readonly auditKey: Buffer;
  readonly organizationId: string;
  readonly organizationName: string;
  readonly session: PreparedSession;
  readonly codes: readonly PreparedCode[];
  readonly request: IdempotentRequest;
}

export interface SignUpDone {
  readonly account: Account;
  readonly authTime: Date;
  /** In the order of the codes. */
  readonly challenges: readonly (Omit<Challenge, 'maskedDestination'> & {
    readonly longCode: boolean;
  })[];
}

interface StoreDeps extends CodeDeps, IdempotencyDeps, SessionDeps {
  readonly db: Db;
  readonly clock: Clock;
}

interface SignUpRow {
  created_at: Date;
  auth_time: Date;
  slots: {
    channel: Channel;
    challenge_id: string;
    long_code: boolean;
    expires_at: string;
    resend_at: string;
  }[];
}

const now = statementNow;

/**
 * The whole sign-up in one statement. Undefined: an earlier call with this `request_id` made it.
 * A username that stands already shows as a unique violation on `identifiers_holder`.
 */
export async function insertSignUp(
  deps: StoreDeps,
  call: Call,
  draft: NewSignUp,
): Promise<SignUpDone | undefined> {
  const accountId = sql`${draft.accountId}::uuid`;
  const fresh = sql`fresh`;
  const own = { accountId, from: fresh };
  const parts = insertAccount(
    now,
    { ...draft, password: draft.passwordHash, displayName: draft.displayName ?? '' },
    fresh,
  );
  const slots = draft.codes.map(
    (code) => sql`select ${code.slot.channel}::text as channel, s.challenge_id, s.long_code,
    s.expires_at, s.resend_at from ${slotName(code)} s`,
  );
  const noSlots = sql`select null::text as channel, null::uuid as challenge_id, false as long_code,
    null::timestamptz as expires_at, null::timestamptz as resend_at where false`;
  const { rows } = await sql<SignUpRow>`
    with ${clockCte(deps.clock)},
    fresh as (${insertIdempotent(deps, now, draft.request, {
      result: sql`jsonb_build_object('account_id', ${draft.accountId}::text)`,
      from: sql`t`,
    })}),
    organization as (${insertOrganization(now, { organizationId: draft.organizationId, name: draft.organizationName }, fresh)}),
    account as (${parts.account}),
    profile as (${parts.profile}),
    settings as (${parts.settings}),
    ${sql.join(
      draft.codes.map((code) => codeSteps(deps, code)),
      sql` `,
    )}
    username as (${insertProven(now, { type: 'username', value: draft.username, by: 'sign_up' }, own)}),
    owner as (${insertRoleAssignment(
      now,
      { id: deps.random.id(), role: 'owner', organizationId: draft.organizationId },
      own,
    )}),
    session as (${insertSession(now, draft.session, deps.sessionLifetime, {
      accountId: sql`a.account_id`,
      sessionEpoch: sql`a.session_epoch`,
      organizationId: sql`${draft.organizationId}::uuid`,
      merchantId: sql`null::uuid`,
      from: sql`account a`,
    })}),
    audited as (${insertChange(
      now,
      changeBy(deps.random, call, 'account_created', {
        channels: draft.codes.map((code) => code.slot.channel),
      }),
      { accountId: sql`account.account_id`, from: sql`account` },
    )})
    select a.created_at, s.auth_time, coalesce((select jsonb_agg(to_jsonb(c))
      from (${sql.join([noSlots, ...slots], sql` union all `)}) c), '[]') as slots
    from account a cross join session s`.execute(deps.db);
  return rows[0] && toDone(rows[0], draft);
}

const slotName = (code: PreparedCode) => sql.raw(`slot_${code.slot.channel}`);

/** The CTEs of one claimed channel, each with its trailing comma, in the lock order of the house. */
function codeSteps(deps: StoreDeps, code: PreparedCode): RawBuilder<unknown> {
  const { channel } = code.slot;
  const named = (name: string) => sql.raw(`${name}_${channel}`);
  const slot = slotName(code);
  const claim = { type: typeOfChannel(channel), value: code.short.message.to };
  const claims = claimAddress(now, claim, {
    from: slot,
    replaced: named('replaced'),
    claimed: named('claimed'),
  });
  const message = (which: 'short' | 'long', when: RawBuilder<unknown>) =>
    insertMessage(now, code[which], {
      accountId: sql`s.account_id`,
      locale: sql`${code[which].message.locale}::text`,
      from: sql`${slot} s where ${when}`,
    });
  return sql`
    ${named('budgets')} as materialized (${budgetsOfSend(now, channel, {
      account: undefined,
      address: code.slot.addressSubject,
    })}),
    ${slot} as (${openSlot(
      now,
      code.slot,
      deps.codePolicy,
      sql`(select a.account_id, a.proof_epoch, b.needs_long_code as long_code from account a, ${named('budgets')} b)`,
    )}),
    ${named('replaced')} as (${claims.replaced}),
    ${named('claimed')} as (${claims.claimed}),
    ${named('fallen')} as (${claims.fallen}),
    ${named('short')} as (${message('short', sql`not s.long_code`)}),
    ${named('long')} as (${message('long', sql`s.long_code`)}),`;
}

function toDone(row: SignUpRow, draft: NewSignUp): SignUpDone {
  const claims = draft.codes.map(
    (code): Identifier => ({
      type: typeOfChannel(code.slot.channel),
      value: code.short.message.to,
      state: 'claimed',
      verifiedAt: undefined,
      signInEnabled: false,
      generated: false,
    }),
  );
  const username: Identifier = {
    type: 'username',
    value: draft.username,
    state: 'verified',
    verifiedAt: row.created_at,
    signInEnabled: true,
    generated: false,
  };
  return {
    authTime: row.auth_time,
    account: {
      accountId: draft.accountId,
      status: 'active',
      displayName: draft.displayName ?? '',
      locale: draft.locale,
      identifiers: [username, ...claims],
      createdAt: row.created_at,
      updatedAt: row.created_at,
      revision: 1,
    },
    challenges: draft.codes.map((code) => {
      const slot = row.slots.find(({ channel }) => channel === code.slot.channel);
      if (slot === undefined) throw new Error('a new account has a slot for each of its claims');
      return {
        challengeId: slot.challenge_id,
        channel: slot.channel,
        longCode: slot.long_code,
        expiresAt: new Date(slot.expires_at),
        resendAt: new Date(slot.resend_at),
      };
    }),
  };
}
