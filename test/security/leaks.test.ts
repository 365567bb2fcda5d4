import { inspect } from 'node:util';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { addCaller, rpcGroups } from '../../src/callers/index.js';
import { type AuthClient, CountersignError } from '../../src/client/index.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import type { Logger } from '../../src/core/logger.js';
import type { Db } from '../../src/db/index.js';
import { eachDatabase } from '../support/databases.js';
import { signUp, unique, wrongCode } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

const CLIENT_ADDRESS = '198.51.100.123';
const USER_AGENT = 'Netscape Navigator of somebody alone';
const NEW_PASSWORD = 'the password after the reset';
const [PASSWORD, WRONG_PASSWORD] = ['a password that must not leak', 'neither may this wrong one'];

/** What must not be found, by what it is. */
type Needles = ReadonlyMap<string, string>;

/** Every spelling in which a text could lie in a log or a row; bytea shows as hex. */
function spellings(secret: string): readonly string[] {
  const bytes = Buffer.from(secret, 'utf8');
  return [
    secret,
    bytes.toString('hex'),
    bytes.toString('base64').replaceAll('=', ''),
    JSON.stringify(secret).slice(1, -1),
  ];
}

function found(haystack: string, needles: Needles): readonly string[] {
  const lower = haystack.toLowerCase();
  const hits = [...needles].filter(([, secret]) =>
    spellings(secret).some((text) =>
      // Eight digits in a row may stand in a longer number by accident.
      /^\d{8}$/.test(text)
        ? new RegExp(`(?<![0-9a-f])${text}(?![0-9a-f])`).test(lower)
        : lower.includes(text.toLowerCase()),
    ),
  );
  return hits.map(([name]) => name);
}

/** All columns of all rows of all tables, as text. */
async function dump(db: Db): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ name: string }>`select c.relname as name from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition order by 1`.execute(
    db,
  );
  const tables = new Map<string, string>();
  for (const { name } of rows) {
    const content = await sql<{ text: string | null }>`select string_agg(t::text, chr(10)) as text
      from ${sql.table(name)} t`.execute(db);
    tables.set(name, content.rows[0]?.text ?? '');
  }
  return tables;
}

