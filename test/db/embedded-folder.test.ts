import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockFolder } from '../../src/db/folder-lock.js';
import { FolderLockedError, openDatabase } from '../../src/db/index.js';
import { silentLog } from '../support/databases.js';

const LOCK_MODULE = new URL('../../src/db/folder-lock.ts', import.meta.url).href;

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'countersign-data-'));
});
afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

/** A process that takes the lock, says `held` or `refused`, and stays. */
function locker(folder: string): ChildProcess {
  const program = `
    import { lockFolder } from ${JSON.stringify(LOCK_MODULE)};
    try {
      globalThis.lock = await lockFolder(${JSON.stringify(folder)});
      process.stdout.write('held');
      setInterval(() => {}, 1_000);
    } catch (error) {
      process.stdout.write('refused ' + error.message);
    }`;
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function said(child: ChildProcess): Promise<string> {
  const [chunk] = await once(child.stdout ?? process.stdin, 'data');
  return String(chunk);
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

describe('the lock of a data folder', () => {
  it('names the process and the folder to whoever comes second', async () => {
    const child = locker(join(dataDir, 'db.lock'));
    expect(await said(child)).toBe('held');
    const second = openDatabase({ dataDir }, { log: silentLog });
    await expect(second).rejects.toThrow(FolderLockedError);
    await expect(second).rejects.toThrow(`in use by process ${child.pid}`);
    await expect(second).rejects.toThrow(dataDir);
    await kill(child);
  });

  it('is taken over from a killed process by exactly one of many', async () => {
    const folder = join(dataDir, 'lock');
    const first = locker(folder);
    expect(await said(first)).toBe('held');
    await kill(first);
    const rivals = Array.from({ length: 6 }, () => locker(folder));
    const words = await Promise.all(rivals.map(said));
    expect(words.filter((word) => word === 'held')).toHaveLength(1);
    expect(words.filter((word) => word.startsWith('refused'))).toHaveLength(5);
    await Promise.all(rivals.map(kill));
  });

  it('is one owner at a time under any number of takers in one process', async () => {
    const folder = join(dataDir, 'lock');
    let owners = 0;
    let taken = 0;
    const taker = async (): Promise<void> => {
      for (let tries = 0; tries < 15; tries += 1) {
        const lock = await lockFolder(folder).catch(() => undefined);
        if (lock === undefined) continue;
        owners += 1;
        taken += 1;
        expect(owners).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        owners -= 1;
        await lock[Symbol.asyncDispose]();
      }
    };
    await Promise.all(Array.from({ length: 8 }, taker));
    expect(taken).toBeGreaterThan(1);
    expect((await readdir(folder)).length).toBeLessThan(3);
  });

  it('does not believe in a holder whose pid was given to another process', async () => {
    const folder = join(dataDir, 'lock');
    await (await lockFolder(folder))[Symbol.asyncDispose]();
    const holder = { pid: process.pid, started: 'another boot:1', host: hostname() };
    await writeFile(join(folder, 'lock.1'), JSON.stringify(holder));
    await using lock = await lockFolder(folder);
    expect(lock).toBeDefined();
  });

  it('believes in a holder on another host while it is heard', async () => {
    const folder = join(dataDir, 'lock');
    await (await lockFolder(folder))[Symbol.asyncDispose]();
    const holder = { pid: 1, started: '', host: 'another.example' };
    await writeFile(join(folder, 'lock.1'), JSON.stringify(holder));
    await expect(lockFolder(folder)).rejects.toThrow('on another.example');
  });
});

// To make one takes seconds.
describe('the embedded database', { timeout: 60_000 }, () => {
  it('keeps what was written, in a folder for its owner alone', async () => {
    {
      await using first = await openDatabase({ dataDir }, { log: silentLog });
      await sql.raw('create table kept (n int); insert into kept values (7)').execute(first.db);
      expect(first.kind).toBe('embedded');
      expect(first.describe).toContain(dataDir);
      await expect(openDatabase({ dataDir }, { log: silentLog })).rejects.toThrow(
        FolderLockedError,
      );
    }
    await using again = await openDatabase({ dataDir }, { log: silentLog });
    expect((await sql`select n from kept`.execute(again.db)).rows).toEqual([{ n: 7 }]);
    expect((await stat(join(dataDir, 'db'))).mode & 0o777).toBe(0o700);
  });
});
