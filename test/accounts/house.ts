import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { vi } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import { addCaller, type RpcGroup } from '../../src/callers/index.js';
import { type CallOptions, CountersignError } from '../../src/client/index.js';
import { systemRandom } from '../../src/core/ids.js';
import type { RenderedMessage } from '../../src/delivery/index.js';
import type { TestDatabase } from '../support/databases.js';
import { createMailbox } from '../support/mailbox.js';
import { type Signup, signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp, type TestAppOptions } from '../support/test-app.js';
import { createTestClock } from '../support/test-clock.js';

/** Apps with different settings over one database, one clock and one mailbox: replicas, one at a time. */
export interface House extends AsyncDisposable {
  /** Default rules, but soft limits that no test of another matter meets. */
  readonly app: TestApp;
  open(
    env: Readonly<Record<string, string>>,
    options?: Pick<TestAppOptions, 'callerKey' | 'log'>,
  ): Promise<TestApp>;
}

const ROOMY = {
  LIMIT_SENDS_PER_ADDRESS_SHORT: '1000/1h',
  LIMIT_SENDS_PER_ADDRESS_LONG: '1000/1d',
  LIMIT_KNOWN_SENDS_PER_ADDRESS_SHORT: '1000/1h',
  LIMIT_KNOWN_SENDS_PER_ADDRESS_LONG: '1000/1d',
  // A lock of 15 minutes outlives the usual access token; sessions are not what is tested here.
  ACCESS_TOKEN_TTL: '1h',
};

export async function openHouse(database: TestDatabase): Promise<House> {
  const dataDir = await mkdtemp(join(tmpdir(), 'countersign-house-'));
  const shared = { database, dataDir, clock: createTestClock(), mailbox: createMailbox() };
  const apps: TestApp[] = [];
  const open: House['open'] = async (env, options = {}) => {
    const app = await startTestApp({ ...shared, ...options, env: { ...ROOMY, ...env } });
    apps.push(app);
    return app;
  };
  return {
    app: await open({}),
    open,
    async [Symbol.asyncDispose]() {
      for (const app of apps) await app[Symbol.asyncDispose]();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A new calling service's key. */
export function newCaller(
  { db, clock }: TestApp,
  groups: readonly RpcGroup[] = ALL_GROUPS,
): Promise<string> {
  return addCaller(db, { name: unique.username(), groups, random: systemRandom, clock });
}

const ALL_GROUPS: readonly RpcGroup[] = [
  'sign-up',
  'sign-in',
  'verification',
  'session',
  'account',
];

/** The failure of a call that must fail. */
export async function refusalOf(call: Promise<unknown>): Promise<CountersignError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof CountersignError) return error;
    throw error;
  }
  throw new Error('the call was not refused');
}

/** Waits until no message is on its way any more: then the clock may move, and what is missing was not sent. */
export async function delivered({ db }: TestApp): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows } = await sql`select 1 from outbox where state = 'queued'`.execute(db);
      if (rows.length > 0) throw new Error(`${rows.length} messages are still queued`);
    },
    { timeout: 10_000, interval: 5 },
  );
}

/** The code that lies with an address, once everything is delivered. */
export async function codeFor(app: TestApp, to: string): Promise<string> {
  await delivered(app);
  return app.mailbox.codeFor(to);
}

export async function messagesTo(app: TestApp, to: string): Promise<readonly RenderedMessage[]> {
  await delivered(app);
  return app.mailbox.messages.filter((message) => message.to === to);
}

export interface IdentifierRow {
  readonly type: string;
  readonly value: string;
  readonly state: string;
  readonly sign_in_enabled: boolean;
}

/** An account's emails and phones, as the table has them. */
export async function addressesOf(
  { db }: TestApp,
  accountId: string,
): Promise<readonly IdentifierRow[]> {
  const { rows } =
    await sql<IdentifierRow>`select type, value, state, sign_in_enabled from identifiers
    where account_id = ${accountId}::uuid and type <> 'username' order by type, state, value`.execute(
      db,
    );
  return rows;
}

/** Every guess budget, to show that nothing was charged. */
export async function budgets({ db }: TestApp): Promise<readonly unknown[]> {
  const { rows } = await sql`select * from guess_budgets order by subject, channel, lane`.execute(
    db,
  );
  return rows;
}

