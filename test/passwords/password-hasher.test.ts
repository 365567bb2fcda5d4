import { afterAll, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import type { KeyRing } from '../../src/core/keys.js';
import { keyRing } from '../../src/core/keys.js';
import { readArgon2 } from '../../src/passwords/argon2.js';
import type { Argon2, Argon2Parameters, PasswordHash } from '../../src/passwords/index.js';
import {
  ARGON2_FLOOR,
  checkArgon2Floor,
  createHashLane,
  createPasswordHasher,
  startArgon2Threads,
} from '../../src/passwords/index.js';
import { createCheapHasher } from '../support/cheap-hasher.js';
import { silentLog } from '../support/databases.js';

const threads = startArgon2Threads({ count: 2, log: silentLog });
afterAll(() => threads[Symbol.asyncDispose]());

const context = { deadline: undefined, signal: new AbortController().signal };
const PASSWORD = 'left over pineapple';
/** Cheap enough to run many; the floor guards configuration, not the hasher. */
const SMALL: Argon2Parameters = { memoryKib: 64, iterations: 1, parallelism: 1 };

const [PEPPER_A, PEPPER_B] = [Buffer.alloc(32, 0xa), Buffer.alloc(32, 0xb)];

interface Computation {
  readonly kind: 'hash' | 'verify';
  readonly parameters: Argon2Parameters | undefined;
  readonly secret: Buffer | undefined;
}

function hasherWith(
  given: { parameters?: Argon2Parameters; peppers?: KeyRing; clock?: Clock; fail?: Error } = {},
) {
  const computed: Computation[] = [];
  const { parameters = SMALL, fail } = given;
  const argon2: Argon2 = {
    hash: (password, salt, cost, secret) => {
      computed.push({ kind: 'hash', parameters: cost, secret });
      return threads.hash(password, salt, cost, secret);
    },
    verify: (encoded, password, secret) => {
      computed.push({ kind: 'verify', parameters: readArgon2(encoded)?.parameters, secret });
      if (fail !== undefined) return Promise.reject(fail);
      return threads.verify(encoded, password, secret);
    },
  };
  const lane = createHashLane({
    concurrency: 2,
    queueLimit: 10,
    clock: given.clock ?? systemClock,
  });
  const deps = { parameters, peppers: given.peppers, lane, random: systemRandom, argon2 };
  return { hasher: createPasswordHasher(deps), computed };
}

describe('hashing', () => {
  it('stores Argon2id with a 16-byte salt and 32 bytes of output, each time another (A4)', async () => {
    const { hasher } = hasherWith({ parameters: ARGON2_FLOOR });
    const [first, second] = [
      await hasher.hash(PASSWORD, context),
      await hasher.hash(PASSWORD, context),
    ];
    expect(first.hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
    expect(first.pepper).toBeNull();
    expect(second.hash).not.toBe(first.hash);
    for (const stored of [first, second]) {
      expect(await hasher.verify(stored, PASSWORD, context)).toEqual({
        matches: true,
        outdated: false,
      });
    }
    expect(await hasher.verify(first, `${PASSWORD} `, context)).toEqual({
      matches: false,
      outdated: false,
    });
  });

  it('computes what the reference implementation computes', async () => {
    // From the reference implementation's own tests: argon2id, v=19, m=2^16, t=2, p=1.
    const stored: PasswordHash = {
      hash: '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
      pepper: null,
    };
    const { hasher } = hasherWith();
    expect(await hasher.verify(stored, 'password', context)).toEqual({
      matches: true,
      outdated: true,
    });
  });
});

describe('what has moved on (A4)', () => {
  it.each([
    ['memory', { ...SMALL, memoryKib: 128 }],
    ['iterations', { ...SMALL, iterations: 2 }],
    ['parallelism', { ...SMALL, parallelism: 2 }],
  ])('is outdated when %s changed, and only with a match', async (_, parameters) => {
    const stored = await hasherWith().hasher.hash(PASSWORD, context);
    const { hasher } = hasherWith({ parameters });
    expect(await hasher.verify(stored, PASSWORD, context)).toEqual({
      matches: true,
      outdated: true,
    });
    expect(await hasher.verify(stored, 'something else', context)).toEqual({
      matches: false,
      outdated: false,
    });
    const again = await hasher.hash(PASSWORD, context);
    expect((await hasher.verify(again, PASSWORD, context)).outdated).toBe(false);
  });

  it('is outdated when made with a shorter salt than today', async () => {
    const hash = await threads.hash(PASSWORD, Buffer.alloc(8, 7), SMALL, undefined);
    const { hasher } = hasherWith();
    expect(await hasher.verify({ hash, pepper: null }, PASSWORD, context)).toEqual({
      matches: true,
      outdated: true,
    });
  });

  it('follows a pepper being set, rotated and retired (rule 15)', async () => {
    const bare = await hasherWith().hasher.hash(PASSWORD, context);
    const underA = hasherWith({ peppers: keyRing([PEPPER_A]) });
    expect(await underA.hasher.verify(bare, PASSWORD, context)).toEqual({
      matches: true,
      outdated: true,
    });

    const madeWithA = await underA.hasher.hash(PASSWORD, context);
    expect(madeWithA.pepper).toBe(keyRing([PEPPER_A]).current.name);
    expect(await underA.hasher.verify(madeWithA, PASSWORD, context)).toEqual({
      matches: true,
      outdated: false,
    });

    const rotated = hasherWith({ peppers: keyRing([PEPPER_B, PEPPER_A]) });
    expect(await rotated.hasher.verify(madeWithA, PASSWORD, context)).toEqual({
      matches: true,
      outdated: true,
    });
    const madeWithB = await rotated.hasher.hash(PASSWORD, context);
    expect(await rotated.hasher.verify(madeWithB, PASSWORD, context)).toEqual({
      matches: true,
      outdated: false,
    });

    const retired = hasherWith({ peppers: keyRing([PEPPER_B]) });
    expect(await retired.hasher.verify(madeWithA, PASSWORD, context)).toEqual({
      matches: false,
      outdated: false,
    });
  });

  it('makes a peppered hash worthless without the pepper (rule 15)', async () => {
    const { hasher } = hasherWith({ peppers: keyRing([PEPPER_A]) });
    const { hash } = await hasher.hash(PASSWORD, context);
    const stolen = hasherWith();
    expect((await stolen.hasher.verify({ hash, pepper: null }, PASSWORD, context)).matches).toBe(
      false,
    );
  });
});

describe('the decoy (rule 9)', () => {
  const encoded = '$AQEBAQEBAQEBAQEBAQEBAQ$PV3oZJIcp5O6rt5tR88EmM2npXCeTkCycgJdwXb43CY';
  const foreign: readonly [string, PasswordHash | undefined][] = [
    ['no account', undefined],
    ['an empty hash', { hash: '', pepper: null }],
    [
      'bcrypt',
      { hash: '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', pepper: null },
    ],
    ['Argon2i', { hash: `$argon2i$v=19$m=64,t=1,p=1${encoded}`, pepper: null }],
    ['Argon2d', { hash: `$argon2d$v=19$m=64,t=1,p=1${encoded}`, pepper: null }],
    ['a truncated hash', { hash: '$argon2id$v=19$m=64,t=1,p=1$AQEB', pepper: null }],
    ['impossible parameters', { hash: `$argon2id$v=19$m=1,t=0,p=1${encoded}`, pepper: null }],
    ['4 TiB of memory', { hash: `$argon2id$v=19$m=4294967295,t=1,p=1${encoded}`, pepper: null }],
    ['a million passes', { hash: `$argon2id$v=19$m=64,t=1000000,p=1${encoded}`, pepper: null }],
    [
      'four bytes of output',
      { hash: '$argon2id$v=19$m=64,t=1,p=1$AQEBAQEBAQEBAQEBAQEBAQ$AAAAAA', pepper: null },
    ],
    [
      'a pepper that is not configured',
      { hash: `$argon2id$v=19$m=64,t=1,p=1${encoded}`, pepper: '0badcafe' },
    ],
  ];

  it.each(foreign)(
    'does the work of one verification for %s and never matches',
    async (_, stored) => {
      const peppers = keyRing([PEPPER_A]);
      const { hasher, computed } = hasherWith({ peppers });
      expect(await hasher.verify(stored, PASSWORD, context)).toEqual({
        matches: false,
        outdated: false,
      });
      expect(computed).toEqual([{ kind: 'verify', parameters: SMALL, secret: PEPPER_A }]);
    },
  );

  it('computes exactly what verifying a real hash computes', async () => {
    const { hasher, computed } = hasherWith({ peppers: keyRing([PEPPER_A]) });
    const stored = await hasher.hash(PASSWORD, context);
    computed.length = 0;
    await hasher.verify(stored, 'a wrong one', context);
    await hasher.verify(undefined, 'a wrong one', context);
    expect(computed).toHaveLength(2);
    expect(computed[0]).toEqual(computed[1]);
  });

  it('goes through the same lane: shed like a real one, with nothing computed', async () => {
    const { hasher, computed } = hasherWith();
    const stored = await hasher.hash(PASSWORD, context);
    computed.length = 0;
    const late = { deadline: new Date(0), signal: context.signal };
    for (const target of [stored, undefined]) {
      await expect(hasher.verify(target, PASSWORD, late)).rejects.toMatchObject({
        reason: 'OVERLOADED',
      });
    }
    await expect(hasher.hash(PASSWORD, late)).rejects.toMatchObject({ reason: 'OVERLOADED' });
    expect(computed).toEqual([]);
  });

  it('lets a real failure through: out of memory is not a wrong password', async () => {
    const stored = await hasherWith().hasher.hash(PASSWORD, context);
    const { hasher } = hasherWith({ fail: new Error('out of memory') });
    await expect(hasher.verify(stored, PASSWORD, context)).rejects.toThrow('out of memory');
    await expect(hasher.verify(undefined, PASSWORD, context)).rejects.toThrow('out of memory');
  });
});

describe('the floor (rule 15)', () => {
  it.each([
    ['the floor itself', ARGON2_FLOOR, undefined],
    ['more of everything', { memoryKib: 65_536, iterations: 3, parallelism: 4 }, undefined],
    ['too little memory', { ...ARGON2_FLOOR, memoryKib: 19_455 }, /memoryKib.*19456/],
    ['one pass', { ...ARGON2_FLOOR, iterations: 1 }, /iterations.*2/],
    ['no lane', { ...ARGON2_FLOOR, parallelism: 0 }, /parallelism.*1/],
    ['a fraction', { ...ARGON2_FLOOR, iterations: 2.5 }, /whole number/],
    ['no number', { ...ARGON2_FLOOR, memoryKib: Number.NaN }, /whole number/],
    ['more memory than a machine has', { ...ARGON2_FLOOR, memoryKib: 2 ** 31 }, /memoryKib/],
  ])('judges %s', (_, parameters, problem) => {
    const said = checkArgon2Floor(parameters);
    if (problem === undefined) expect(said).toBeUndefined();
    else expect(said).toMatch(problem);
  });
});

describe('the cheap hasher for other tests', () => {
  it('has the outcomes of the real one and counts', async () => {
    const cheap = createCheapHasher();
    const stored = await cheap.hash(PASSWORD, context);
    expect(await cheap.verify(stored, PASSWORD, context)).toEqual({
      matches: true,
      outdated: false,
    });
    expect((await cheap.verify(stored, 'wrong', context)).matches).toBe(false);
    expect((await cheap.verify(undefined, PASSWORD, context)).matches).toBe(false);
    cheap.moveOn();
    expect(await cheap.verify(stored, PASSWORD, context)).toEqual({
      matches: true,
      outdated: true,
    });
    expect(await cheap.verify({ hash: 'x', pepper: null }, PASSWORD, context)).toEqual({
      matches: false,
      outdated: false,
    });
    expect(cheap.counts).toEqual({ hashes: 1, verifications: 3, decoys: 2 });
  });
});
