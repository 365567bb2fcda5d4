import { afterAll, beforeAll, expect, it } from 'vitest';
import { CountersignError } from '../../src/client/index.js';
import type { Logger } from '../../src/core/logger.js';
import { DatabaseUnavailableError } from '../../src/db/index.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { bomb, frame, lyingFrame, sendRaw } from '../support/raw-frames.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { rawSignIn } from './raw-call.js';
import { type WatchedDatabase, watchDatabase } from './watched-database.js';

/** `test/grpc` tries the edge with bytes of every kind; here the whole service stands behind it. */
eachDatabase('faults (rule 20)', (database) => {
  let app: TestApp;
  let watched: WatchedDatabase;
  const logged: { level: string; fields: Readonly<Record<string, unknown>> }[] = [];
  beforeAll(async () => {
    const record = (level: string) => (fields: object) =>
      void logged.push({ level, fields: { ...fields } });
    const log: Logger = {
      debug: record('debug'),
      info: record('info'),
      warn: record('warn'),
      error: record('error'),
    };
    watched = watchDatabase(database());
    app = await startTestApp({ database: watched.database, log });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const failure = (call: Promise<unknown>): Promise<CountersignError> =>
    call.then(
      () => Promise.reject(new Error('the call should have failed')),
      (error: CountersignError) => error,
    );

  it('that nobody thought of reach the client as INTERNAL with a fixed text and a reference, found in the log', async () => {
    const person = await signUp(app);
    const calls: readonly (readonly [RegExp, string, () => Promise<unknown>])[] = [
      [
        /insert into accounts/,
        'SignUp',
        () => app.auth.signUp({ username: unique.username(), password: PASSWORD }),
      ],
      [
        /guess_budgets/,
        'SignIn',
        () => app.auth.signIn({ identifier: person.username, password: PASSWORD }),
      ],
      [
        /update sessions|sessions s/,
        'RefreshSession',
        () => app.auth.refreshSession({ refreshToken: person.refreshToken }),
      ],
      [
        /from accounts a/,
        'GetAccount',
        () => app.auth.getAccount({}, { accessToken: person.accessToken }),
      ],
      [
        /challenges/,
        'ConfirmEmail',
        () => app.auth.confirmEmail({ code: '123456' }, { accessToken: person.accessToken }),
      ],
      [
        /outbox/,
        'SendEmailVerificationCode',
        () =>
          app.auth.sendEmailVerificationCode(
            { email: unique.email() },
            { accessToken: person.accessToken },
          ),
      ],
    ];
    for (const [fits, rpc, call] of calls) {
      watched.failNext(fits, new Error('password=hunter2 at /srv/secret.ts, table internals'));
      const error = await failure(call());
      expect([rpc, error.codeName, error.reason]).toEqual([rpc, 'INTERNAL', 'INTERNAL']);
      expect(error.message).toBe(
        `${rpc}: INTERNAL INTERNAL: an unexpected error; its reference names it in the logs`,
      );
      expect(Object.keys(error.metadata)).toEqual(['reference']);
      const line = logged.find(({ fields }) => fields['reference'] === error.metadata['reference']);
      expect(line).toMatchObject({
        level: 'error',
        fields: { method: `countersign.v1.AuthService/${rpc}`, requestId: error.requestId },
      });
    }
    expect(
      (await app.auth.signIn({ identifier: person.username, password: PASSWORD })).accountId,
    ).toBe(person.accountId);
  });

  it('tell nothing on the wire: neither what failed nor where', async () => {
    watched.failNext(
      /guess_budgets/,
      new Error('password=hunter2 at /srv/secret.ts, table internals'),
    );
    const answer = await rawSignIn(app.address, { identifier: 'somebody', password: PASSWORD });
    const details = Buffer.from(String(answer['grpc-status-details-bin']), 'base64').toString(
      'latin1',
    );
    expect(JSON.stringify(answer) + details).not.toMatch(
      /hunter2|secret\.ts|internals|guess_budgets|node_modules|src\//,
    );
    expect(answer).toMatchObject({ 'grpc-status': '13' });
  });

  it('of the database being away are UNAVAILABLE, and the sign-in told nothing of the account', async () => {
    const person = await signUp(app);
    for (const identifier of [person.username, unique.username()]) {
      watched.failNext(
        /guess_budgets/,
        new DatabaseUnavailableError('connect ECONNREFUSED 10.0.0.3:5432'),
      );
      const error = await failure(app.auth.signIn({ identifier, password: PASSWORD }));
      expect([error.codeName, error.reason]).toEqual(['UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE']);
      expect(error.message).not.toContain('10.0.0.3');
    }
  });

  it('of a guess are counted although the call failed afterwards (rule 2)', async () => {
    const { username } = await signUp(app);
    for (let i = 0; i < 5; i += 1) {
      // The right password, and the statement after the hash fails.
      watched.failNext(/insert into sessions/, new Error('lost'));
      expect(
        (await failure(app.auth.signIn({ identifier: username, password: PASSWORD }))).reason,
      ).toBe('INTERNAL');
    }
    expect(
      (await failure(app.auth.signIn({ identifier: username, password: PASSWORD }))).reason,
    ).toBe('SIGN_IN_LOCKED');
  });

  it('of the wire cost nothing: no statement, no hash, and the service goes on', async () => {
    const before = { ...app.hasher.counts };
    watched.reset();
    const gzip = { 'grpc-encoding': 'gzip' };
    const bodies: readonly (readonly [string, readonly Buffer[], object])[] = [
      ['a frame cut short', [lyingFrame(Buffer.alloc(10), 100)], {}],
      ['a frame that claims 4 GiB', [lyingFrame(Buffer.alloc(10), 0xffffffff)], {}],
      ['over 64 KiB', [frame(Buffer.alloc(64 * 1024 + 1))], {}],
      ['a bomb of 32 MiB', [bomb(32 * 1024 * 1024)], gzip],
      ['groups nested ten thousand deep', [frame(Buffer.alloc(10_000, 0x5b))], {}],
      ['text that is not UTF-8', [frame(Buffer.from([0x0a, 2, 0xc3, 0x28]))], {}],
    ];
    for (const rpc of [
      'SignUp',
      'SignIn',
      'ConfirmEmail',
      'RefreshSession',
      'SignOut',
      'IntrospectToken',
    ]) {
      for (const [name, chunks, headers] of bodies) {
        const method = `countersign.v1.AuthService/${rpc}`;
        const { status } = await sendRaw({
          address: app.address,
          method,
          chunks,
          headers: { ...headers },
        });
        expect([rpc, name, status]).not.toEqual([rpc, name, 0]);
      }
    }
    expect(watched.statements()).toEqual([]);
    expect(app.hasher.counts).toEqual(before);
    expect((await signUp(app)).accountId).not.toBe('');
  });

  it('of the clock: a call whose deadline is over is answered once, as DEADLINE_EXCEEDED', async () => {
    const error = await failure(
      app.auth.signIn({ identifier: 'somebody', password: PASSWORD }, { deadlineMs: 1 }),
    );
    expect(error).toBeInstanceOf(CountersignError);
    expect(error.codeName).toBe('DEADLINE_EXCEEDED');
  });
});
