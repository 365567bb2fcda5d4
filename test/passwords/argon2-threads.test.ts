import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { createHashLane, startArgon2Threads } from '../../src/passwords/index.js';
import { silentLog } from '../support/databases.js';

const PASSWORD = 'left over pineapple';
const SALT = Buffer.alloc(16, 7);
const SMALL = { memoryKib: 64, iterations: 1, parallelism: 1 };
const context = { deadline: undefined, signal: new AbortController().signal };

/** Niceness of every thread of this process, the event loop's first. */
function niceness(): number[] {
  const threads = readdirSync('/proc/self/task').map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
  return threads;
}

function dying(options: { count?: number; niceness?: number } = {}) {
  const error = vi.fn();
  const threads = startArgon2Threads({
    count: 1,
    ...options,
    log: { ...silentLog, error },
    body: new URL('./dying-thread.js', import.meta.url),
  });
  return { threads, error, told: (word: string) => threads.verify('', word, undefined) };
}

describe('the hashing threads (rule 15)', () => {
  it('hash and verify, with a pepper and without', async () => {
    await using threads = startArgon2Threads({ count: 2, log: silentLog });
    for (const pepper of [undefined, Buffer.from('a pepper in a shared piece of memory')]) {
      const encoded = await threads.hash(PASSWORD, SALT, SMALL, pepper);
      expect(encoded).toMatch(/^\$argon2id\$v=19\$m=64,t=1,p=1\$BwcHBwcHBwcHBwcHBwcHBw\$/);
      expect(await threads.verify(encoded, PASSWORD, pepper)).toBe(true);
      expect(await threads.verify(encoded, `${PASSWORD}s`, pepper)).toBe(false);
      expect(await threads.verify(encoded, PASSWORD, Buffer.alloc(32, 1))).toBe(false);
    }
    await expect(threads.verify('$argon2id$nonsense', PASSWORD, undefined)).rejects.toThrow(
      'Argon2 failed',
    );
  });

  it.runIf(process.platform === 'linux')(
    'run at a lower priority, and nothing else of the process does',
    async () => {
      const usual = getPriority();
      const lowered = () => niceness().filter((value) => value !== usual);
      expect(lowered()).toEqual([]);
      await using threads = startArgon2Threads({ count: 3, log: silentLog });
      await vi.waitUntil(() => lowered().length === 3, { timeout: 10_000 });
      await threads.hash(PASSWORD, SALT, SMALL, undefined);
      expect(lowered()).toEqual([usual + 10, usual + 10, usual + 10]);
      expect(getPriority()).toBe(usual);
    },
  );

  it.each(['exit', 'throw'])(
    'fail the one computation whose thread ends by itself (%s), and go on with another',
    async (word) => {
      const { threads, error, told } = dying({ count: 2 });
      await using _ = threads;
      const lane = createHashLane({ concurrency: 2, queueLimit: 10, clock: systemClock });
      const run = (what: string) => lane.run(context, () => told(what));
      const [first, second, third] = await Promise.allSettled([
        run('work'),
        run(word),
        run('work'),
      ]);
      expect([first, third]).toEqual(
        Array.from({ length: 2 }, () => ({ status: 'fulfilled', value: true })),
      );
      expect(second).toMatchObject({ reason: { message: 'a hashing thread ended' } });
      // No permit is lost with a thread.
      for (let i = 0; i < 3; i += 1) {
        await expect(run(word)).rejects.toThrow('a hashing thread ended');
        expect(await run('work')).toBe(true);
      }
      expect(lane.depth).toEqual({ running: 0, queued: 0 });
      expect(error).toHaveBeenCalledTimes(4);
    },
  );

  it('pass on what a computation throws, and keep its thread', async () => {
    const { threads, error, told } = dying();
    await using _ = threads;
    await expect(told('fail')).rejects.toThrow('Argon2 failed: not today');
    expect(await told('work')).toBe(true);
    expect(error).not.toHaveBeenCalled();
  });

  it('are not started again and again where they cannot run', async () => {
    const { threads, error, told } = dying({ niceness: 1 });
    await using _ = threads;
    await vi.waitUntil(() => error.mock.calls.length === 1);
    for (let i = 0; i < 3; i += 1) await expect(told('work')).rejects.toThrow('ended');
    expect(error).toHaveBeenCalledTimes(4);
  });

  it('end with the process’s parts: what is under way is given up, and nothing more begins', async () => {
    const { threads, error, told } = dying();
    const never = expect(told('never')).rejects.toThrow('a hashing thread ended');
    await threads[Symbol.asyncDispose]();
    await never;
    await expect(told('work')).rejects.toThrow('closed');
    expect(error).not.toHaveBeenCalled();
  });
});
