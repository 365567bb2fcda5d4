import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createCheapHasher } from '../support/cheap-hasher.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

/** What was true when the password was charged must still be true when the session begins. */
eachDatabase('between the two trips of a sign-in', (database) => {
  const cheap = createCheapHasher();
  let meanwhile = async (): Promise<void> => {};
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({
      database: database(),
      hasher: {
        ...cheap,
        verify: async (...args) => {
          await meanwhile();
          return cheap.verify(...args);
        },
      },
    });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const reasonOf = (call: Promise<unknown>) =>
    call.then(
      () => 'OK',
      (error: { reason?: string }) => error.reason,
    );

  it.each([
    ['the password was changed', 'update accounts set proof_epoch = proof_epoch + 1'],
    ['every session was ended', 'update accounts set session_epoch = session_epoch + 1'],
    ['the account was blocked', "update accounts set status = 'blocked'"],
    [
      'the identifier stopped signing in',
      "update identifiers set sign_in_enabled = false where type = 'username'",
    ],
  ])('no session begins when %s (A3, rule 6)', async (_, change) => {
    const { username, accountId } = await signUp(app);
    const where = change.includes('where') ? 'and' : 'where';
    meanwhile = async () => {
      await sql`${sql.raw(`${change} ${where} account_id = '${accountId}'`)}`.execute(app.db);
    };
    const answer = await reasonOf(app.auth.signIn({ identifier: username, password: PASSWORD }));
    meanwhile = async () => {};
    expect(answer).toBe('CREDENTIALS_INVALID');
    const { rows } = await sql<{ sessions: number }>`
      select count(*)::int as sessions from sessions where account_id = ${accountId}::uuid`.execute(
      app.db,
    );
    expect(rows).toEqual([{ sessions: 1 }]);
  });

  it('charges nothing to the account while what was typed is shut', async () => {
    const email = unique.email();
    const { username, accountId, challengeIds } = await signUp(app, { email });
    await app.mailbox.waitFor(({ to }) => to === email);
    const [challengeId = ''] = challengeIds;
    await app.auth.confirmEmail({ challengeId, code: app.mailbox.codeFor(email) });
    const wrong = () => reasonOf(app.auth.signIn({ identifier: email, password: 'not the one' }));
    for (let i = 0; i < 5; i += 1) expect(await wrong()).toBe('CREDENTIALS_INVALID');
    await sql`delete from guess_budgets where subject = uuid_send(${accountId}::uuid)`.execute(
      app.db,
    );
    for (let i = 0; i < 6; i += 1) expect(await wrong()).toBe('SIGN_IN_LOCKED');
    expect(await reasonOf(app.auth.signIn({ identifier: username, password: PASSWORD }))).toBe(
      'OK',
    );
  });
});
