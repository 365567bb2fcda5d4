import { expect } from 'vitest';
import type { CountersignError } from '../../src/client/index.js';
import { budgets, delivered, refusalOf } from '../accounts/house.js';
import { rowCounts } from '../accounts/rows.js';
import type { TestApp } from '../support/test-app.js';

/**
 * Expects every call to be refused, and to leave nothing: no row but access events, no charged guess
 * budget, no hash computed, no message begun.
 */
export async function refusedUntouched(
  app: TestApp,
  calls: readonly (() => Promise<unknown>)[],
  judge: (refused: CountersignError) => void,
): Promise<void> {
  await delivered(app);
  const before = await traces(app);
  for (const call of calls) judge(await refusalOf(call()));
  expect(await traces(app)).toEqual(before);
}

async function traces(app: TestApp) {
  return {
    rows: await rowCounts(app.db),
    budgets: await budgets(app),
    hashes: { ...app.hasher.counts },
    sends: app.mailbox.attempts,
  };
}

/** Every soft limit that one of these RPCs charges, so small that a second call finds it exhausted. */
export const ONE_OF_EACH = {
  LIMIT_CALLS_PER_SOURCE: '1/1h',
  LIMIT_CALLS_PER_CALLER: '1/1h',
  LIMIT_SIGN_UPS_PER_SOURCE: '1/1h',
  LIMIT_SIGN_UPS_IN_ALL: '1/1h',
  LIMIT_EMAIL_IN_ALL: '1/1h',
  LIMIT_SMS_IN_ALL: '1/1h',
  LIMIT_SMS_PER_COUNTRY: '1/1h',
};

/** A person's address, which limits per source look at; loopback is no person's. */
export const PERSON = { clientAddress: '203.0.113.7' };
