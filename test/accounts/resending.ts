import { sql } from 'kysely';
import type { CallOptions } from '../../src/client/index.js';
import type { TestApp } from '../support/test-app.js';

/** An anonymous request for the confirmation of an email, and what came beside its challenge. */
export async function resend(
  { auth }: Pick<TestApp, 'auth'>,
  address: string,
  challengeId?: string,
  { locale, ...options }: CallOptions & { readonly locale?: string } = {},
) {
  const request = { email: address, challengeId, locale };
  const { response, retryAfterSeconds } = await auth.resendEmailConfirmation.full(request, options);
  const { challenge } = response;
  if (challenge === undefined) throw new Error('there was no challenge');
  const lifeMs = Number(challenge.expireTime) - Number(challenge.resendTime);
  return {
    challengeId: challenge.challengeId,
    channel: challenge.channel,
    maskedDestination: challenge.maskedDestination,
    resendTime: challenge.resendTime,
    /** By how many seconds the code outlives the wait for another. */
    spare: Math.round(lifeMs / 1_000),
    retryAfter: retryAfterSeconds,
  };
}

/** How the newest queued row of all ended. */
export async function outboxOf({ db }: TestApp) {
  const { rows } = await sql<{ state: string; attempts: number; kind: string }>`
    select state, attempts, kind from outbox order by created_at desc limit 1`.execute(db);
  return rows[0];
}
