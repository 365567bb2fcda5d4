/**
 * Compiles into `dist/` where it is older than the sources, from an empty folder, so that no file of an
 * earlier build is left in it. The descriptor set is copied to where the compiled code looks for it:
 * at the same relative place as in the sources.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildIfStale } from './fresh-build.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const descriptors = join('generated', 'descriptors.binpb');

/** The compiler has said what is wrong. */
class CompileError extends Error {
  override readonly name = 'CompileError';
}

async function compile(folder: string): Promise<void> {
  const tsc = spawn(
    join(root, 'node_modules', '.bin', 'tsc'),
    ['-p', 'tsconfig.build.json', '--outDir', folder],
    { cwd: root, stdio: 'inherit' },
  );
  const [code] = await once(tsc, 'close');
  if (code !== 0) throw new CompileError('tsc failed');
  await cp(join(root, descriptors), join(folder, descriptors));
  await chmod(join(folder, 'src', 'main.js'), 0o755);
}

try {
  await buildIfStale(root, compile);
} catch (error) {
  if (!(error instanceof CompileError)) throw error;
  process.exitCode = 1;
}
