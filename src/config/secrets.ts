import { type Random, systemRandom } from '../core/ids.js';
import { type KeyRing, keyRing } from '../core/keys.js';
import type { Config } from './config-types.js';
import { newKeys, readOrMakeKeys } from './keys-file.js';

/** The secrets of the house, one ring per purpose, current key first. */
export interface Keys {
  readonly code: KeyRing;
  readonly token: KeyRing;
  readonly data: KeyRing;
  readonly peppers: KeyRing | undefined;
  /** The file with those that are not configured, for the start-up banner. */
  readonly madeIn?: string;
}

/** A `dataDir` of this name keeps nothing: the embedded database and its keys end with the process. */
const IN_MEMORY = 'memory:';

/**
 * The configured keys, and for those that are not configured the ones in `DATA_DIR/keys.json`, which
 * is made where it is missing. Peppers are made only for the embedded database: hashes in a database
 * that outlives this folder would be lost with it.
 *
 * @throws KeysFileError where the file is open to others or malformed.
 */
export async function loadKeys(
  { keys, database, dataDir }: Pick<Config, 'keys' | 'database' | 'dataDir'>,
  random: Random = systemRandom,
): Promise<Keys> {
  const { code, token, data, peppers } = keys;
  const wantsPeppers = database.url === undefined;
  if (code !== undefined && token !== undefined && data !== undefined) {
    if (peppers !== undefined || !wantsPeppers) {
      return rings({ code, token, data, peppers });
    }
  }
  const made =
    dataDir === IN_MEMORY ? { keys: newKeys(random) } : await readOrMakeKeys(dataDir, random);
  return {
    ...rings({
      code: code ?? made.keys.code,
      token: token ?? made.keys.token,
      data: data ?? made.keys.data,
      peppers: peppers ?? (wantsPeppers ? made.keys.peppers : undefined),
    }),
    ...('path' in made ? { madeIn: made.path } : {}),
  };
}

function rings(lists: {
  readonly code: readonly Buffer[];
  readonly token: readonly Buffer[];
  readonly data: readonly Buffer[];
  readonly peppers: readonly Buffer[] | undefined;
}): Keys {
  return {
    code: keyRing(lists.code),
    token: keyRing(lists.token),
    data: keyRing(lists.data),
    peppers: lists.peppers === undefined ? undefined : keyRing(lists.peppers),
  };
}

/** Lines for an environment file, with fresh keys (`countersign keys generate`). */
export function generateKeyLines(random: Random): string {
  const { code, token, data, peppers } = newKeys(random);
  const lists = {
    CODE_KEYS: code,
    TOKEN_KEYS: token,
    DATA_KEYS: data,
    PASSWORD_PEPPERS: peppers,
  };
  return Object.entries(lists)
    .map(([name, keys]) => `${name}=${keys.map((key) => key.toString('base64')).join(',')}`)
    .join('\n');
}
