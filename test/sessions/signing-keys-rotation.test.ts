import { sql } from 'kysely';
import { beforeEach, describe, expect, it } from 'vitest';
import { settingGroups } from '../../src/config/index.js';
import { systemRandom } from '../../src/core/ids.js';
import { type KeyRing, keyRing } from '../../src/core/keys.js';
import { type Db, openDatabase } from '../../src/db/index.js';
import {
  createSigningKeys,
  listSigningKeys,
  PUBLICATION_LEAD_SECONDS,
  replaceSigningKeys,
  rotateSigningKey,
  stepSigningKeys,
} from '../../src/sessions/index.js';
import {
  MAX_ACCESS_TOKEN_SECONDS,
  RETIREMENT_SECONDS,
} from '../../src/sessions/rotate-signing-keys.js';
import {
  createKeyRotationWorker,
  createSweepingWorker,
  createSweeps,
} from '../../src/workers/index.js';
import { describePostgres, eachDatabase, silentLog } from '../support/databases.js';
import { type MovableClock, movableClock, newTokenKeys } from './fixtures.js';

const DAY = 86_400;
const LIFETIME = 90 * DAY;

/** One process, as far as signing keys go. Tests move its parts by hand. */
async function open(db: Db, clock: MovableClock, tokenKeys: KeyRing) {
  const deps = { db, clock, tokenKeys, random: systemRandom, log: silentLog };
  const keys = await createSigningKeys({ ...deps, reloadMs: 3_600_000 });
  return {
    keys,
    deps,
    step: () => stepSigningKeys({ ...deps, lifetimeSeconds: LIFETIME }),
    [Symbol.asyncDispose]: () => keys[Symbol.asyncDispose](),
  };
}

const states = async (db: Db, clock: MovableClock) =>
  (await listSigningKeys({ db, clock })).map(({ state }) => state);

const sealedUnder = async (db: Db): Promise<readonly string[]> => {
  const { rows } = await sql<{ name: string }>`
    select encode(substr(private_sealed, 1, 4), 'hex') as name from signing_keys
    order by active_from`.execute(db);
  return rows.map(({ name }) => name);
};

