import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';

/** Another process, or another opening by this one, works on the folder. */
export class FolderLockedError extends Error {
  override readonly name = 'FolderLockedError';
}

interface Holder {
  readonly pid: number;
  /** When the process started, in the kernel's own words: tells a reused pid apart. Empty: unknown. */
  readonly started: string;
  readonly host: string;
}

const LOCK_FILE = /^lock\.(\d+)$/;
const HEARTBEAT_MS = 5_000;
/** A holder on another host (another container on a shared volume) cannot be asked: it must be heard. */
const SILENT_MS = 30_000;

/**
 * Takes a folder for this process alone, until disposed of. Node knows no `flock`, so the lock is a
 * file, `lock.<generation>`, and the highest generation owns the folder. A new owner makes the next
 * generation, which only one process can, and only after it found the last one released or dead.
 * Files of past generations are deleted, the numbers never used again: taking a stale lock over by
 * deleting and writing the same name would let two late-comers delete each other's.
 */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (;;) {
    const generations = await readGenerations(folder);
    const last = generations.at(-1) ?? 0;
    if (last > 0) await refuseLiving(folder, last);
    const mine = last + 1;
    if (!(await create(folder, mine))) continue;
    const now = await readGenerations(folder);
    if (now.at(-1) !== mine) {
      // Our picture was old: somebody had come and gone, and a later owner is there.
      await rm(file(folder, mine), { force: true });
      continue;
    }
    await Promise.all(now.filter((n) => n < mine).map((n) => rm(file(folder, n), { force: true })));
    return hold(file(folder, mine));
  }
}

function hold(path: string): AsyncDisposable {
  const beat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, HEARTBEAT_MS);
  beat.unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      // Emptied, not deleted: the generation must not be used a second time.
      await writeFile(path, '');
    },
  };
}

async function readGenerations(folder: string): Promise<readonly number[]> {
  const names = await readdir(folder);
  return names
    .map((name) => Number(LOCK_FILE.exec(name)?.[1] ?? 0))
    .filter((generation) => generation > 0)
    .sort((a, b) => a - b);
}

async function create(folder: string, generation: number): Promise<boolean> {
  // Written aside and linked into place: nobody ever sees a lock without its holder in it.
  const draft = join(folder, `draft.${randomUUID()}`);
  const holder: Holder = {
    pid: process.pid,
    started: await startOf(process.pid),
    host: hostname(),
  };
  await writeFile(draft, JSON.stringify(holder), { mode: 0o600 });
  try {
    await link(draft, file(folder, generation));
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function refuseLiving(folder: string, generation: number): Promise<void> {
  const path = file(folder, generation);
  const [text, touched] = await Promise.all([
    readFile(path, 'utf8').catch(() => ''),
    stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    ),
  ]);
  const holder = parseHolder(text);
  if (holder === undefined || !(await lives(holder, touched))) return;
  const where = holder.host === hostname() ? '' : ` on ${holder.host}`;
  throw new FolderLockedError(
    `DATA_DIR ${dirname(folder)} is in use by process ${holder.pid}${where}. The embedded database serves one process: stop that one, use another DATA_DIR, or set DATABASE_URL.`,
  );
}

function parseHolder(text: string): Holder | undefined {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as Holder;
  } catch {
    // Torn by a crash of the machine: whoever wrote it is gone.
    return undefined;
  }
}

async function lives(holder: Holder, touched: number): Promise<boolean> {
  if (holder.host !== hostname()) return Date.now() - touched < SILENT_MS;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: alive, under another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  return holder.started === (await startOf(holder.pid));
}

/** Boot and start time of a process, where the kernel tells (Linux); else empty. */
async function startOf(pid: number): Promise<string> {
  try {
    const [boot, status] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    // Field 22; the name in field 2 may hold blanks and brackets, so count from its end.
    const ticks = status.slice(status.lastIndexOf(')') + 2).split(' ')[19];
    return `${boot.trim()}:${ticks}`;
  } catch {
    return '';
  }
}

function file(folder: string, generation: number): string {
  return join(folder, `lock.${generation}`);
}
