import {
  addCaller,
  addCallerKey,
  type CallerRecord,
  listCallers,
  revokeCallerKey,
  rpcGroups,
} from '../callers/index.js';
import { systemClock } from '../core/clock.js';
import { systemRandom } from '../core/ids.js';
import type { Db } from '../db/index.js';
import { type Command, refuseArguments, UsageError } from './usage.js';
import { withMigratedDatabase } from './with-database.js';

const system = { random: systemRandom, clock: systemClock };

export const callerCommand: Command = {
  summary: 'register the services that call this one, and their keys',
  help: [
    'Usage: countersign caller list',
    '       countersign caller add NAME [GROUP ...]',
    '       countersign caller add-key NAME',
    '       countersign caller revoke-key NAME KEY-ID',
    '',
    'A key is shown once; only its hash is stored. A caller may have two live keys, so that a new one is',
    'in use everywhere before the old one is revoked. Servers learn of changes within two seconds.',
    '',
    `GROUPs of RPCs (default: all): ${rpcGroups.join(', ')}`,
  ].join('\n'),
  async run(args) {
    const [action = '', name = '', ...rest] = args;
    if (action === 'list') {
      refuseArguments(args.slice(1));
      return withMigratedDatabase(list);
    }
    if (name === '') throw new UsageError('caller: say what to do, and to whom');
    switch (action) {
      case 'add':
        return withMigratedDatabase(async (db) => {
          const groups = rest.length === 0 ? rpcGroups : rest;
          showKey(name, await addCaller(db, { ...system, name, groups }));
        });
      case 'add-key':
        refuseArguments(rest);
        return withMigratedDatabase(async (db) =>
          showKey(name, await addCallerKey(db, { ...system, name })),
        );
      case 'revoke-key': {
        const [keyId = '', ...more] = rest;
        refuseArguments(more);
        return withMigratedDatabase(async (db) => {
          await revokeCallerKey(db, { name, keyId, clock: systemClock });
          process.stdout.write(`revoked ${keyId} of ${name}\n`);
        });
      }
      default:
        throw new UsageError(`caller: unknown action ${action}`);
    }
  },
};

function showKey(name: string, key: string): void {
  process.stdout.write(
    `caller  ${name}\nkey     ${key}\n\nShown once. Calls send it as metadata countersign-caller-key.\n`,
  );
}

async function list(db: Db): Promise<void> {
  const callers = await listCallers(db);
  if (callers.length === 0) process.stdout.write('no callers yet: countersign caller add NAME\n');
  for (const caller of callers) process.stdout.write(`${line(caller)}\n`);
}

function line({ name, keys, rpcGroups: groups, disabled }: CallerRecord): string {
  const state = disabled ? 'disabled' : `keys ${keys.map((key) => key.id).join(' ') || 'none'}`;
  return `${name.padEnd(24)} ${state}  groups ${groups.join(' ')}`;
}
