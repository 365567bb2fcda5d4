import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { Client } from 'pg';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import { ensureAuditPartitions } from '../../src/audit/index.js';
import { systemClock } from '../../src/core/clock.js';
import type { Db } from '../../src/db/index.js';
import { createSweeps } from '../../src/workers/index.js';
import { eventually } from '../resilience/eventually.js';
import { isBackground } from '../security/watched-database.js';
import { silentLog, type TestDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique, wrongCode } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { GROWING_TABLES, loadRows } from './load-rows.js';
import { type Recording, recordStatements, scannedTables } from './statements.js';

export const HOT_PATHS = [
  'start',
  'SignUp',
  'Confirm',
  'SignIn',
  'Send',
  'Refresh',
  'GetAccount',
  'PhoneSignIn',
  'Recovery',
  'Resend',
  'Sessions',
  'Account',
  'Contacts',
  'SignOut',
  'sweep',
  'delivery',
] as const;

type HotPath = (typeof HOT_PATHS)[number];

export interface ScanReport {
  /** How many different statements were seen, by what was going on. */
  readonly seen: Readonly<Record<string, number>>;
  /** Rows of the loaded tables, as the catalogue has them. */
  readonly tables: Readonly<Record<string, number>>;
  /** `during: table`, of statements that scan a growing table. */
  readonly scans: readonly string[];
  /** How many different texts there were. */
  readonly texts: number;
  /** Texts that came with a second person only. */
  readonly furtherTexts: readonly string[];
}

/** Loads the tables, walks every hot path through the public door, twice, and explains what it sent. */
export async function reportScans(
  database: TestDatabase & { readonly url: string },
  count: number,
): Promise<ScanReport> {
  // A service has started before: the partitions of the audit are there.
  await ensureAuditPartitions(database.db, systemClock, silentLog);
  await loadRows(database.db, count);
  const large = await largeTables(database.db, count);
  for (const name of GROWING_TABLES)
    if (!large.has(name)) throw new Error(`${name} was not loaded`);
  using recording = recordStatements();
  await using app = await startTestApp({ database });
  await walkHotPaths(app, recording);
  const texts = new Set(recording.statements.keys());
  await walkHotPaths(app, recording);
  const furtherTexts = [...recording.statements.keys()].filter(
    (text) => !texts.has(text) && !isBackground(text),
  );
  const seen: Record<string, number> = {};
  const scans: string[] = [];
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    for (const { during, statement } of [...recording.statements.values()]) {
      for (const path of during) seen[path] = (seen[path] ?? 0) + 1;
      for (const table of await scannedTables(client, statement)) {
        const text = statement.text.replaceAll(/\s+/g, ' ').slice(0, 300);
        if (large.has(table)) scans.push(`${[...during].join(', ')}: ${table}: ${text}`);
      }
    }
  } finally {
    await client.end();
  }
  const { size } = recording.statements;
  return { seen, scans, furtherTexts, texts: size, tables: Object.fromEntries(large) };
}

/** By the catalogue's own figures: partitions are tables too, and the empty ones may be scanned. */
async function largeTables(db: Db, count: number): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ relname: string; tuples: number }>`
    select relname, reltuples::float8 as tuples from pg_class
    where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace
      and reltuples >= ${count / 2}`.execute(db);
  return new Map(rows.map(({ relname, tuples }) => [relname, tuples]));
}

async function walkHotPaths(app: TestApp, recording: Recording): Promise<void> {
  const { auth, mailbox, clock } = app;
  const [email, phoneNumber, requestId] = [unique.email(), unique.phone(), randomUUID()];
  const during = (path: HotPath): void => recording.during(path);

  during('SignUp');
  const fields = { username: unique.username(), password: PASSWORD, email, phoneNumber, requestId };
  const person = await signUp(app, fields);
  const access = { accessToken: person.accessToken };
  await signUp(app, fields);
  await ignore(signUp(app, { username: fields.username }));

  during('Confirm');
  await mailbox.waitFor(({ to }) => to === phoneNumber);
  await mailbox.waitFor(({ to }) => to === email);
  const [emailChallenge, phoneChallenge] = person.challengeIds;
  const right = mailbox.codeFor(phoneNumber);
  await ignore(auth.confirmPhoneNumber({ challengeId: phoneChallenge, code: wrongCode(right) }));
  await ignore(auth.confirmPhoneNumber({ code: wrongCode(right) }, access));
  await auth.confirmPhoneNumber({ challengeId: phoneChallenge, code: right });
  await auth.confirmEmail({ challengeId: emailChallenge, code: mailbox.codeFor(email) }, access);
  await ignore(auth.confirmEmail({ challengeId: randomUUID(), code: '123456' }));

  during('SignIn');
  for (const identifier of [person.username, email, phoneNumber])
    await auth.signIn({ identifier, password: PASSWORD });
  await ignore(auth.signIn({ identifier: email, password: 'wrong' }));
  await ignore(auth.signIn({ identifier: unique.username(), password: 'wrong' }));

  during('Send');
  clock.advance({ seconds: 61 });
  const other = unique.phone();
  await auth.sendPhoneVerificationCode({ phoneNumber: other, requestId: randomUUID() }, access);
  await ignore(auth.sendPhoneVerificationCode({ phoneNumber: other }, access));
  clock.advance({ seconds: 61 });
  await auth.sendPhoneVerificationCode({}, access);
  await auth.sendEmailVerificationCode({ email: unique.email() }, access);

  during('Refresh');
  const { tokens } = await auth.refreshSession({ refreshToken: person.refreshToken });
  await auth.refreshSession({ refreshToken: person.refreshToken });
  const next = await auth.refreshSession({ refreshToken: tokens?.refreshToken ?? '' });
  await ignore(auth.refreshSession({ refreshToken: 'garbage' }));

  during('GetAccount');
  await auth.getAccount({}, access);
  await auth.introspectToken(access);

  await walkAnonymousFlows(app, recording, email);
  await walkAccount(app, recording);

  during('SignOut');
  await auth.signOut({ refreshToken: next.tokens?.refreshToken ?? '' });
  await ignore(auth.refreshSession({ refreshToken: person.refreshToken }));

  during('sweep');
  for (const { name, sweep } of createSweeps(silentLog)) {
    // The table of notices holds one day's, and is read whole by intention.
    if (name !== 'notices') await sweep(app.db, clock, 500);
  }

  during('delivery');
  mailbox.failNext(1);
  const failing = await signUp(app, { phoneNumber: unique.phone() });
  const recovered = unique.phone();
  await ignore(
    auth.sendPhoneVerificationCode(
      { phoneNumber: recovered },
      { accessToken: failing.accessToken },
    ),
  );
  // A failure, its recovery after the pause, and an expiry: the worker's own statements.
  clock.advance({ seconds: 120 });
  await eventually('a failed message was taken again', async () =>
    [...recording.statements.keys()].some(isTaking),
  );
  await eventually('a failure was written down', async () =>
    [...recording.statements.keys()].some(isFailing),
  );
}

