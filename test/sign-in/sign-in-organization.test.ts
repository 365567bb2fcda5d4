import { Client } from 'pg';
import { expect, it } from 'vitest';
import { createCheapHasher } from '../support/cheap-hasher.js';
import { describePostgres } from '../support/databases.js';
import { PASSWORD, signUp } from '../support/people.js';
import { startTestApp } from '../support/test-app.js';

describePostgres('the organization of a session', (database) => {
  it('is not locked at sign-in: members neither wait for it nor for each other', async () => {
    await using app = await startTestApp({ database: database(), hasher: createCheapHasher() });
    const { username } = await signUp(app);
    const other = new Client({ connectionString: database().url });
    await other.connect();
    try {
      await other.query('begin');
      await other.query('select from organizations for update');
      const { accountId } = await app.auth.signIn({ identifier: username, password: PASSWORD });
      expect(accountId).not.toBe('');
    } finally {
      await other.end();
    }
  });
});
