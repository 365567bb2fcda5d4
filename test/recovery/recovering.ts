import { sql } from 'kysely';
import { vi } from 'vitest';
import { rpcGroups } from '../../src/callers/index.js';
import type { CallOptions } from '../../src/client/index.js';
import {
  type ChannelCase,
  type Claimant,
  codeFor,
  delivered,
  email,
  holder,
  newCaller,
  present,
  refusalOf,
  sms,
} from '../accounts/house.js';
import { signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

export const NEW_PASSWORD = 'a quite different phrase';
/** Longer ago than a reset doubts a proof for. */
export const LONG_AGO = 31;

export interface Recoverer {
  readonly username: string;
  readonly accountId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly email: string;
  readonly phone: string;
}

/** Somebody who has proven an email and a phone, both so many days ago. */
export async function withBoth(app: TestApp, daysAgo = LONG_AGO): Promise<Recoverer> {
  const addresses = { email: unique.email(), phone: unique.phone() };
  const person = await signUp(app, { email: addresses.email, phoneNumber: addresses.phone });
  const session = { accessToken: person.accessToken };
  await app.auth.confirmEmail({ code: await codeFor(app, addresses.email) }, session);
  await app.auth.confirmPhoneNumber({ code: await codeFor(app, addresses.phone) }, session);
  await proven(app, person.accountId, { daysAgo });
  return { ...person, ...addresses };
}

/** Lets an account's emails and phones have been proven then, or on an operator's word. */
export async function proven(
  { db, clock }: TestApp,
  accountId: string,
  { daysAgo, by = 'code', type }: { daysAgo: number; by?: 'code' | 'operator'; type?: string },
): Promise<void> {
  const at = new Date(clock.now().getTime() - daysAgo * 86_400_000);
  await sql`update identifiers set verified_at = ${at}, proven_by = ${by}
    where account_id = ${accountId}::uuid and type <> 'username' and state <> 'claimed'
      and type = coalesce(${type ?? null}::text, type)`.execute(db);
}

/** Somebody who has proven one address, and how it was. */
export interface Held extends Claimant {
  readonly on: ChannelCase;
}

export const heldBy = async (app: TestApp, on: ChannelCase): Promise<Held> => ({
  ...(await holder(app, on)),
  on,
});

/** Asks for a reset; what came beside the challenge too. */
export async function ask(
  { auth }: Pick<TestApp, 'auth'>,
  identifier: string,
  challengeId?: string,
  options: CallOptions & { locale?: string; region?: string } = {},
) {
  const { locale, region, ...call } = options;
  const request = { identifier, challengeId, locale, region };
  const { response, retryAfterSeconds } = await auth.requestPasswordReset.full(request, call);
  return { ...present(response.challenge), retryAfter: retryAfterSeconds };
}

/** A reset token, by way of a code to this address (in registered delivery: one that `identifier` leads to). */
export async function tokenFor(
  app: TestApp,
  address: string,
  { identifier = address, ...options }: CallOptions & { identifier?: string } = {},
): Promise<string> {
  const { challengeId } = await ask(app, identifier, undefined, options);
  const code = await codeFor(app, address);
  const { resetToken } = await app.auth.verifyPasswordResetCode({ challengeId, code }, options);
  return resetToken;
}

/** The whole recovery. */
export async function recover(
  app: TestApp,
  address: string,
  newPassword = NEW_PASSWORD,
): Promise<void> {
  await app.auth.resetPassword({ resetToken: await tokenFor(app, address), newPassword });
}

export const reasonOf = async (call: Promise<unknown>): Promise<string> =>
  (await refusalOf(call)).reason;

/** A client of another calling service, once the server knows it. */
export async function otherCaller(app: TestApp): Promise<TestApp['auth']> {
  const auth = app.connect({ callerKey: await newCaller(app, rpcGroups) });
  await vi.waitFor(() => auth.getJsonWebKeySet({}), 5_000);
  return auth;
}

/** What the sender made of the latest request or message. */
export async function lastInOutbox(app: TestApp) {
  await delivered(app);
  const { rows } = await sql<{ kind: string; state: string; attempts: number }>`
    select kind, state, attempts from outbox order by created_at desc, message_id desc limit 1`.execute(
    app.db,
  );
  return rows[0];
}

/** What was told to an address since `before` messages had been sent in all. */
export async function textsSince(app: TestApp, before: number, to: string) {
  await delivered(app);
  return app.mailbox.messages
    .slice(before)
    .filter((message) => message.to === to)
    .map(({ text }) => text);
}

export const channelOf = { email, sms };

/** What an operator's block does; deactivating is the same with another word. */
export async function setStatus(
  { db }: TestApp,
  accountId: string,
  status: 'active' | 'blocked' | 'deactivated',
): Promise<void> {
  await sql`update accounts set status = ${status}, proof_epoch = proof_epoch + 1,
    session_epoch = session_epoch + 1 where account_id = ${accountId}::uuid`.execute(db);
}

/** Change events of an account, by action, oldest first. */
export async function changesOf({ db }: TestApp, accountId: string) {
  const { rows } = await sql<{ action: string; outcome: string; detail: unknown }>`
    select action, outcome, detail from audit_events where kind = 'change'
      and account_id = ${accountId}::uuid order by occurred_at, event_id`.execute(db);
  return rows;
}
