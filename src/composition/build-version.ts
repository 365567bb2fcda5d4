import { readFile } from 'node:fs/promises';

/** `package.json` stands one folder further up for a build than for the sources. */
const PLACES = ['../../package.json', '../../../package.json'];

/** The version of this build. */
export async function buildVersion(): Promise<string> {
  for (const place of PLACES) {
    const text = await readFile(new URL(place, import.meta.url), 'utf8').catch(() => '{}');
    const { name, version }: { name?: unknown; version?: unknown } = JSON.parse(text);
    if (name === 'countersign' && typeof version === 'string') return version;
  }
  return 'unknown';
}
