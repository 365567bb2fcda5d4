import { sql } from 'kysely';
import type { CompletePhoneSignInResponse } from '../../generated/countersign/v1/auth_service.js';
import type { CallOptions } from '../../src/client/index.js';
import { codeFor, present } from '../accounts/house.js';
import { unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

interface Asking extends CallOptions {
  /** This flow, again. */
  readonly challengeId?: string;
  readonly locale?: string;
}

/** An anonymous request for a code, and what came beside its challenge. */
export async function ask(
  { auth }: Pick<TestApp, 'auth'>,
  phoneNumber: string,
  { challengeId, locale, ...options }: Asking = {},
) {
  const request = { phoneNumber, challengeId, locale };
  const { response, retryAfterSeconds } = await auth.requestPhoneSignIn.full(request, options);
  return { ...present(response.challenge), retryAfter: retryAfterSeconds };
}

/** A request, and the code that came of it. */
export async function askForCode(app: TestApp, phoneNumber: string, options: Asking = {}) {
  const { challengeId } = await ask(app, phoneNumber, options);
  return { challengeId, code: await codeFor(app, phoneNumber) };
}

export interface SignedInPerson extends CompletePhoneSignInResponse {
  readonly phone: string;
  /** Call options of the signed-in person. */
  readonly session: { readonly accessToken: string };
}

/** The whole sign-in by a number; of one that nobody has, a new account. */
export async function signInByPhone(
  app: TestApp,
  phone = unique.phone(),
  options: CallOptions = {},
): Promise<SignedInPerson> {
  const asked = await askForCode(app, phone, options);
  const done = await app.auth.completePhoneSignIn(asked, options);
  return { ...done, phone, session: { accessToken: present(done.tokens).accessToken } };
}

/** Puts an account's number into a state that it takes an operator, or old data, to reach. */
export async function putPhone(
  { db }: Pick<TestApp, 'db'>,
  accountId: string,
  to: { readonly state?: string; readonly enabled?: boolean; readonly keptDemoted?: boolean },
): Promise<void> {
  const { state, enabled, keptDemoted } = to;
  await sql`update identifiers set state = coalesce(${state ?? null}::text, state),
      sign_in_enabled = coalesce(${enabled ?? null}::boolean, sign_in_enabled),
      kept_demoted = coalesce(${keptDemoted ?? null}::boolean, kept_demoted)
    where account_id = ${accountId}::uuid and type = 'phone'`.execute(db);
}

/** As an operator's RPC stops an account: its status, every live code and every session. */
export async function stopAccount(
  { db }: Pick<TestApp, 'db'>,
  accountId: string,
  status: 'blocked' | 'deactivated',
): Promise<void> {
  await sql`with raised as (
      update accounts set status = ${status}::text, proof_epoch = proof_epoch + 1, session_epoch = session_epoch + 1
      where account_id = ${accountId}::uuid returning account_id, session_epoch)
    insert into session_epochs as e (account_id, session_epoch, raised_at)
    select account_id, session_epoch, clock_timestamp() from raised
    on conflict (account_id) do update set session_epoch = excluded.session_epoch, raised_at = excluded.raised_at`.execute(
    db,
  );
}

/** What the audit tells of an account's changes, oldest first. */
export async function changesOf({ db }: Pick<TestApp, 'db'>, accountId: string) {
  const { rows } = await sql<{
    action: string;
    caller: string;
    request_id: string;
    detail: Readonly<Record<string, unknown>>;
  }>`select action, caller, request_id, detail from audit_events
    where kind = 'change' and account_id = ${accountId}::uuid order by occurred_at, event_id`.execute(
    db,
  );
  return rows;
}
