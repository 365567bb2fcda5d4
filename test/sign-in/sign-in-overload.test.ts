import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/core/errors.js';
import { createCheapHasher } from '../support/cheap-hasher.js';
import { PASSWORD, signUp } from '../support/people.js';
import { startTestApp } from '../support/test-app.js';

const overloaded = () => new DomainError('OVERLOADED', 'full', { retryAfterSeconds: 1 });

describe('SignIn while the hash lane is full (rule 15)', () => {
  it.each(['at the door', 'in the queue'])(
    'uses up nobody’s tries: shed %s, ten times, and the right password still works',
    async (where) => {
      const cheap = createCheapHasher();
      let full = false;
      const shed = () => {
        if (full) throw overloaded();
      };
      await using app = await startTestApp({
        hasher: {
          ...cheap,
          admit: (context) => {
            if (where === 'at the door') shed();
            return cheap.admit(context);
          },
          verify: async (...args) => {
            shed();
            return cheap.verify(...args);
          },
        },
      });
      const { username, accountId } = await signUp(app);
      full = true;
      for (let i = 0; i < 10; i += 1) {
        await expect(
          app.auth.signIn({ identifier: username, password: PASSWORD }),
        ).rejects.toMatchObject({ reason: 'OVERLOADED', retryAfter: 1 });
      }
      const { rows } = await sql<{ counted: number }>`
        select coalesce(sum(failures + window_failures + locks), 0)::int as counted from guess_budgets
        where subject = uuid_send(${accountId}::uuid)`.execute(app.db);
      expect(rows).toEqual([{ counted: 0 }]);
      full = false;
      await app.auth.signIn({ identifier: username, password: PASSWORD });
    },
  );
});
