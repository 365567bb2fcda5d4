import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addCaller } from '../../src/callers/index.js';
import { systemRandom } from '../../src/core/ids.js';
import { rawSignIn, type VisibleAnswer } from '../security/raw-call.js';
import { type WatchedDatabase, watchDatabase } from '../security/watched-database.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

interface Try {
  readonly identifier: string;
  readonly password: string;
}

/** What a stranger can see, and what the server did. */
interface Observation {
  readonly answer: VisibleAnswer;
  readonly statements: readonly string[];
  readonly computed: number;
  readonly decoys: number;
}

eachDatabase('one answer to every failed sign-in (rules 8 and 9)', (database) => {
  let app: TestApp;
  let watched: WatchedDatabase;
  const cases = new Map<string, Try>();
  beforeAll(async () => {
    watched = watchDatabase(database());
    app = await startTestApp({ database: watched.database });
    for (const [name, made] of await everyKind(app)) cases.set(name, made);
  });
  afterAll(() => app[Symbol.asyncDispose]());

  async function observe({ identifier, password }: Try): Promise<Observation> {
    const before = { ...app.hasher.counts };
    watched.reset();
    const answer = await rawSignIn(app.address, { identifier, password });
    const { verifications, decoys, hashes } = app.hasher.counts;
    expect(hashes).toBe(before.hashes);
    return {
      answer,
      statements: [...watched.statements()],
      computed: verifications - before.verifications + decoys - before.decoys,
      decoys: decoys - before.decoys,
    };
  }

  const wrong = (name: string): Try => ({
    identifier: cases.get(name)?.identifier ?? '',
    password: 'not the password',
  });

  describe('before any limit has tripped', () => {
    it('is the same bytes of status, message, details and trailers for everybody', async () => {
      const answers = new Map<string, VisibleAnswer>();
      for (const [name, made] of cases) answers.set(name, (await observe(made)).answer);
      const expected = answers.get('a username never seen');
      expect(expected).toMatchObject({ 'grpc-status': '16', 'countersign-request-id': 'same' });
      expect(expected?.['grpc-status-details-bin']).toEqual(expect.any(String));
      expect(expected).not.toHaveProperty('retry-after');
      expect(Object.fromEntries(answers)).toEqual(
        Object.fromEntries([...answers.keys()].map((name) => [name, expected])),
      );
    });

    it('is the same one statement and exactly one hash, be it a decoy', async () => {
      const observed = new Map<string, Observation>();
      for (const [name, made] of cases) observed.set(name, await observe(made));
      const [reference] = observed.values();
      expect(reference?.statements).toHaveLength(1);
      for (const [name, { statements, computed }] of observed) {
        expect([name, computed]).toEqual([name, 1]);
        expect([name, statements]).toEqual([name, reference?.statements]);
      }
      // The account's own hash is compared for a wrong password alone.
      expect(observed.get('a verified email, wrong password')?.decoys).toBe(0);
      expect(observed.get('an unproven email, right password')?.decoys).toBe(1);
      expect(observed.get('a blocked account, right password')?.decoys).toBe(1);
    });
  });

  describe('after the lock has tripped', () => {
    it('is SIGN_IN_LOCKED with the same wait for known and unknown identifiers alike', async () => {
      const answers = new Map<string, VisibleAnswer>();
      for (const name of cases.keys()) {
        let last: Observation | undefined;
        // Two of the five guesses are made already, three are left.
        for (let attempt = 0; attempt < 4; attempt += 1) last = await observe(wrong(name));
        if (last === undefined) throw new Error('nothing was observed');
        expect([name, last.computed, last.decoys]).toEqual([name, 1, 1]);
        expect([name, last.statements.length]).toEqual([name, 1]);
        answers.set(name, withoutSeconds(last.answer));
      }
      const expected = answers.get('a username never seen');
      expect(expected).toMatchObject({ 'grpc-status': '8', wait: 'about 15 minutes' });
      for (const [name, answer] of answers) expect([name, answer]).toEqual([name, expected]);
    });

    it('is the same for the right password as for a wrong one', async () => {
      const known = cases.get('a verified email, wrong password');
      const right = await observe({ identifier: known?.identifier ?? '', password: PASSWORD });
      const wrongOne = await observe(wrong('a verified email, wrong password'));
      expect(withoutSeconds(right.answer)).toEqual(withoutSeconds(wrongOne.answer));
      expect([right.decoys, wrongOne.decoys]).toEqual([1, 1]);
    });
  });

  describe('after a limit per source has tripped', () => {
    it('is RATE_LIMITED before any work, whoever was asked for', async () => {
      const callerKey = await addCaller(app.db, {
        name: 'one-answer-bff',
        groups: ['sign-in'],
        random: systemRandom,
        clock: app.clock,
      });
      const strict = await startTestApp({
        database: database(),
        dataDir: app.dataDir,
        env: { LIMIT_SIGN_INS_PER_SOURCE: '1/1h' },
      });
      const from = (name: string) =>
        rawSignIn(strict.address, wrong(name), {
          'countersign-caller-key': callerKey,
          'countersign-client-address': '198.51.100.77',
        });
      await from('a username never seen');
      const unknown = await from('a username never seen');
      const known = await from('a verified email, wrong password');
      expect(strict.hasher.counts).toMatchObject({ decoys: 1, verifications: 0 });
      expect(withoutSeconds(unknown)).toMatchObject({ 'grpc-status': '8', wait: 'about an hour' });
      expect(withoutSeconds(known)).toEqual(withoutSeconds(unknown));
      await strict[Symbol.asyncDispose]();
    });
  });
});

