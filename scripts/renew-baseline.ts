/**
 * Writes `proto/baseline.binpb`, the contract that `npm run breaking` compares with. Renewed at a
 * release, together with its note in the change log: comparing the protos with themselves at every
 * change would prove nothing.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
execFileSync(join(root, 'node_modules', '.bin', 'buf'), ['build', '-o', 'proto/baseline.binpb'], {
  cwd: root,
  stdio: 'inherit',
});
