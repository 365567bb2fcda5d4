import { parseArgs } from 'node:util';
import {
  addCaller,
  addCallerCertificates,
  addCallerKey,
  addKeylessCaller,
  type CallerRecord,
  listCallers,
  removeCallerCertificates,
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
  summary: 'register the services that call this one, their keys and certificates',
  help: [
    'Usage: countersign caller list',
    '       countersign caller add NAME [GROUP ...] [--certificate CERT ... [--key]]',
    '       countersign caller add-key NAME',
    '       countersign caller revoke-key NAME KEY-ID',
    '       countersign caller add-certificate NAME CERT ...',
    '       countersign caller remove-certificate NAME CERT ...',
    '',
    'A key is shown once; only its hash is stored. A caller may have two live keys, so that a new one is',
    'in use everywhere before the old one is revoked. Servers learn of changes within two seconds.',
    '',
    'CERT is a name in the certificate that the caller shows where TLS_CLIENT_CA_FILE is set:',
    'DNS:bff.internal or URI:spiffe://example.org/bff, matched exactly. A caller that is added with one gets',
    'no key, unless --key asks for it.',
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
        return add(name, rest);
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
      case 'add-certificate':
      case 'remove-certificate':
        if (rest.length === 0) throw new UsageError(`caller ${action}: say which certificate name`);
        return withMigratedDatabase(async (db) => {
          const change =
            action === 'add-certificate' ? addCallerCertificates : removeCallerCertificates;
          await change(db, { name, certificates: rest, clock: systemClock });
          process.stdout.write(
            `${action === 'add-certificate' ? 'added to' : 'removed from'} ${name}\n`,
          );
        });
      default:
        throw new UsageError(`caller: unknown action ${action}`);
    }
  },
};

function add(name: string, rest: readonly string[]): Promise<void> {
  const { positionals, values } = readAdd(rest);
  const { certificate: certificates = [], key = certificates.length === 0 } = values;
  const groups = positionals.length === 0 ? rpcGroups : positionals;
  return withMigratedDatabase(async (db) => {
    const caller = { ...system, name, groups, certificates };
    if (key) {
      showKey(name, await addCaller(db, caller));
      return;
    }
    await addKeylessCaller(db, caller);
    process.stdout.write(`caller  ${name}\n\nKnown by its certificate; it has no key.\n`);
  });
}

function readAdd(rest: readonly string[]) {
  try {
    return parseArgs({
      args: [...rest],
      allowPositionals: true,
      options: { certificate: { type: 'string', multiple: true }, key: { type: 'boolean' } },
    });
  } catch (error) {
    throw new UsageError(`caller add: ${error instanceof Error ? error.message : 'bad arguments'}`);
  }
}

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

function line({ name, keys, certificates, rpcGroups: groups, disabled }: CallerRecord): string {
  const state = disabled ? 'disabled' : `keys ${keys.map((key) => key.id).join(' ') || 'none'}`;
  const known = certificates.length === 0 ? '' : `  certificates ${certificates.join(' ')}`;
  return `${name.padEnd(24)} ${state}${known}  groups ${groups.join(' ')}`;
}
