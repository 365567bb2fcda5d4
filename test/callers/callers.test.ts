import { sql } from 'kysely';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  addCaller,
  addCallerKey,
  CallerAdministrationError,
  createCallerDirectory,
  listCallers,
  revokeCallerKey,
} from '../../src/callers/index.js';
import type { Clock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import type { Db } from '../../src/db/index.js';
import { eachDatabase, silentLog } from '../support/databases.js';

const random = systemRandom;

/** A clock that tests move. */
function movable(): Clock & { advance(ms: number): void } {
  let offsetMs = 0;
  return {
    get offsetMs() {
      return offsetMs;
    },
    now: () => new Date(Date.now() + offsetMs),
    advance: (ms) => {
      offsetMs += ms;
    },
  };
}

/** The handle, counting statements, which can be told that the database is away. */
function observed(db: Db) {
  const state = { statements: 0, away: false };
  const watched = db.withPlugin({
    transformQuery: ({ node }) => {
      state.statements += 1;
      if (state.away) throw Object.assign(new Error('gone'), { code: 'ECONNREFUSED' });
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  return { db: watched, state };
}

async function open(db: Db) {
  await sql`delete from caller_keys`.execute(db);
  await sql`delete from callers`.execute(db);
  const clock = movable();
  const { db: watched, state } = observed(db);
  const openDirectory = () => {
    const directory = createCallerDirectory({ db: watched, clock, log: silentLog });
    onTestFinished(() => directory[Symbol.asyncDispose]());
    return directory;
  };
  const add = (name: string, groups: readonly string[] = ['sign-in']) =>
    addCaller(db, { name, groups, random, clock });
  return { clock, state, openDirectory, add };
}

eachDatabase('callers', (database) => {
  describe('the directory', () => {
    it('finds a caller by its key, and nobody by any other', async () => {
      const { add, openDirectory } = await open(database().db);
      const key = await add('web-bff', ['sign-in', 'session']);
      const directory = openDirectory();
      const found = await directory.find(key);
      expect(found).toEqual({ name: 'web-bff', rpcGroups: new Set(['sign-in', 'session']) });
      for (const other of ['', 'ck_', key.slice(0, -1), `${key}x`, key.toUpperCase(), ` ${key}`]) {
        expect(await directory.find(other)).toBeUndefined();
      }
    });

    it('costs no statement for a key that it knows, nor for what has not the shape of one', async () => {
      const { add, openDirectory, state, clock } = await open(database().db);
      const key = await add('web-bff');
      const directory = openDirectory();
      await directory.find(key);
      const before = state.statements;
      clock.advance(1_500);
      for (let i = 0; i < 50; i += 1) {
        await directory.find(key);
        await directory.find('garbage'.repeat(i));
      }
      expect(state.statements).toBe(before);
    });

    it('knows a key that was added a moment ago', async () => {
      const { add, openDirectory, clock } = await open(database().db);
      const directory = openDirectory();
      await directory.refresh();
      const key = await add('late');
      clock.advance(1_000);
      expect((await directory.find(key))?.name).toBe('late');
    });

    it('reads at most once a second on account of keys that nobody has', async () => {
      const { openDirectory, state, clock } = await open(database().db);
      const directory = openDirectory();
      await directory.refresh();
      const before = state.statements;
      const guess = () => directory.find(`ck_${random.bytes(32).toString('base64url')}`);
      await Promise.all(Array.from({ length: 200 }, guess));
      expect(state.statements).toBe(before);
      clock.advance(1_000);
      await Promise.all(Array.from({ length: 200 }, guess));
      await Promise.all(Array.from({ length: 200 }, guess));
      expect(state.statements).toBe(before + 1);
    });

    it('forgets a revoked key and a disabled caller when it reads again', async () => {
      const { db } = database();
      const { add, openDirectory, clock } = await open(db);
      const [revoked, disabled] = [await add('one'), await add('two')];
      const directory = openDirectory();
      expect((await directory.find(revoked))?.name).toBe('one');
      const [one] = await listCallers(db);
      await revokeCallerKey(db, { name: 'one', keyId: one?.keys[0]?.id ?? '', clock });
      await sql`update callers set disabled_at = now() where caller = 'two'`.execute(db);
      await directory.refresh();
      expect([await directory.find(revoked), await directory.find(disabled)]).toEqual([
        undefined,
        undefined,
      ]);
    });

    it('reads every two seconds by itself, until it is disposed', async () => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      onTestFinished(() => void vi.useRealTimers());
      const { openDirectory, state } = await open(database().db);
      const directory = openDirectory();
      await directory.refresh();
      const before = state.statements;
      vi.advanceTimersByTime(2_000);
      // Joins the reading that the timer began.
      await directory.refresh();
      expect(state.statements).toBe(before + 1);
      await directory[Symbol.asyncDispose]();
      vi.advanceTimersByTime(60_000);
      expect(state.statements).toBe(before + 1);
    });

    it('keeps the last set while the database is away', async () => {
      const { add, openDirectory, state, clock } = await open(database().db);
      const key = await add('web-bff');
      const directory = openDirectory();
      await directory.find(key);
      state.away = true;
      await expect(directory.refresh()).rejects.toThrow('gone');
      clock.advance(60_000);
      expect((await directory.find(key))?.name).toBe('web-bff');
      expect(await directory.find(`ck_${'A'.repeat(43)}`)).toBeUndefined();
    });

    it('cannot say who calls when it never read anything, and recovers', async () => {
      const { add, openDirectory, state } = await open(database().db);
      const key = await add('web-bff');
      state.away = true;
      const directory = openDirectory();
      await expect(directory.find(key)).rejects.toThrow('gone');
      state.away = false;
      expect((await directory.find(key))?.name).toBe('web-bff');
    });
  });

  describe('administration', () => {
    it('shows a key once and stores only its hash', async () => {
      const { db } = database();
      const { add } = await open(db);
      const key = await add('web-bff');
      expect(key).toMatch(/^ck_[A-Za-z0-9_-]{43}$/);
      const { rows } =
        await sql`select *, encode(key_hash, 'escape') as hash_text from caller_keys`.execute(db);
      expect(JSON.stringify(rows)).not.toContain(key);
      expect(JSON.stringify(await listCallers(db))).not.toContain(key);
    });

    it.each(['', 'A', '1a', 'a_b', 'a b', '-a', `a${'b'.repeat(63)}`, 'a\n'])(
      'refuses the name %j',
      async (name) => {
        const { add } = await open(database().db);
        await expect(add(name)).rejects.toThrow(CallerAdministrationError);
      },
    );

    it('refuses groups that do not exist, and none at all', async () => {
      const { add } = await open(database().db);
      await expect(add('a', ['sign-in', 'everything'])).rejects.toThrow(
        'groups are one or more of',
      );
      await expect(add('a', [])).rejects.toThrow('groups are one or more of');
    });

    it('registers a name once, and leaves no key behind where it fails', async () => {
      const { db } = database();
      const { add } = await open(db);
      await add('web-bff');
      await expect(add('web-bff')).rejects.toThrow('there is a caller web-bff already');
      const [caller] = await listCallers(db);
      expect(caller?.keys).toHaveLength(1);
    });

    it('lets a key be replaced without a gap: two live keys, never three', async () => {
      const { db } = database();
      const { add, openDirectory, clock } = await open(db);
      const first = await add('web-bff');
      const second = await addCallerKey(db, { name: 'web-bff', random, clock });
      const directory = openDirectory();
      const named = async (key: string) => (await directory.find(key))?.name;
      expect([await named(first), await named(second)]).toEqual(['web-bff', 'web-bff']);
      await expect(addCallerKey(db, { name: 'web-bff', random, clock })).rejects.toThrow(
        'revoke one first',
      );
      const [caller] = await listCallers(db);
      await revokeCallerKey(db, { name: 'web-bff', keyId: caller?.keys[0]?.id ?? '', clock });
      await directory.refresh();
      expect([await named(first), await named(second)]).toEqual([undefined, 'web-bff']);
      await addCallerKey(db, { name: 'web-bff', random, clock });
    });

    it('makes no third key when several are asked for at once', async () => {
      const { db } = database();
      const { add, clock } = await open(db);
      await add('web-bff');
      const tries = Array.from({ length: 8 }, () =>
        addCallerKey(db, { name: 'web-bff', random, clock }),
      );
      const made = (await Promise.allSettled(tries)).filter(({ status }) => status === 'fulfilled');
      expect(made).toHaveLength(1);
      expect((await listCallers(db))[0]?.keys).toHaveLength(2);
    });

    it('says what is not there', async () => {
      const { db } = database();
      const { add, clock } = await open(db);
      await add('web-bff');
      await expect(addCallerKey(db, { name: 'no', random, clock })).rejects.toThrow(
        'there is no caller no',
      );
      const revoke = (name: string, keyId: string) => revokeCallerKey(db, { name, keyId, clock });
      await expect(revoke('no', '00000000')).rejects.toThrow('there is no caller no');
      await expect(revoke('web-bff', '00000000')).rejects.toThrow('no live key 00000000');
      await expect(revoke('web-bff', '%')).rejects.toThrow('8 hex digits');
    });
  });
});