/** The failures in a row of an account's own guess budget; undefined: no row. */
export async function failuresOf(
  { db }: TestApp,
  accountId: string,
  key: { readonly channel: 'email' | 'sms'; readonly lane: 'session' | 'anonymous' },
) {
  const { rows } = await sql<{
    failures: number;
    window_failures: number;
    locked_until: Date | null;
  }>`
    select failures, window_failures, locked_until from guess_budgets
    where subject = uuid_send(${accountId}::uuid) and channel = ${key.channel} and lane = ${key.lane}`.execute(
    db,
  );
  return rows[0];
}

/** What email and phone have in common, so that each rule is shown for both. */
export interface ChannelCase {
  readonly channel: 'email' | 'sms';
  readonly type: 'email' | 'phone';
  readonly wireType: IdentifierType;
  readonly wireChannel: Channel;
  /** The field of the address in requests. */
  readonly field: string;
  address(): string;
  /** Fields of a sign-up that claims the address. */
  claim(address: string): { readonly email?: string; readonly phoneNumber?: string };
  send(
    app: TestApp,
    options: CallOptions,
    address?: string,
    requestId?: string,
  ): Promise<{
    readonly challengeId: string;
    readonly maskedDestination: string;
    readonly resendTime: Date | undefined;
  }>;
  confirm(
    app: Pick<TestApp, 'auth'>,
    request: { readonly challengeId?: string; readonly code: string },
    options?: CallOptions,
  ): ReturnType<TestApp['auth']['confirmEmail']>;
}

export const email: ChannelCase = {
  channel: 'email',
  type: 'email',
  wireType: IdentifierType.EMAIL,
  wireChannel: Channel.EMAIL,
  field: 'email',
  address: unique.email,
  claim: (address) => ({ email: address }),
  send: async (app, options, address, requestId) =>
    present(
      (await app.auth.sendEmailVerificationCode({ email: address, requestId }, options)).challenge,
    ),
  confirm: (app, request, options) => app.auth.confirmEmail(request, options),
};

export const sms: ChannelCase = {
  channel: 'sms',
  type: 'phone',
  wireType: IdentifierType.PHONE,
  wireChannel: Channel.SMS,
  field: 'phone_number',
  address: unique.phone,
  claim: (address) => ({ phoneNumber: address }),
  send: async (app, options, address, requestId) =>
    present(
      (await app.auth.sendPhoneVerificationCode({ phoneNumber: address, requestId }, options))
        .challenge,
    ),
  confirm: (app, request, options) => app.auth.confirmPhoneNumber(request, options),
};

export const channels: readonly ChannelCase[] = [email, sms];

export interface Claimant extends Signup {
  readonly address: string;
  readonly challengeId: string;
  readonly code: string;
  /** Call options of the signed-in person. */
  readonly session: { readonly accessToken: string };
}

/** Somebody who signed up with an unproven address, and the code that was sent there. */
export async function claimant(
  app: TestApp,
  on: ChannelCase,
  address = on.address(),
  fields: Parameters<typeof signUp>[1] = {},
): Promise<Claimant> {
  const person = await signUp(app, { ...fields, ...on.claim(address) });
  const [challengeId = ''] = person.challengeIds;
  return {
    ...person,
    address,
    challengeId,
    code: await codeFor(app, address),
    session: { accessToken: person.accessToken },
  };
}

/** Somebody who has proven the address. */
export async function holder(
  app: TestApp,
  on: ChannelCase,
  address = on.address(),
  fields: Parameters<typeof signUp>[1] = {},
): Promise<Claimant> {
  const person = await claimant(app, on, address, fields);
  await on.confirm(app, person, person.session);
  return person;
}

/** `times` wrong guesses, one after the other; the refusals. */
export async function guessWrong(
  app: TestApp,
  on: ChannelCase,
  guess: { readonly challengeId?: string; readonly code: string },
  times: number,
  options?: CallOptions,
): Promise<readonly CountersignError[]> {
  const refusals: CountersignError[] = [];
  for (let n = 1; n <= times; n += 1) {
    const code = String((Number(guess.code) + n) % 1_000_000).padStart(6, '0');
    const request =
      guess.challengeId === undefined ? { code } : { challengeId: guess.challengeId, code };
    refusals.push(await refusalOf(on.confirm(app, request, options)));
  }
  return refusals;
}

export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the answer lacks what it must have');
  return value;
}
