import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/core/errors.js';
import { createCheapHasher } from '../support/cheap-hasher.js';
import { startTestApp } from '../support/test-app.js';
import { channelOf, heldBy, NEW_PASSWORD, tokenFor } from './recovering.js';

const overloaded = () => new DomainError('OVERLOADED', 'full', { retryAfterSeconds: 1 });

describe('ResetPassword while the hash lane is full (rule 15)', () => {
  it.each(['on its headers', 'at the door', 'in the queue'])(
    'uses no token up: shed %s, and the token still works',
    async (where) => {
      const cheap = createCheapHasher();
      let full = false;
      const shed = (at: string) => {
        if (full && at === where) throw overloaded();
      };
      await using app = await startTestApp({
        hasher: {
          ...cheap,
          refuses: () => (full && where === 'on its headers' ? overloaded() : undefined),
          admit: (context) => {
            shed('at the door');
            return cheap.admit(context);
          },
          hash: async (...args) => {
            shed('in the queue');
            return cheap.hash(...args);
          },
        },
      });
      const person = await heldBy(app, channelOf.email);
      const resetToken = await tokenFor(app, person.address);
      full = true;
      const request = { resetToken, newPassword: NEW_PASSWORD };
      await expect(app.auth.resetPassword(request)).rejects.toMatchObject({
        reason: 'OVERLOADED',
        retryAfter: 1,
      });
      const { rows } = await sql`select proof_epoch, session_epoch from accounts
        where account_id = ${person.accountId}::uuid`.execute(app.db);
      expect(rows).toEqual([{ proof_epoch: 0, session_epoch: 0 }]);
      full = false;
      await app.auth.resetPassword(request);
    },
  );
});
