import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { describePostgres } from '../support/databases.js';
import { PASSWORD, unique } from '../support/people.js';
import { startTestApp } from '../support/test-app.js';

describePostgres('one request_id for two different sign-ups at once', (database) => {
  it('makes one account; the other is told that the id was used (AIP-155)', async () => {
    await using app = await startTestApp({ database: database() });
    for (let round = 0; round < 20; round += 1) {
      const requestId = randomUUID();
      const usernames = [unique.username(), unique.username()];
      const answers = await Promise.all(
        usernames.map((username) =>
          app.auth.signUp({ username, password: PASSWORD, requestId }).then(
            () => 'OK',
            (error: { reason?: string }) => error.reason,
          ),
        ),
      );
      expect(answers.sort()).toEqual(['OK', 'REQUEST_ID_REUSED']);
      const { rows } = await sql<{ made: number }>`
        select count(*)::int as made from identifiers where value = any(${usernames})`.execute(
        app.db,
      );
      expect(rows).toEqual([{ made: 1 }]);
    }
  });
});
