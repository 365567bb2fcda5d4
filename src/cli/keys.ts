import { generateKeyLines, loadKeys, openedBy } from '../config/index.js';
import { systemClock } from '../core/clock.js';
import { systemRandom } from '../core/ids.js';
import type { Db } from '../db/index.js';
import {
  type ListedSigningKey,
  listSigningKeys,
  replaceSigningKeys,
  rotateSigningKey,
  type SigningKeyDeps,
} from '../sessions/index.js';
import { type Command, refuseArguments, UsageError } from './usage.js';
import { withMigratedDatabase } from './with-database.js';

export const keysCommand: Command = {
  summary: 'make the keys of the configuration, and rotate those that sign tokens',
  help: [
    'Usage: countersign keys generate',
    '       countersign keys list',
    '       countersign keys rotate [--now]',
    '',
    'generate  prints four lines for the environment, CODE_KEYS, TOKEN_KEYS, DATA_KEYS and PASSWORD_PEPPERS,',
    '          each with one new key of 32 random bytes. To rotate, put a new key before the old ones,',
    '          separated by a comma: the first seals and signs, all of them open.',
    'list      shows the keys that sign access tokens, in the database, the newest first.',
    'rotate    publishes the next one, which signs an hour from now, when every verifier has it. Servers do',
    '          this by themselves every SIGNING_KEY_LIFETIME. Needs the TOKEN_KEYS of the servers.',
    '--now     for a key that leaked: a new one signs at once, and all others are retired. Access tokens',
    '          signed by them die, and clients refresh. Running servers follow within 30 seconds.',
  ].join('\n'),
  async run(args) {
    const [action, ...rest] = args;
    switch (action) {
      case 'generate':
        refuseArguments(rest);
        process.stdout.write(`${generateKeyLines(systemRandom)}\n`);
        return;
      case 'list':
        refuseArguments(rest);
        return withMigratedDatabase(list);
      case 'rotate': {
        const now = rest[0] === '--now';
        refuseArguments(now ? rest.slice(1) : rest);
        return withMigratedDatabase(async (db, config) => {
          const { token: tokenKeys } = await loadKeys(config);
          const deps = { db, tokenKeys, clock: systemClock, random: systemRandom };
          await openedBy('TOKEN_KEYS', now ? replace(deps) : rotate(deps));
        });
      }
      default:
        throw new UsageError('keys: say what to do');
    }
  },
};

async function list(db: Db): Promise<void> {
  const keys = await listSigningKeys({ db, clock: systemClock });
  if (keys.length === 0) process.stdout.write('no keys yet: the first start makes one\n');
  for (const key of keys) process.stdout.write(`${line(key)}\n`);
}

function line({ kid, state, createdAt, activeFrom, retiredAt }: ListedSigningKey): string {
  const times = [
    `created ${createdAt.toISOString()}`,
    `signs from ${activeFrom.toISOString()}`,
    ...(retiredAt === undefined ? [] : [`retired ${retiredAt.toISOString()}`]),
  ];
  return [kid, state.padEnd(9), ...times].join('  ');
}

async function rotate(deps: SigningKeyDeps): Promise<void> {
  const made = await rotateSigningKey(deps);
  const [newest] = await listSigningKeys(deps);
  if (newest === undefined) {
    process.stdout.write('no keys yet: the first start makes one\n');
    return;
  }
  const what = made === undefined ? 'nothing to do: already published' : 'published';
  process.stdout.write(`${what} ${newest.kid}\nsigns from ${newest.activeFrom.toISOString()}\n`);
}

async function replace(deps: SigningKeyDeps): Promise<void> {
  const { made, retired } = await replaceSigningKeys(deps);
  process.stdout.write(`signs now ${made}\n`);
  for (const kid of retired) process.stdout.write(`retired   ${kid}\n`);
}
