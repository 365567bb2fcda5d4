import { createHash, randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Files and folders that the result depends on, below `root`. */
const INPUTS = [
  'src',
  'generated',
  'migrations',
  'tsconfig.json',
  'tsconfig.build.json',
  'package-lock.json',
];
const STAMP = '.stamp';
/** Beginning of the names of everything temporary, beside `dist` so that renaming stays in one file system. */
const ASIDE = '.dist-';
const LEFT_OVER_MS = 60 * 60 * 1000;
/** The lock is held for two renames. Older than this it belongs to a process that was killed. */
const LOCK_MS = 10_000;

/**
 * Brings `root/dist` up to date, any number of processes at once: `compile` fills an empty folder
 * aside, which then takes the place of `dist`. It never deletes what another one has just begun to
 * run from: `dist` is replaced only while its stamp says that it was made from other sources.
 * Answers false where it was up to date, or another process was first. Where `compile` rejects, `dist`
 * stays as it was.
 */
export async function buildIfStale(
  root: string,
  compile: (folder: string) => Promise<void>,
): Promise<boolean> {
  const dist = join(root, 'dist');
  const stamp = stampOf(root);
  if (isMadeFrom(dist, stamp)) return false;
  dropLeftOvers(root);
  const draft = join(root, `${ASIDE}${randomUUID()}`);
  try {
    await compile(draft);
    writeFileSync(join(draft, STAMP), stamp);
    return await locked(join(root, `${ASIDE}lock`), () => {
      if (isMadeFrom(dist, stamp)) return false;
      const old = join(root, `${ASIDE}${randomUUID()}`);
      if (existsSync(dist)) renameSync(dist, old);
      renameSync(draft, dist);
      // A server that runs from it has loaded everything at its start.
      rmSync(old, { recursive: true, force: true });
      return true;
    });
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function isMadeFrom(dist: string, stamp: string): boolean {
  const file = join(dist, STAMP);
  return existsSync(file) && readFileSync(file, 'utf8') === stamp;
}

function stampOf(root: string): string {
  const hash = createHash('sha256').update(process.version);
  for (const name of INPUTS.flatMap((input) => filesBelow(root, input))) {
    hash.update(`\0${name}\0`).update(readFileSync(join(root, name)));
  }
  return hash.digest('hex');
}

function filesBelow(root: string, name: string): readonly string[] {
  const stats = statSync(join(root, name), { throwIfNoEntry: false });
  if (stats === undefined) return [];
  if (stats.isFile()) return [name];
  return readdirSync(join(root, name))
    .sort()
    .flatMap((child) => filesBelow(root, join(name, child)));
}

async function locked<T>(path: string, work: () => T): Promise<T> {
  while (!take(path)) await delay(10);
  try {
    return work();
  } finally {
    rmdirSync(path);
  }
}

function take(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    const held = statSync(path, { throwIfNoEntry: false });
    if (held !== undefined && Date.now() - held.mtimeMs > LOCK_MS) {
      rmSync(path, { recursive: true, force: true });
    }
    return false;
  }
}

function dropLeftOvers(root: string): void {
  for (const name of readdirSync(root).filter((entry) => entry.startsWith(ASIDE))) {
    const stats = statSync(join(root, name), { throwIfNoEntry: false });
    if (stats !== undefined && Date.now() - stats.mtimeMs > LEFT_OVER_MS) {
      rmSync(join(root, name), { recursive: true, force: true });
    }
  }
}