eachDatabase('secrets and addresses stay where they belong (rule 22, O5)', (database) => {
  let app: TestApp;
  let auth: AuthClient;
  let callerKey: string;
  const lines: string[] = [];
  const needles = new Map<string, string>();
  const errors: CountersignError[] = [];
  let queued: ReadonlyMap<string, string>;
  let [email, phoneNumber] = ['', ''];

  beforeAll(async () => {
    callerKey = await addCaller(database().db, {
      name: 'bff',
      groups: rpcGroups,
      random: systemRandom,
      clock: systemClock,
    });
    // As it is handed over, before any redaction: that is only the second lock.
    const record = (level: string) => (fields: object, message: string) => {
      lines.push(
        `${level} ${message} ${inspect(fields, { depth: 12, showHidden: true, maxStringLength: null })}`,
      );
    };
    const log: Logger = {
      debug: record('debug'),
      info: record('info'),
      warn: record('warn'),
      error: record('error'),
    };
    app = await startTestApp({
      database: database(),
      callerKey,
      log,
      env: { CODE_LENGTH: '8', LOG_LEVEL: 'debug' },
    });
    auth = app.auth;
    await walk();
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const fails = async (call: Promise<unknown>): Promise<void> => {
    const error: unknown = await call.then(
      () => new Error('the call should have failed'),
      (reason: unknown) => reason,
    );
    if (!(error instanceof CountersignError)) throw error;
    errors.push(error);
  };
  const keepCode = async (name: string, to: string): Promise<string> => {
    await app.mailbox.waitFor((message) => message.to === to);
    const code = app.mailbox.codeFor(to);
    needles.set(name, code);
    return code;
  };

  /** The main job, with everything going wrong on its way that can. */
  async function walk(): Promise<void> {
    const from = { clientAddress: CLIENT_ADDRESS };
    [email, phoneNumber] = [unique.email(), unique.phone()];
    needles.set('password', PASSWORD).set('wrong password', WRONG_PASSWORD);
    needles.set('email', email).set('phone', phoneNumber.slice(1));
    needles.set('caller key', callerKey).set('client address', CLIENT_ADDRESS);

    // The provider is down, and says why in words that name the reader: the messages lie in the outbox.
    const down = new Error(`rejected: ${email} ${phoneNumber} ${PASSWORD}`);
    app.mailbox.failNext(1_000, down);
    const person = await auth.signUp(
      { username: unique.username(), password: PASSWORD, email, phoneNumber },
      from,
    );
    queued = await dump(app.db);
    app.mailbox.failNext(0);
    needles
      .set('access token', person.tokens?.accessToken ?? '')
      .set('refresh token', person.tokens?.refreshToken ?? '');
    const other = await signUp({ auth }, { email: unique.email(), password: PASSWORD });
    needles
      .set('second access token', other.accessToken)
      .set('second refresh token', other.refreshToken);
    const [otherEmail = ''] =
      other.response.account?.identifiers
        .map(({ value }) => value)
        .filter((value) => value.includes('@')) ?? [];
    needles.set('second email', otherEmail);
    await keepCode('code of the second email', otherEmail);
    app.clock.advance({ seconds: 61 });
    const before = app.mailbox.attempts;
    app.mailbox.failNext(1, down);
    const signedIn = { ...from, accessToken: person.tokens?.accessToken };
    const { challenge } = await auth.sendEmailVerificationCode({}, signedIn);
    await vi.waitUntil(() => app.mailbox.attempts > before, { timeout: 5_000 });
    app.clock.advance({ seconds: 61 });
    await auth
      .sendEmailVerificationCode({}, signedIn)
      .catch((error: CountersignError) => errors.push(error));
    await auth.sendPhoneVerificationCode({}, signedIn);
    const emailCode = await keepCode('email code', email);
    const phoneCode = await keepCode('phone code', phoneNumber);

    const challengeId = challenge?.challengeId ?? '';
    const wrong = wrongCode(emailCode);
    needles.set('wrong code', wrong);
    await fails(auth.confirmEmail({ challengeId, code: wrong }, signedIn));
    await auth.confirmEmail({ challengeId, code: emailCode }, signedIn);
    for (let i = 0; i < 6; i += 1)
      await fails(auth.confirmPhoneNumber({ code: wrongCode(phoneCode) }, signedIn));
    for (let i = 0; i < 6; i += 1)
      await fails(auth.signIn({ identifier: phoneNumber, password: WRONG_PASSWORD }, from));
    const again = await auth.signIn({ identifier: email, password: PASSWORD }, from);
    needles.set('third access token', again.tokens?.accessToken ?? '');
    const { tokens } = await auth.refreshSession(
      { refreshToken: again.tokens?.refreshToken ?? '' },
      from,
    );
    needles
      .set('refreshed token', tokens?.refreshToken ?? '')
      .set('used refresh token', again.tokens?.refreshToken ?? '');
    await auth.introspectToken({ accessToken: tokens?.accessToken ?? '' });
    await fails(auth.getAccount({}, { ...from, accessToken: `${tokens?.accessToken}x` }));
    await fails(auth.refreshSession({ refreshToken: `${tokens?.refreshToken}x` }, from));
    await fails(auth.confirmEmail({ challengeId, code: `${emailCode}9` }, from));
    await fails(
      auth.signUp(
        {
          username: 'no@name',
          password: PASSWORD,
          email: `${email},`,
          phoneNumber: `${phoneNumber} ext 5`,
        },
        from,
      ),
    );
    // The database itself refuses a row, and says in its error which one.
    await sql`alter table profiles add constraint unforeseen check (display_name not like 'refused%')`.execute(
      app.db,
    );
    await fails(
      auth.signUp(
        {
          username: unique.username(),
          password: PASSWORD,
          email: unique.email(),
          displayName: `refused ${email}`,
        },
        from,
      ),
    );
    await sql`alter table profiles drop constraint unforeseen`.execute(app.db);
    await walkWithoutPassword();
    await auth.signOut({ refreshToken: tokens?.refreshToken ?? '' }, from);
  }

  /** A sign-in by phone and a recovery, queued while nothing can be sent, and what they open. */
  async function walkWithoutPassword(): Promise<void> {
    const from = { clientAddress: CLIENT_ADDRESS, clientUserAgent: USER_AGENT };
    const phone = unique.phone();
    needles.set('signing-in phone', phone.slice(1)).set('user agent', USER_AGENT);
    const nextCode = async (name: string, to: string): Promise<string> => {
      const seen = app.mailbox.messages.length;
      await app.mailbox.waitFor(
        (message) => message.to === to && app.mailbox.messages.indexOf(message) >= seen,
      );
      needles.set(name, app.mailbox.codeFor(to));
      return app.mailbox.codeFor(to);
    };
    app.clock.advance({ seconds: 61 });
    const signIn = nextCode('sign-in code', phone);
    const asked = await auth.requestPhoneSignIn({ phoneNumber: phone }, from);
    const code = await signIn;
    const flow = { challengeId: asked.challenge?.challengeId ?? '' };
    await fails(auth.completePhoneSignIn({ ...flow, code: wrongCode(code) }, from));
    const { tokens } = await auth.completePhoneSignIn({ ...flow, code }, from);
    needles
      .set('access token by phone', tokens?.accessToken ?? '')
      .set('refresh token by phone', tokens?.refreshToken ?? '');
    const reset = nextCode('reset code', email);
    const { challenge } = await auth.requestPasswordReset({ identifier: email }, from);
    const { resetToken } = await auth.verifyPasswordResetCode(
      { challengeId: challenge?.challengeId ?? '', code: await reset },
      from,
    );
    needles.set('reset token', resetToken).set('new password', NEW_PASSWORD);
    await fails(auth.resetPassword({ resetToken: `${resetToken}x`, newPassword: PASSWORD }, from));
    await auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD }, from);
  }

  it('went wrong in the ways that it was to go wrong', () => {
    const reasons = new Set(errors.map(({ reason }) => reason));
    for (const reason of [
      'CODE_INVALID',
      'VERIFICATION_LOCKED',
      'CREDENTIALS_INVALID',
      'SIGN_IN_LOCKED',
      'CODE_MALFORMED',
      'INTERNAL',
      'ACCESS_TOKEN_INVALID',
      'REFRESH_TOKEN_INVALID',
      'USERNAME_INVALID',
    ]) {
      expect([...reasons]).toContain(reason);
    }
    for (const [name, secret] of needles) expect([name, secret.length > 7]).toEqual([name, true]);
  });

  it('is found by these needles where it does stand: the search itself works', () => {
    const here = `x ${email} ${Buffer.from(PASSWORD).toString('hex')}`;
    expect(found(here, needles)).toEqual(expect.arrayContaining(['email', 'password']));
  });

  it('no log line holds a code, a password, a token, a caller key, a full phone or an email', () => {
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.some((line) => line.startsWith('error'))).toBe(true);
    for (const line of lines) expect([found(line, needles), line]).toEqual([[], line]);
  });

  it('no error holds more than the caller sent: no code, password, token or address', () => {
    for (const error of errors) {
      const text = inspect([error.message, error.metadata, error.violations], {
        depth: 5,
        maxStringLength: null,
      });
      expect([found(text, needles), text]).toEqual([[], text]);
      const details = Buffer.concat(detailsOf(error)).toString('latin1');
      expect(found(details, needles)).toEqual([]);
    }
  });

  describe('no table', () => {
    it('but identifiers holds an address; none holds a code, password, token or caller key', async () => {
      // The audit's batch is written by now.
      await expect
        .poll(async () => (await dump(app.db)).get('audit_events') ?? '', { timeout: 10_000 })
        .toContain('SignOut');
      const tables = await dump(app.db);
      expect(tables.size).toBeGreaterThan(15);
      for (const [name, text] of tables) {
        const expected =
          name === 'identifiers'
            ? found(text, needles).filter((hit) => /email$|(?<!by )phone$/.test(hit))
            : [];
        // Dates end in digits that may look like a code.
        const plain = text.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*(?:\+\d\d)?/g, '');
        expect([name, found(plain, needles)]).toEqual([name, expected]);
      }
      expect(found(tables.get('identifiers') ?? '', needles)).toContain('email');
    });

    it('holds a queued message in clear, before it is sent', () => {
      const outbox = queued.get('outbox') ?? '';
      expect(outbox.match(/queued/g)).toHaveLength(2);
      expect(found(outbox, needles)).toEqual([]);
      expect(found(queued.get('challenges') ?? '', needles)).toEqual([]);
    });

    it('holds a code from which an hmac key is missing: a dump alone confirms no guess', async () => {
      const { createHash } = await import('node:crypto');
      const code = needles.get('code of the second email') ?? '';
      const { rows } = await sql<{
        code_hash: Buffer;
        challenge_id: string;
      }>`select code_hash, challenge_id from challenges`.execute(app.db);
      const guesses = rows.flatMap(({ challenge_id: id }) => [
        code,
        `${code}${id}`,
        `${id}${code}`,
        `${id}:${code}`,
      ]);
      const digests = new Set(
        guesses.map((guess) => createHash('sha256').update(guess).digest('hex')),
      );
      expect(rows.length).toBeGreaterThan(1);
      for (const { code_hash } of rows) expect(digests.has(code_hash.toString('hex'))).toBe(false);
    });
  });
});

function detailsOf(error: CountersignError): readonly Buffer[] {
  const { cause } = error;
  if (!(cause instanceof Error) || !('metadata' in cause)) return [];
  const metadata = cause.metadata as { get(key: string): readonly (string | Buffer)[] };
  return metadata.get('grpc-status-details-bin').map((value) => Buffer.from(value));
}
