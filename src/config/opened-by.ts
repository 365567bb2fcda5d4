import { UnsealError } from '../core/keys.js';
import { ConfigError } from './config-error.js';

/** Says which setting lacks the key that something in the database was sealed under. */
export async function openedBy<T>(
  name: 'DATA_KEYS' | 'TOKEN_KEYS',
  opening: Promise<T>,
): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (!(error instanceof UnsealError) && !(cause instanceof UnsealError)) throw error;
    throw new ConfigError([
      {
        name,
        wrong: 'this database was sealed under a key that is not among them',
        remedy:
          'Add the key that was in use before, behind the present one; keys that were not configured are in keys.json of the DATA_DIR that belongs to this database',
      },
    ]);
  }
}