eachDatabase('rotation of signing keys', (database) => {
  let clock: MovableClock;
  let tokenKeys: KeyRing;

  beforeEach(async () => {
    clock = movableClock();
    tokenKeys = newTokenKeys();
    await sql`delete from signing_keys`.execute(database().db);
  });

  it('publishes a successor before its time, lets it take over on time, and retires after the last token (rule 19)', async () => {
    const { db } = database();
    await using one = await open(db, clock, tokenKeys);
    const first = one.keys.current().kid;
    clock.move(LIFETIME - PUBLICATION_LEAD_SECONDS - 60);
    expect(await one.step()).toEqual({ retired: [], resealed: [] });
    clock.move(120);
    const { published = '' } = await one.step();
    expect(published).not.toBe('');
    expect(await one.step()).toEqual({ retired: [], resealed: [] });
    expect(await states(db, clock)).toEqual(['published', 'signing']);
    await one.keys.reload();
    expect(one.keys.current().kid).toBe(first);
    expect(one.keys.jwks()).toContain(published);

    // It never hears of the database again, and changes over all the same.
    clock.move(PUBLICATION_LEAD_SECONDS - 60);
    expect(one.keys.current().kid).toBe(first);
    clock.move(61);
    expect(one.keys.current().kid).toBe(published);
    expect(await states(db, clock)).toEqual(['signing', 'retiring']);

    clock.move(RETIREMENT_SECONDS - 60);
    expect((await one.step()).retired).toEqual([]);
    clock.move(120);
    expect((await one.step()).retired).toEqual([first]);
    expect(await states(db, clock)).toEqual(['signing', 'retired']);
    await one.keys.reload();
    expect(one.keys.jwks()).not.toContain(first);
    // What is of no use any more but to a thief.
    expect(await sealedUnder(db)).toEqual(['', expect.stringMatching(/^.{8}$/)]);
  });

  it('keeps every token valid at every verifier for 200 days, with one signer at a time (A6, rule 19)', async () => {
    const { db } = database();
    const told = await liveFor200Days(db, clock, tokenKeys);
    expect(told.unknownToVerifiers).toEqual([]);
    expect(told.unknownToServers).toEqual([]);
    expect(told.disagreements).toEqual([]);
    expect(told.signers.size).toBe(3);
    expect(await states(db, clock)).toEqual(['signing', 'retired', 'retired']);
  }, 60_000);

  it('goes on with what it finds after a long time off, and catches up', async () => {
    const { db } = database();
    const first = await open(db, clock, tokenKeys);
    const { kid } = first.keys.current();
    await first[Symbol.asyncDispose]();
    clock.move(3 * LIFETIME);
    await using later = await open(db, clock, tokenKeys);
    expect(later.keys.current().kid).toBe(kid);
    const { published } = await later.step();
    expect(published).toBeDefined();
    expect((await later.step()).published).toBeUndefined();
    await using another = await open(db, clock, tokenKeys);
    clock.move(PUBLICATION_LEAD_SECONDS + 1);
    await later.keys.reload();
    expect([later.keys.current().kid, another.keys.current().kid]).toEqual([published, published]);
  });

  it('signs with no key that may be retired by now, however long the keys could not be read (rule 19)', async () => {
    const { db } = database();
    await using one = await open(db, clock, tokenKeys);
    await using cutOff = await open(db, clock, tokenKeys);
    const { kid } = cutOff.keys.current();
    // A whole rotation, of which the one that is cut off hears nothing.
    for (const seconds of [LIFETIME, PUBLICATION_LEAD_SECONDS + 60, RETIREMENT_SECONDS]) {
      clock.move(seconds);
      await one.step();
    }
    expect(await states(db, clock)).toEqual(['signing', 'retired']);
    expect(cutOff.keys.current().kid).toBe(kid);
    const signers = await Promise.all(Array.from({ length: 3 }, () => cutOff.keys.signer()));
    expect(new Set(signers.map((signer) => signer.kid))).toEqual(
      new Set((await listSigningKeys({ db, clock })).slice(0, 1).map((key) => key.kid)),
    );

    // Nor where they still cannot be read: here one was sealed by a process with other TOKEN_KEYS.
    await sql`update signing_keys set private_sealed = 'of others', kid = 'unknown'
      where retired_at is null`.execute(db);
    clock.move(PUBLICATION_LEAD_SECONDS - 60);
    expect((await cutOff.keys.signer()).kid).toBe(signers[0]?.kid);
    clock.move(120);
    await expect(cutOff.keys.signer()).rejects.toThrow('cannot be opened');
  });

  it('rotates by command at any age, once at a time', async () => {
    const { db } = database();
    await using one = await open(db, clock, tokenKeys);
    const made = await rotateSigningKey(one.deps);
    expect(made).toBeDefined();
    expect(await rotateSigningKey(one.deps)).toBeUndefined();
    expect(await states(db, clock)).toEqual(['published', 'signing']);
    clock.move(PUBLICATION_LEAD_SECONDS + 1);
    expect(await rotateSigningKey(one.deps)).toBeDefined();
    expect(await states(db, clock)).toEqual(['published', 'signing', 'retiring']);
  });

  it('replaces all keys at once where one leaked, a published one included', async () => {
    const { db } = database();
    await using one = await open(db, clock, tokenKeys);
    const before = [one.keys.current().kid, await rotateSigningKey(one.deps)];
    const { made, retired } = await replaceSigningKeys(one.deps);
    expect(retired.toSorted()).toEqual(before.toSorted());
    expect((await states(db, clock)).toSorted()).toEqual(['retired', 'retired', 'signing']);
    await one.keys.reload();
    expect(one.keys.current().kid).toBe(made);
    expect((JSON.parse(one.keys.jwks()) as { keys: unknown[] }).keys).toHaveLength(1);
  });

  it('makes no key that the others could not open', async () => {
    const { db } = database();
    await using one = await open(db, clock, tokenKeys);
    const stranger = { ...one.deps, tokenKeys: newTokenKeys() };
    for (const act of [rotateSigningKey, replaceSigningKeys]) {
      await expect(act(stranger)).rejects.toThrow(
        'cannot be opened with the configured TOKEN_KEYS',
      );
    }
    expect(await states(db, clock)).toEqual(['signing']);
  });

  it('seals private parts anew under the current TOKEN_KEYS key, so that the old one can go', async () => {
    const { db } = database();
    const one = await open(db, clock, tokenKeys);
    const { kid } = one.keys.current();
    await rotateSigningKey(one.deps);
    await one[Symbol.asyncDispose]();
    const fresh = systemRandom.bytes(32);
    await using rotated = await open(db, clock, keyRing([fresh, tokenKeys.current.key]));
    const before = await sealedUnder(db);
    expect((await rotated.step()).resealed).toHaveLength(2);
    expect((await rotated.step()).resealed).toEqual([]);
    expect(await sealedUnder(db)).not.toEqual(before);
    await using after = await open(db, clock, keyRing([fresh]));
    expect(after.keys.current().kid).toBe(kid);
  });

  it('is done by the worker, and retired keys are swept a year later', async () => {
    const { db } = database();
    await using one = await open(db, clock, tokenKeys);
    await using rotation = createKeyRotationWorker({ ...one.deps, lifetimeSeconds: LIFETIME });
    const sweeps = createSweeps(silentLog).filter(({ name }) => name === 'signing keys');
    await using sweeping = createSweepingWorker({ ...one.deps, sweeps });
    for (const seconds of [LIFETIME, DAY, 364 * DAY]) {
      clock.move(seconds);
      await rotation.runOnce();
      await sweeping.runOnce();
    }
    expect((await states(db, clock)).filter((state) => state === 'retired')).toHaveLength(1);
    clock.move(2 * DAY);
    await sweeping.runOnce();
    expect((await states(db, clock)).filter((state) => state === 'retired')).toHaveLength(0);
  });
});

