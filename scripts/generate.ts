/**
 * Writes `generated/`: TypeScript from the protos, and the descriptor set that reflection serves.
 * Without arguments it replaces what is there; `--check` writes nothing and fails on a difference.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const target = join(root, 'generated');

/** Generates aside, so that a failure leaves `generated/` as it was. */
function generateInto(folder: string): void {
  // `--output` is put before the plugin's own `out: generated`.
  buf('generate', '--output', folder);
  const made = join(folder, 'generated');
  buf('build', '--as-file-descriptor-set', '--output', join(made, 'descriptors.binpb'));
}

function buf(...args: readonly string[]): void {
  execFileSync(join(root, 'node_modules', '.bin', 'buf'), args, { cwd: root, stdio: 'inherit' });
}

function contents(folder: string): ReadonlyMap<string, Buffer> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return new Map(
    files
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(folder.length + 1), readFileSync(path)]),
  );
}

function differences(made: string): readonly string[] {
  const [before, after] = [contents(target), contents(made)];
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => {
    const [old, fresh] = [before.get(name), after.get(name)];
    return old === undefined || fresh === undefined || !old.equals(fresh);
  });
}

const folder = mkdtempSync(join(tmpdir(), 'countersign-generate-'));
try {
  generateInto(folder);
  const made = join(folder, 'generated');
  if (process.argv.includes('--check')) {
    const stale = differences(made);
    for (const name of stale) console.error(`generated/${name} is not what the protos say`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    rmSync(target, { recursive: true, force: true });
    cpSync(made, target, { recursive: true });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
