import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type Claimant,
  codeFor,
  email,
  failuresOf,
  type House,
  holder,
  newCaller,
  openHouse,
  present,
  refusalOf,
  sms,
} from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { unique, wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { ask, askForCode, putPhone, signInByPhone, stopAccount } from './phone-house.js';

/** T2, T3, V9, rules 3–6: what a code is worth, to whom, and how often it may be guessed at. */
eachDatabase('codes of a phone sign-in', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  interface Guess {
    readonly challengeId: string;
    readonly code: string;
  }
  const complete = (guess: Guess, on = app) => on.auth.completePhoneSignIn(guess);
  const reasonOf = async (guess: Guess, on = app) => (await refusalOf(complete(guess, on))).reason;
  const wrongly = (guess: Guess) => complete({ ...guess, code: wrongCode(guess.code) });

  it.each(['', 'abcdef', '12345', '1234567', '１２３４５６', '123 456'])(
    'CODE_MALFORMED for %j, and nothing is counted',
    async (code) => {
      const asked = await askForCode(app, unique.phone());
      for (let tries = 0; tries < 6; tries += 1) {
        expect(await reasonOf({ ...asked, code })).toBe('CODE_MALFORMED');
      }
      expect((await complete(asked)).isFirstSignIn).toBe(true);
    },
  );

  it.each(['a number that somebody holds', 'a number never seen'])(
    'at %s, five wrong ones are counted, exactly, and then nothing short is compared (T2)',
    async (which) => {
      const known = which === 'a number that somebody holds';
      const person = known ? await holder(app, sms) : undefined;
      const phone = person?.address ?? unique.phone();
      const asked = await askForCode(app, phone);
      for (const left of ['4', '3', '2', '1', '0']) {
        expect(await refusalOf(wrongly(asked))).toMatchObject({
          reason: 'CODE_INVALID',
          metadata: { attempts_left: left },
        });
      }
      const shut = await refusalOf(complete(asked));
      expect(shut).toMatchObject({ reason: 'VERIFICATION_LOCKED', codeName: 'RESOURCE_EXHAUSTED' });
      expect(shut.retryAfter).toBeGreaterThan(890);
      if (person !== undefined) {
        const row = await failuresOf(app, person.accountId, { channel: 'sms', lane: 'anonymous' });
        expect(row).toMatchObject({ failures: 5, window_failures: 5 });
        const own = await failuresOf(app, person.accountId, { channel: 'sms', lane: 'session' });
        expect(own?.failures ?? 0).toBe(0);
      }
    },
  );

  it('neither another flow, another caller nor another code refills the guesses (T3)', async () => {
    const person = await holder(app, sms);
    const bff = await house.open({}, { callerKey: await newCaller(app) });
    const first = await askForCode(app, person.address);
    for (let tries = 0; tries < 3; tries += 1) await refusalOf(wrongly(first));
    const second = await askForCode(bff, person.address);
    expect(
      (await refusalOf(complete({ ...second, code: wrongCode(second.code) }, bff))).metadata,
    ).toEqual(expect.objectContaining({ attempts_left: '1' }));
    await refusalOf(wrongly(first));
    expect(await reasonOf(second, bff)).toBe('VERIFICATION_LOCKED');
  });

  it('a person under attack asks once more, gets a long code and is in; their own confirmations were never touched', async () => {
    const person: Claimant = await holder(app, sms);
    const attack = await askForCode(app, person.address);
    for (let tries = 0; tries < 5; tries += 1) await refusalOf(wrongly(attack));
    expect(await reasonOf(attack)).toBe('VERIFICATION_LOCKED');
    // Signed in, nothing is shut.
    app.clock.advance({ seconds: 61 });
    await sms.send(app, person.session, person.address);
    const own = await codeFor(app, person.address);
    const asked = await askForCode(app, person.address);
    expect(asked.code).toMatch(/^\d{20}$/);
    const confirmed = await sms.confirm(app, { code: own }, person.session);
    expect(confirmed.identifier?.verified).toBe(true);
    // A short code is not compared at the long one's challenge either.
    expect(await reasonOf({ ...asked, code: '123456' })).toBe('VERIFICATION_LOCKED');
    expect(await complete(asked)).toMatchObject({ accountId: person.accountId });
    // And it is open again for everybody.
    expect((await askForCode(app, person.address)).code).toMatch(/^\d{6}$/);
  });

  it('a number that nobody has yet is no worse off: its guesses are shut, and a long code makes the account', async () => {
    const phone = unique.phone();
    const attack = await askForCode(app, phone);
    for (let tries = 0; tries < 5; tries += 1) await refusalOf(wrongly(attack));
    const asked = await askForCode(app, phone);
    expect(asked.code).toMatch(/^\d{20}$/);
    expect((await complete(asked)).isFirstSignIn).toBe(true);
  });

  it('a short code from before the lock is dead after it (CODE_ATTEMPTS_EXHAUSTED)', async () => {
    const patient = await house.open({ LOCKOUT_DURATION: '2m', CODE_TTL: '10m' });
    const asked = await askForCode(patient, unique.phone());
    for (let tries = 0; tries < 5; tries += 1) {
      await refusalOf(complete({ ...asked, code: wrongCode(asked.code) }, patient));
    }
    app.clock.advance({ seconds: 121 });
    expect(await reasonOf(asked, patient)).toBe('CODE_ATTEMPTS_EXHAUSTED');
  });

  it('CODE_EXPIRED: after its life, after its use, of another caller, of no flow', async () => {
    const phone = unique.phone();
    const late = await askForCode(app, phone);
    app.clock.advance({ seconds: 301 });
    expect(await reasonOf(late)).toBe('CODE_EXPIRED');
    const asked = await askForCode(app, phone);
    const bff = await house.open({}, { callerKey: await newCaller(app) });
    expect(await reasonOf(asked, bff)).toBe('CODE_EXPIRED');
    expect(await reasonOf({ ...asked, challengeId: crypto.randomUUID() })).toBe('CODE_EXPIRED');
    await complete(asked);
    expect(await reasonOf(asked)).toBe('CODE_EXPIRED');
  });

  it('is good for a sign-in and for nothing else, and no code of another kind signs in (rule 4)', async () => {
    const person = await holder(app, sms);
    const asked = await askForCode(app, person.address);
    const proof = app.auth.confirmPhoneNumber(asked);
    expect((await refusalOf(proof)).reason).toBe('CODE_EXPIRED');
    const reset = app.auth.verifyPasswordResetCode(asked);
    expect((await refusalOf(reset)).reason).toBe('CODE_EXPIRED');
    app.clock.advance({ seconds: 61 });
    const { challengeId } = await sms.send(app, person.session, person.address);
    const code = await codeFor(app, person.address);
    expect(await reasonOf({ challengeId, code })).toBe('CODE_EXPIRED');
    expect(await reasonOf({ ...asked, code })).toBe('CODE_INVALID');
    expect(await complete(asked)).toMatchObject({ accountId: person.accountId });
  });

  it.each([
    ['removed', (person: Claimant) => app.auth.removePhoneNumber({}, person.session)],
    [
      'replaced',
      (person: Claimant) =>
        app.auth.setPhoneNumber({ phoneNumber: unique.phone() }, person.session),
    ],
    [
      "another account's by now",
      async (person: Claimant) => {
        await app.auth.removePhoneNumber({}, person.session);
        await holder(app, sms, person.address);
      },
    ],
  ] as const)(
    'dies with a number that is %s: no session, no account (rule 6)',
    async (_, change) => {
      const person = await holder(app, sms);
      const asked = await askForCode(app, person.address);
      await change(person);
      const count = () => sql`select count(*)::int as n from sessions`.execute(app.db);
      const before = (await count()).rows;
      expect(await reasonOf(asked)).toBe('CODE_EXPIRED');
      expect((await count()).rows).toEqual(before);
    },
  );

  it('dies with the epoch of its account, and a stranger who guesses cannot tell', async () => {
    const person = await holder(app, sms);
    const asked = await askForCode(app, person.address);
    await sql`update accounts set proof_epoch = proof_epoch + 1 where account_id = ${person.accountId}::uuid`.execute(
      app.db,
    );
    expect(await refusalOf(wrongly(asked))).toMatchObject({
      reason: 'CODE_INVALID',
      metadata: { attempts_left: '4' },
    });
    expect(await reasonOf(asked)).toBe('CODE_EXPIRED');
  });

  it('guesses at the code of a stopped, a demoted and an unknown number are answered alike', async () => {
    const people = [
      await holder(app, sms),
      await holder(app, sms),
      await holder(app, sms),
    ] as const;
    const flows = await Promise.all(people.map(({ address }) => ask(app, address)));
    await codeFor(app, people[0].address);
    await stopAccount(app, people[0].accountId, 'blocked');
    await putPhone(app, people[1].accountId, { enabled: false });
    const unknown = await askForCode(app, unique.phone());
    for (const { challengeId } of [...flows, unknown]) {
      const refused = await refusalOf(complete({ challengeId, code: wrongCode(unknown.code) }));
      expect(refused).toMatchObject({ reason: 'CODE_INVALID', metadata: { attempts_left: '4' } });
    }
  });

  it.each(['a new number', 'a known number'])(
    'works once for %s, under 50 tries at once (rule 5)',
    async (which) => {
      const phone = which === 'a new number' ? unique.phone() : (await holder(app, sms)).address;
      // A long code: of short ones no more than five are under judgement at a time.
      const attack = await askForCode(app, phone);
      for (let tries = 0; tries < 5; tries += 1) await refusalOf(wrongly(attack));
      const asked = await askForCode(app, phone);
      const results = await Promise.allSettled(Array.from({ length: 50 }, () => complete(asked)));
      const signedIn = results.flatMap((result) =>
        result.status === 'fulfilled' ? [result.value] : [],
      );
      const refused = results.flatMap((result) =>
        result.status === 'rejected' ? [result.reason.reason] : [],
      );
      expect(signedIn).toHaveLength(1);
      expect(new Set(refused)).toEqual(new Set(['CODE_EXPIRED']));
      const { rows } = await sql<{ accounts: number }>`
      select count(*)::int as accounts from identifiers where type = 'phone' and value = ${phone}`.execute(
        app.db,
      );
      expect(rows).toEqual([{ accounts: 1 }]);
    },
  );

  it('an email proven meanwhile, and another flow, leave it alive', async () => {
    const person = await signInByPhone(app);
    const asked = await askForCode(app, person.phone);
    const address = unique.email();
    await email.send(app, person.session, address);
    const code = await codeFor(app, address);
    await email.confirm(app, { code }, person.session);
    await ask(app, person.phone);
    expect(present((await complete(asked)).tokens).accessToken).toBeTruthy();
  });
});
