import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import type { TestApp } from '../support/test-app.js';
import { changeEvents, changes, identifiersOf, member, signedInAgain } from './changes.js';
import { codeFor, delivered, type House, openHouse, present, refusalOf } from './house.js';
import { grown, rowCounts } from './rows.js';

/** What holds for every RPC that changes the ways into an account. */
eachDatabase('changing the ways into an account', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  /** Moves the clock to so many seconds after the authentication that a token tells of. */
  const goTo = async (accessToken: string | undefined, seconds: number) => {
    const { authTime } = await app.auth.introspectToken({ accessToken: accessToken ?? '' });
    const at = present(authTime).getTime() + seconds * 1_000;
    app.clock.advance({ seconds: (at - app.clock.now().getTime()) / 1_000 });
  };

  /** An act that must be refused, and change nothing. */
  const refused = async (accountId: string, act: () => Promise<unknown>) => {
    await delivered(app);
    const [before, rows] = [await identifiersOf(app, accountId), await rowCounts(app.db)];
    const refusal = await refusalOf(act());
    expect(await identifiersOf(app, accountId)).toEqual(before);
    expect(grown(rows, await rowCounts(app.db))).toEqual({});
    return refusal.reason;
  };

  describe.each(changes)('by $rpc', ({ call, action, type }) => {
    it('needs an authentication of the last ten minutes: 9:58 will do, 10:01 will not (rule 12)', async () => {
      const person = await member(app);
      await goTo(person.accessToken, 601);
      expect(await refused(person.accountId, () => call(app, person))).toBe(
        'REAUTHENTICATION_REQUIRED',
      );
      const again = await signedInAgain(app, person.username);
      await goTo(again.accessToken, 598);
      await call(app, again);
    });

    it('takes no refresh for an authentication; signing in again is one', async () => {
      const person = await member(app);
      app.clock.advance({ minutes: 11 });
      const { tokens } = await app.auth.refreshSession({ refreshToken: person.refreshToken });
      expect(
        await refused(person.accountId, () => call(app, { accessToken: tokens?.accessToken })),
      ).toBe('REAUTHENTICATION_REQUIRED');
      await call(app, await signedInAgain(app, person.email));
    });

    it('takes a sign-in by a phone code for one', async () => {
      const person = await member(app);
      app.clock.advance({ minutes: 11 });
      const { challenge } = await app.auth.requestPhoneSignIn({ phoneNumber: person.phone });
      const { tokens } = await app.auth.completePhoneSignIn({
        challengeId: challenge?.challengeId ?? '',
        code: await codeFor(app, person.phone),
      });
      await call(app, { accessToken: tokens?.accessToken });
    });

    it('refuses a session that was ended, here or elsewhere, and nobody (rule 16)', async () => {
      const person = await member(app);
      const elsewhere = await signedInAgain(app, person.username);
      await app.auth.signOut({ refreshToken: person.refreshToken });
      expect(await refused(person.accountId, () => call(app, person))).toBe('ACCESS_TOKEN_INVALID');
      expect(await refused(person.accountId, () => call(app, {}))).toBe('ACCESS_TOKEN_INVALID');
      await sql`update accounts set session_epoch = session_epoch + 1
        where account_id = ${person.accountId}::uuid`.execute(app.db);
      expect(await refused(person.accountId, () => call(app, elsewhere))).toBe(
        'ACCESS_TOKEN_INVALID',
      );
    });

    it.each(['blocked', 'deactivated'])('refuses an account that is %s', async (status) => {
      const person = await member(app);
      await sql`update accounts set status = ${status}
        where account_id = ${person.accountId}::uuid`.execute(app.db);
      expect(await refused(person.accountId, () => call(app, person))).toBe('ACCESS_TOKEN_INVALID');
    });

    it('answers with the account as it is from then on, and moves its etag', async () => {
      const person = await member(app);
      const before = present((await app.auth.getAccount({}, person)).account);
      const response = await call(app, person);
      const after = present((await app.auth.getAccount({}, person)).account);
      if ('account' in response) expect(response.account).toEqual(after);
      else expect(after.identifiers).toContainEqual(response.identifier);
      expect(after.etag).not.toBe(before.etag);
      expect(present(after.updateTime).getTime()).toBeGreaterThan(
        present(before.updateTime).getTime(),
      );
    });

    it('leaves one record of the change, without an address (T6)', async () => {
      const person = await member(app);
      const before = await changeEvents(app, person.accountId);
      await call(app, person);
      const events = (await changeEvents(app, person.accountId)).slice(before.length);
      expect(events).toEqual([{ action, detail: { type } }]);
    });

    it('does nothing the second time: the same answer, no record, no message, and no authentication asked', async () => {
      const person = await member(app);
      const first = await call(app, person);
      await delivered(app);
      app.clock.advance({ minutes: 11 });
      const before = await rowCounts(app.db);
      expect(await call(app, person)).toEqual(first);
      expect(grown(before, await rowCounts(app.db))).toEqual({});
    });
  });
});