/**
 * Two processes and the verifiers of what they sign, in steps of minutes while keys change and of hours
 * between. One process reads its keys late; it is off for a month, across a rotation, and comes back.
 * The laziest verifier has a set that is as old as the caches one after the other allow.
 */
async function liveFor200Days(db: Db, clock: MovableClock, tokenKeys: KeyRing) {
  const LAZY_SECONDS = 30 + 300 + 600;
  const told = {
    unknownToVerifiers: [] as string[],
    unknownToServers: [] as string[],
    disagreements: [] as string[],
    signers: new Set<string>(),
  };
  await using one = await open(db, clock, tokenKeys);
  let other: Awaited<ReturnType<typeof open>> | undefined = await open(db, clock, tokenKeys);
  let now = 0;
  let changedAt = 0;
  let sets = [{ at: 0, jwks: one.keys.jwks() }];
  let tokens: { readonly kid: string; readonly until: number }[] = [];
  while (now < 200 * DAY) {
    const step = now - changedAt < 5 * 3_600 ? 300 : 6 * 3_600;
    clock.move(step);
    now += step;
    const off = now > 80 * DAY && now < 110 * DAY;
    if (off && other !== undefined) {
      await other[Symbol.asyncDispose]();
      other = undefined;
    }
    if (!off) other ??= await open(db, clock, tokenKeys);
    const signing = [one, ...(other === undefined ? [] : [other])];
    const lazy = sets.findLast(({ at }) => now - at >= LAZY_SECONDS) ?? sets[0];
    const signers = new Set(signing.map(({ keys }) => keys.current().kid));
    if (signers.size !== 1) told.disagreements.push(`${now}`);
    for (const kid of signers) {
      told.signers.add(kid);
      tokens.push({ kid, until: now + MAX_ACCESS_TOKEN_SECONDS });
      if (lazy?.jwks.includes(kid) !== true) told.unknownToVerifiers.push(`${kid} at ${now}`);
    }
    tokens = tokens.filter(({ until }) => until > now);
    for (const { kid } of tokens) {
      if (signing.some(({ keys }) => keys.find(kid) === undefined)) told.unknownToServers.push(kid);
    }
    // The other one steps first and reads last, so that it knows of a change a step later.
    const done = await Promise.all(signing.toReversed().map((each) => each.step()));
    if (done.some(({ published, retired }) => published !== undefined || retired.length > 0)) {
      changedAt = now;
    }
    await one.keys.reload();
    sets = [...sets, { at: now, jwks: one.keys.jwks() }].slice(-10);
    if (now % 600 === 0) await other?.keys.reload();
  }
  await other?.[Symbol.asyncDispose]();
  return told;
}

describePostgres('rotation by many processes', (database) => {
  it('publishes one successor, and retires once, when 20 pools try at once', async () => {
    const clock = movableClock();
    const tokenKeys = newTokenKeys();
    const { db, url } = database();
    await using first = await open(db, clock, tokenKeys);
    const pools = await Promise.all(
      Array.from({ length: 20 }, () =>
        openDatabase({ url }, { log: silentLog, maxConnections: 1 }),
      ),
    );
    const all = () =>
      Promise.all(
        pools.map((pool) =>
          stepSigningKeys({ ...first.deps, db: pool.db, lifetimeSeconds: LIFETIME }),
        ),
      );
    clock.move(LIFETIME);
    const published = (await all()).flatMap((step) => step.published ?? []);
    expect(published).toHaveLength(1);
    expect(await states(db, clock)).toEqual(['published', 'signing']);
    clock.move(PUBLICATION_LEAD_SECONDS + RETIREMENT_SECONDS + 1);
    const retired = (await all()).flatMap((step) => step.retired);
    expect(retired).toEqual([first.keys.current().kid]);
    // By command and by worker at once, and in an emergency: still one that signs.
    await Promise.all(pools.map((pool) => rotateSigningKey({ ...first.deps, db: pool.db })));
    expect(await states(db, clock)).toEqual(['published', 'signing', 'retired']);
    await Promise.all(pools.map((pool) => replaceSigningKeys({ ...first.deps, db: pool.db })));
    const after = await states(db, clock);
    expect(after.filter((state) => state !== 'retired')).toEqual(['signing']);
    for (const pool of pools) await pool[Symbol.asyncDispose]();
  });
});

describe('the time to retirement', () => {
  it('counts on the longest life that an access token can be given', () => {
    const setting = settingGroups()
      .flatMap((group) => Object.entries(group.settings))
      .find(([name]) => name === 'ACCESS_TOKEN_TTL')?.[1];
    expect(setting).toMatchObject({
      kind: 'duration',
      max: `${MAX_ACCESS_TOKEN_SECONDS / 3_600}h`,
    });
  });
});