/** The wait is rounded, since the moments differ; the details hold the same figure. */
function withoutSeconds(answer: VisibleAnswer): VisibleAnswer {
  const { 'retry-after': wait, 'grpc-status-details-bin': details, ...rest } = answer;
  const minutes = Number(wait) / 60;
  const about = (of: number) => minutes > of - 2 && minutes <= of;
  const rounded = about(15) ? 'about 15 minutes' : about(60) ? 'about an hour' : wait;
  return { ...rest, wait: rounded, detailsLength: String(details).length };
}

/** Every way in which a sign-in can fail for what was typed, the password being right where it can be. */
async function everyKind(app: TestApp): Promise<readonly (readonly [string, Try])[]> {
  const person = async (proven: boolean) => {
    const [email, phoneNumber] = [unique.email(), unique.phone()];
    const made = await signUp(app, { email, phoneNumber });
    if (proven) {
      await sql`update identifiers set state = 'verified', sign_in_enabled = true, proven_by = 'code',
        verified_at = now(), claim_expires_at = null
        where account_id = ${made.accountId}::uuid and state = 'claimed'`.execute(app.db);
    }
    return { ...made, email, phone: phoneNumber };
  };
  const withStatus = async (status: string) => {
    const made = await person(true);
    await sql`update accounts set status = ${status} where account_id = ${made.accountId}::uuid`.execute(
      app.db,
    );
    return made;
  };
  const [verified, byName, byPhone] = [await person(true), await person(true), await person(true)];
  const [claimed, claimer] = [await person(false), await person(false)];
  const [blocked, deactivated, erased] = [
    await withStatus('blocked'),
    await withStatus('deactivated'),
    await withStatus('closed'),
  ];
  await sql`delete from identifiers where account_id = ${erased.accountId}::uuid`.execute(app.db);
  const disabled = await person(true);
  await sql`update identifiers set sign_in_enabled = false
    where account_id = ${disabled.accountId}::uuid and type = 'email'`.execute(app.db);
  const lapsed = await person(true);
  await sql`update identifiers set state = 'lapsed'
    where account_id = ${lapsed.accountId}::uuid and type = 'email'`.execute(app.db);
  const bad = 'not the password';
  return [
    ['a username never seen', { identifier: unique.username(), password: PASSWORD }],
    ['an email never seen', { identifier: unique.email(), password: PASSWORD }],
    ['a phone never seen', { identifier: unique.phone(), password: PASSWORD }],
    [
      'something that is no identifier',
      { identifier: `?${unique.username()}`, password: PASSWORD },
    ],
    ['a username, wrong password', { identifier: byName.username, password: bad }],
    ['a verified email, wrong password', { identifier: verified.email, password: bad }],
    ['a verified phone, wrong password', { identifier: byPhone.phone, password: bad }],
    ['an unproven email, right password', { identifier: claimed.email, password: PASSWORD }],
    ['an unproven phone, right password', { identifier: claimed.phone, password: PASSWORD }],
    ['an email that another account claims', { identifier: claimer.email, password: bad }],
    ['a blocked account, right password', { identifier: blocked.email, password: PASSWORD }],
    [
      'a deactivated account, right password',
      { identifier: deactivated.username, password: PASSWORD },
    ],
    ['an erased account, right password', { identifier: erased.email, password: PASSWORD }],
    [
      'an email not enabled for sign-in, right password',
      { identifier: disabled.email, password: PASSWORD },
    ],
    ['a lapsed email, right password', { identifier: lapsed.email, password: PASSWORD }],
  ];
}
