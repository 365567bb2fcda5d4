import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CountersignError } from '../../src/client/index.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, type Signup, signUp, unique, wrongCode } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

const reasonOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'OK',
    (error: CountersignError) => error.reason,
  );

/** What rule 10 rests on. The five classes of attack: pre-hijacking.test.ts. */
eachDatabase('a proof needs the handle or the session of its claim (rule 10)', (database) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ database: database() });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const codeFor = async (to: string, nth = 1): Promise<string> => {
    await expect.poll(() => messagesTo(to).length).toBeGreaterThanOrEqual(nth);
    return app.mailbox.codeFor(to);
  };
  const messagesTo = (address: string) =>
    app.mailbox.messages.filter(({ to, text }) => to === address && /\d{6}/.test(text));
  const states = async (value: string) => {
    const { rows } = await sql<{
      account_id: string;
      state: string;
    }>`select account_id, state from identifiers
      where value = ${value} order by state`.execute(app.db);
    return rows;
  };
  const [attackerPassword, victimPassword] = ['attacker knows this one', 'only the victim knows'];

  it("the victim who types the code of the attacker's message into their own flow proves nothing for the attacker", async () => {
    const email = unique.email();
    const attacker = await signUp(app, { email, password: attackerPassword });
    const attackersCode = await codeFor(email);
    const victim = await signUp(app, { email, password: victimPassword });
    const victimsCode = await codeFor(email, 2);
    const [own = ''] = victim.challengeIds;
    if (attackersCode !== victimsCode) {
      expect(await reasonOf(app.auth.confirmEmail({ challengeId: own, code: attackersCode }))).toBe(
        'CODE_INVALID',
      );
    }
    const [attackers = ''] = attacker.challengeIds;
    const options = { accessToken: victim.accessToken };
    // The victim's session with the attacker's handle: foreign, whatever the code.
    expect(
      await reasonOf(
        app.auth.confirmEmail({ challengeId: attackers, code: attackersCode }, options),
      ),
    ).toBe('CODE_EXPIRED');
    expect(new Set((await states(email)).map(({ state }) => state))).toEqual(new Set(['claimed']));
  });

  it("when an address is proven every rival claim to it falls, and the rivals' codes with it", async () => {
    const email = unique.email();
    const rivals: Signup[] = [];
    for (let i = 1; i <= 4; i += 1) {
      rivals.push(await signUp(app, { email, password: attackerPassword }));
      await codeFor(email, i);
    }
    const codes = messagesTo(email).map(({ text }) => /\d{6}/.exec(text)?.[0] ?? '');
    const [winner, ...losers] = rivals;
    const [challengeId = ''] = winner?.challengeIds ?? [];
    expect(await reasonOf(app.auth.confirmEmail({ challengeId, code: codes[0] ?? '' }))).toBe('OK');
    expect(await states(email)).toEqual([{ account_id: winner?.accountId, state: 'verified' }]);
    for (const [index, loser] of losers.entries()) {
      const [handle = ''] = loser.challengeIds;
      const call = app.auth.confirmEmail({ challengeId: handle, code: codes[index + 1] ?? '' });
      expect(await reasonOf(call)).toBe('IDENTIFIER_TAKEN');
    }
    expect(await states(email)).toHaveLength(1);
  });

  it('an anonymous proof changes neither password nor sessions nor other identifiers of its account', async () => {
    const [email, phoneNumber] = [unique.email(), unique.phone()];
    const person = await signUp(app, { email, phoneNumber });
    const look = async () => {
      const { rows } = await sql`select a.password_hash, a.session_epoch, a.proof_epoch, a.status,
        (select json_agg(i order by i.type) from identifiers i where i.account_id = a.account_id and i.type <> 'email') as others,
        (select json_agg(s) from sessions s where s.account_id = a.account_id) as sessions
        from accounts a where a.account_id = ${person.accountId}::uuid`.execute(app.db);
      return rows;
    };
    const before = await look();
    const [challengeId = ''] = person.challengeIds;
    await app.auth.confirmEmail({ challengeId, code: await codeFor(email) });
    expect(await look()).toEqual(before);
  });

  describe('live codes die with what they were for (rules 5 and 6)', () => {
    async function withCode(): Promise<{
      person: Signup;
      email: string;
      challengeId: string;
      code: string;
    }> {
      const email = unique.email();
      const person = await signUp(app, { email });
      const [challengeId = ''] = person.challengeIds;
      return { person, email, challengeId, code: await codeFor(email) };
    }

    it('a blocked account: by handle and by session', async () => {
      const { person, challengeId, code, email } = await withCode();
      await sql`update accounts set status = 'blocked' where account_id = ${person.accountId}::uuid`.execute(
        app.db,
      );
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }))).toBe('CODE_EXPIRED');
      const options = { accessToken: person.accessToken };
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }, options))).not.toBe('OK');
      expect(await states(email)).toMatchObject([{ state: 'claimed' }]);
    });

    it("a raised proof epoch: all of the account's codes at once, and unblocking brings none back", async () => {
      const { person, challengeId, code } = await withCode();
      await sql`update accounts set proof_epoch = proof_epoch + 1 where account_id = ${person.accountId}::uuid`.execute(
        app.db,
      );
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }))).toBe('CODE_EXPIRED');
      const options = { accessToken: person.accessToken };
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }, options))).toBe(
        'CODE_EXPIRED',
      );
    });

    it('a changed claim: the code sent to the old address proves neither the old nor the new one', async () => {
      const { person, email, challengeId, code } = await withCode();
      const changed = unique.email();
      app.clock.advance({ seconds: 61 });
      const options = { accessToken: person.accessToken };
      await app.auth.sendEmailVerificationCode({ email: changed }, options);
      const fresh = await codeFor(changed);
      if (fresh !== code) {
        expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }, options))).toBe(
          'CODE_INVALID',
        );
      }
      expect(await states(email)).toEqual([]);
      const { identifier } = await app.auth.confirmEmail({ challengeId, code: fresh }, options);
      expect(identifier?.value).toBe(changed);
    });

    it('a success: the code is used up', async () => {
      const { challengeId, code } = await withCode();
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }))).toBe('OK');
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }))).toBe('CODE_EXPIRED');
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code: wrongCode(code) }))).toBe(
        'CODE_EXPIRED',
      );
    });
  });

  it("a mistyped, unproven address gives its owner no power: neither sign-in nor a second account's data", async () => {
    const email = unique.email();
    const person = await signUp(app, { email, password: PASSWORD });
    const code = await codeFor(email);
    // The owner of the address reads the message, and has the code but neither handle nor session.
    const owner = await signUp(app, { password: victimPassword });
    const options = { accessToken: owner.accessToken };
    expect(await reasonOf(app.auth.confirmEmail({ code }, options))).toBe('CODE_EXPIRED');
    expect(await reasonOf(app.auth.confirmEmail({ code }))).not.toBe('OK');
    expect(await states(email)).toEqual([{ account_id: person.accountId, state: 'claimed' }]);
  });

  it('a handle is never in a message', () => {
    const texts = app.mailbox.messages.map((message) => JSON.stringify(message)).join('\n');
    expect(app.mailbox.messages.length).toBeGreaterThan(10);
    expect(texts).not.toMatch(
      /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/,
    );
  });
});
