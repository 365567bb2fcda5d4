import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
// Inside the project, so that the compiled code finds its dependencies.
const cache = join(root, 'node_modules', '.cache', 'countersign-program');
const SOURCES = ['src', 'generated', 'migrations'];
const LEFT_OVER_MS = 2 * 60 * 60 * 1000;

let program: Promise<string> | undefined;

/**
 * Path of the program, compiled from the sources as they are now. Tests that start processes by the
 * dozen use it: it starts three times as fast as through a loader, and is what `npm start` runs.
 * Compiled once per state of the sources; `dist` is never touched.
 */
export function compiledProgram(): Promise<string> {
  program ??= compileSources();
  return program;
}

async function compileSources(): Promise<string> {
  const folder = join(cache, await checksum());
  const main = join(folder, 'src', 'main.js');
  if (!existsSync(main)) await compile(folder);
  return main;
}

async function compile(folder: string): Promise<void> {
  await dropLeftOvers();
  const draft = `${folder}.${randomBytes(6).toString('hex')}`;
  await mkdir(draft, { recursive: true });
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  await run(
    tsc,
    [
      '-p',
      'tsconfig.build.json',
      '--declaration',
      'false',
      '--sourceMap',
      'false',
      '--outDir',
      draft,
    ],
    {
      cwd: root,
    },
  );
  await cp(
    join(root, 'generated', 'descriptors.binpb'),
    join(draft, 'generated', 'descriptors.binpb'),
  );
  // Under `node_modules` no package.json of ours says that these are modules.
  await writeFile(join(draft, 'package.json'), '{ "type": "module" }\n');
  // Several workers may do this at once: the folder appears whole, and any of theirs will do.
  await rename(draft, folder).catch(async (error: unknown) => {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  });
}

async function checksum(): Promise<string> {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    const names = await readdir(join(root, source), { recursive: true });
    for (const name of names.toSorted()) {
      const path = join(root, source, name);
      if (!(await stat(path)).isFile()) continue;
      hash.update(`${source}/${name}\0`).update(await readFile(path));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

async function dropLeftOvers(): Promise<void> {
  const names = existsSync(cache) ? await readdir(cache) : [];
  for (const name of names) {
    const path = join(cache, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > LEFT_OVER_MS) await rm(path, { recursive: true, force: true });
  }
}
