import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { buildIfStale } from '../../scripts/fresh-build.js';
import { temporaryFolder } from './process.js';

async function project() {
  const folder = await temporaryFolder();
  const root = folder.path;
  await mkdir(join(root, 'src'));
  await writeFile(join(root, 'src', 'main.ts'), 'one');
  const runs: string[] = [];
  const compile = async (target: string): Promise<void> => {
    runs.push(target);
    await mkdir(target, { recursive: true });
    const text = await readFile(join(root, 'src', 'main.ts'), 'utf8');
    await delay(20);
    await writeFile(join(target, 'main.js'), text);
  };
  const compiled = (): Promise<string> => readFile(join(root, 'dist', 'main.js'), 'utf8');
  const change = (text: string): Promise<void> => writeFile(join(root, 'src', 'main.ts'), text);
  return {
    root,
    runs,
    compile,
    compiled,
    change,
    [Symbol.asyncDispose]: folder[Symbol.asyncDispose],
  };
}

it('compiles only when the sources are not those that the last build was made from', async () => {
  await using made = await project();
  expect(await buildIfStale(made.root, made.compile)).toBe(true);
  expect(await buildIfStale(made.root, made.compile)).toBe(false);
  expect(made.runs).toHaveLength(1);
  await writeFile(join(made.root, 'dist', 'left-over.js'), '');
  await made.change('two');
  expect(await buildIfStale(made.root, made.compile)).toBe(true);
  expect(await made.compiled()).toBe('two');
  expect(existsSync(join(made.root, 'dist', 'left-over.js'))).toBe(false);
  expect((await readdir(made.root)).toSorted()).toEqual(['dist', 'src']);
});

it('lets several build at once, of which one wins and none takes the result away again', async () => {
  await using made = await project();
  await buildIfStale(made.root, made.compile);
  await made.change('two');
  const build = async (): Promise<boolean> => {
    const won = await buildIfStale(made.root, made.compile);
    // Whoever has built starts the program from there at once.
    expect(await made.compiled()).toBe('two');
    await writeFile(join(made.root, 'dist', 'in-use'), '');
    return won;
  };
  const won = await Promise.all(Array.from({ length: 5 }, build));
  expect(won.filter(Boolean)).toHaveLength(1);
  expect(existsSync(join(made.root, 'dist', 'in-use'))).toBe(true);
  expect((await readdir(made.root)).toSorted()).toEqual(['dist', 'src']);
});

it('leaves the last build in place where the sources do not compile', async () => {
  await using made = await project();
  await buildIfStale(made.root, made.compile);
  await made.change('broken');
  const fail = async (target: string): Promise<void> => {
    await made.compile(target);
    throw new Error('does not compile');
  };
  await expect(buildIfStale(made.root, fail)).rejects.toThrow('does not compile');
  expect(await made.compiled()).toBe('one');
  expect((await readdir(made.root)).toSorted()).toEqual(['dist', 'src']);
});
