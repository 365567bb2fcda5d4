/**
 * Compiles into `dist/`, from an empty folder, so that no file of an earlier build is left in it. The
 * descriptor set is copied to where the compiled code looks for it: at the same relative place as in
 * the sources.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const descriptors = join('generated', 'descriptors.binpb');

rmSync(dist, { recursive: true, force: true });
const tsc = spawnSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
if (tsc.status === 0) {
  cpSync(join(root, descriptors), join(dist, descriptors));
  chmodSync(join(dist, 'src', 'launch.cjs'), 0o755);
} else {
  process.exitCode = 1;
}
