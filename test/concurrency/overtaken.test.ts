import { sql } from 'kysely';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import {
  addressesOf,
  codeFor,
  delivered,
  email,
  type House,
  holder,
  openHouse,
  refusalOf,
  sms,
} from '../accounts/house.js';
import { NEW_PASSWORD, proven, tokenFor } from '../recovery/recovering.js';
import { ask } from '../sign-in/phone-house.js';
import { describePostgres } from '../support/databases.js';
import { unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

/**
 * What one call sees of another that it waited for: the order is forced by a row that the test holds until both
 * of them wait.
 */
describePostgres('a call that is overtaken while it waits for a lock', (database) => {
  let house: House;
  let app: TestApp;
  let holderOfRows: Client;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
    holderOfRows = new Client({ connectionString: database().url });
    await holderOfRows.connect();
  });
  afterAll(async () => {
    await holderOfRows.end();
    await house[Symbol.asyncDispose]();
  });

  const waiting = (count: number) =>
    vi.waitFor(
      async () => {
        const { rows } = await sql<{ waiting: number }>`
          select count(*)::int as waiting from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`.execute(app.db);
        expect(rows[0]?.waiting).toBe(count);
      },
      { timeout: 15_000, interval: 20 },
    );

  async function inOrder<A, B>(
    held: string,
    first: () => Promise<A>,
    second: () => Promise<B>,
  ): Promise<readonly [A, B]> {
    await holderOfRows.query('begin');
    await holderOfRows.query(held);
    const one = first();
    await waiting(1);
    const two = second();
    await waiting(2);
    await holderOfRows.query('commit');
    return Promise.all([one, two]);
  }
  const accountRow = (accountId: string) =>
    `select from accounts where account_id = '${accountId}' for no key update`;

  async function robbed() {
    const owner = await holder(app, email);
    await proven(app, owner.accountId, { daysAgo: 31 });
    app.clock.advance({ seconds: 61 });
    return { owner, resetToken: await tokenFor(app, owner.address), thiefs: unique.phone() };
  }

  it('a reset takes the power of a phone that a thief proves while it waits (rule 16)', async () => {
    const { owner, resetToken, thiefs } = await robbed();
    await sms.send(app, owner.session, thiefs);
    const code = await codeFor(app, thiefs);
    await inOrder(
      accountRow(owner.accountId),
      () => app.auth.confirmPhoneNumber({ code }, owner.session),
      () => app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD }),
    );
    expect(await addressesOf(app, owner.accountId)).toContainEqual({
      type: 'phone',
      value: thiefs,
      state: 'lapsed',
      sign_in_enabled: false,
    });
    // It was a contact for a moment, and is told like every other.
    await delivered(app);
    expect(app.mailbox.messages.filter(({ to }) => to === thiefs)).toHaveLength(2);
  });

  it('a reset lets a claim fall that is made while it waits (rule 16)', async () => {
    const { owner, resetToken, thiefs } = await robbed();
    await inOrder(
      accountRow(owner.accountId),
      () => app.auth.sendPhoneVerificationCode({ phoneNumber: thiefs }, owner.session),
      () => app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD }),
    );
    const values = (await addressesOf(app, owner.accountId)).map(({ value }) => value);
    expect(values).toEqual([owner.address]);
  });

  it('the second of two requests in one flow is told the whole wait (T4)', async () => {
    const phone = unique.phone();
    const { challengeId } = await ask(app, phone);
    await delivered(app);
    app.clock.advance({ seconds: 61 });
    const again = () => ask(app, phone, { challengeId });
    const row = `select from challenges where challenge_id = '${challengeId}' for update`;
    const [one, two] = await inOrder(row, again, again);
    expect(two.resendTime).toEqual(one.resendTime);
    expect(one.retryAfter).toBeUndefined();
    expect(Number(two.retryAfter)).toBeGreaterThanOrEqual(59);
  });

  it('a handle that a thief has seen does not lead to the codes after the reset', async () => {
    const { owner, resetToken } = await robbed();
    const seen = await email.send(app, owner.session, unique.email());
    await app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD });
    app.clock.advance({ seconds: 61 });
    const { tokens } = await app.auth.signIn({
      identifier: owner.username,
      password: NEW_PASSWORD,
    });
    const session = { accessToken: tokens?.accessToken ?? '' };
    const next = unique.email();
    const own = await email.send(app, session, next);
    expect(own.challengeId).not.toBe(seen.challengeId);
    const code = await codeFor(app, next);
    app.clock.advance({ seconds: 61 });
    await app.auth.resendEmailConfirmation({ email: next, challengeId: seen.challengeId });
    expect(
      (await refusalOf(app.auth.confirmEmail({ challengeId: seen.challengeId, code }))).reason,
    ).toBe('CODE_EXPIRED');
    await app.auth.confirmEmail({ code }, session);
  });
});
