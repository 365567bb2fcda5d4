/**
 * Writes `docs/configuration.md` from the settings; `--check` writes nothing and fails where the
 * committed page is another.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { renderConfigurationPage } from './configuration-page.js';

const file = fileURLToPath(new URL('../docs/configuration.md', import.meta.url));
const page = renderConfigurationPage();

if (!process.argv.includes('--check')) {
  await writeFile(file, page);
} else if ((await readFile(file, 'utf8').catch(() => '')) !== page) {
  process.stderr.write('docs/configuration.md is not what the settings say: npm run docs\n');
  process.exitCode = 1;
}