/** Requests, what the sender makes of them, and what their codes open: for somebody, and for nobody. */
async function walkAnonymousFlows(app: TestApp, recording: Recording, email: string) {
  const { auth, mailbox, clock } = app;
  const during = (path: HotPath): void => recording.during(path);

  during('PhoneSignIn');
  const phoneNumber = unique.phone();
  // The first one makes the account, the second one signs in to it.
  for (let round = 0; round < 2; round += 1) {
    const asked = await auth.requestPhoneSignIn({ phoneNumber });
    const challengeId = asked.challenge?.challengeId ?? '';
    await ignore(auth.requestPhoneSignIn({ phoneNumber, challengeId }));
    const code = await nextCode(app, phoneNumber, round + 1);
    await ignore(auth.completePhoneSignIn({ challengeId, code: wrongCode(code) }));
    await auth.completePhoneSignIn({ challengeId, code });
    clock.advance({ seconds: 61 });
  }

  during('Recovery');
  await auth.requestPasswordReset({ identifier: unique.email() });
  const before = codesTo(app, email);
  const { challenge } = await auth.requestPasswordReset({ identifier: email });
  const challengeId = challenge?.challengeId ?? '';
  const code = await nextCode(app, email, before + 1);
  await ignore(auth.verifyPasswordResetCode({ challengeId, code: wrongCode(code) }));
  const { resetToken } = await auth.verifyPasswordResetCode({ challengeId, code });
  await auth.resetPassword({ resetToken, newPassword: PASSWORD });

  during('Resend');
  const claimed = unique.email();
  const person = await signUp(app, { email: claimed });
  await mailbox.waitFor(({ to }) => to === claimed);
  clock.advance({ seconds: 61 });
  await auth.resendEmailConfirmation({ email: claimed, challengeId: person.challengeIds[0] });
  await nextCode(app, claimed, 2);
  await auth.resendEmailConfirmation({ email: claimed });
}

/** What a signed-in person does to the account, and its end. */
async function walkAccount(app: TestApp, recording: Recording): Promise<void> {
  const { auth, mailbox } = app;
  const during = (path: HotPath): void => recording.during(path);
  const phoneNumber = unique.phone();
  const person = await signUp(app, { phoneNumber });
  const access = { accessToken: person.accessToken };
  await mailbox.waitFor(({ to }) => to === phoneNumber);
  await auth.confirmPhoneNumber({ code: mailbox.codeFor(phoneNumber) }, access);

  during('Sessions');
  await auth.signIn({ identifier: person.username, password: PASSWORD });
  const { sessions, nextPageToken } = await auth.listSessions({ pageSize: 1 }, access);
  await auth.listSessions({ pageSize: 1, pageToken: nextPageToken }, access);
  await auth.revokeSession({ sessionId: sessions[0]?.sessionId ?? '' }, access);

  during('Account');
  await auth.updateProfile({ profile: { displayName: 'Ada' } }, access);
  await auth.updateSettings({ settings: { locale: 'vi' } }, access);
  const passwords = { currentPassword: PASSWORD, newPassword: `${PASSWORD} anew` };
  await ignore(auth.changePassword({ ...passwords, currentPassword: 'wrong' }, access));
  await auth.changePassword(passwords, access);

  during('Contacts');
  await auth.setSignInEnabled({ type: IdentifierType.PHONE, enabled: false }, access);
  await auth.setPhoneNumber({ phoneNumber: unique.phone() }, access);
  await auth.removePhoneNumber({}, access);
  await auth.removeEmail({}, access);

  during('Account');
  await auth.closeAccount({}, access);
  const leaving = await signUp(app);
  await auth.signOutEverywhere({}, { accessToken: leaving.accessToken });
}

const codesTo = ({ mailbox }: TestApp, address: string): number =>
  mailbox.messages.filter(({ to, text }) => to === address && /^[0-9]{6}(?= |$)/m.test(text))
    .length;

/** The code that arrived last, once so many have arrived at the address. */
async function nextCode(app: TestApp, address: string, count: number): Promise<string> {
  await eventually('a code has come', async () => codesTo(app, address) >= count);
  return app.mailbox.codeFor(address);
}

const isTaking = (text: string): boolean =>
  text.includes('for update skip locked') && text.includes('"lifetimeMs"');
const isFailing = (text: string): boolean => text.includes('last_error');

async function ignore(call: Promise<unknown>): Promise<void> {
  await call.catch(() => undefined);
}
