import { BlockList, isIP } from 'node:net';
import type { Config } from './config-types.js';
import type { Permission, Permissions } from './permissions.js';
import type { Reader } from './reader.js';
import type { Address } from './values.js';

interface Danger {
  readonly permission: Permission;
  /** The settings that could be changed instead. */
  readonly names: readonly string[];
  readonly wrong: string;
  readonly remedy: string;
}

/** Whether nothing outside this machine reaches a listener on `host`. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  // A name is believed in this one case (RFC 6761): what others resolve to may change under us.
  if (family === 0) return host.toLowerCase() === 'localhost';
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * Rule 24: off loopback each danger is refused, as one problem, unless it is permitted by its own
 * name. Anonymous callers are not among them: without their permission calls need a key, and whether
 * any caller has one is known to the database alone, so `composition/stores.ts` refuses once that is open.
 */
export function checkDangers(config: Config, permitted: Permissions, read: Reader): void {
  if (config.development) return;
  const dangers = [...plaintext(config, read), ...memory(config, read), ...transports(config)];
  for (const { permission, names, wrong, remedy } of dangers) {
    if (permitted[permission] || read.faulty(permission)) continue;
    read.problem(names.join(', '), wrong, `${remedy}, or permit it with ${permission}=true`);
  }
  requireKeys(config, read);
}

/**
 * What several processes cannot share, on loopback too. Limits in memory can be permitted: each
 * process counts for itself then, and hard counts are in the database all the same.
 */
export function checkWorkers(
  { workers, database, redis }: Config,
  permitted: Permissions,
  read: Reader,
): void {
  if (workers === 1) return;
  if (database.url === undefined && !read.faulty('DATABASE_URL')) {
    read.problem(
      'WORKERS',
      `${workers} processes cannot share the embedded database, which serves one`,
      'Set DATABASE_URL, or leave WORKERS at 1',
    );
  }
  if (redis === undefined && !read.faulty('REDIS_URL') && !permitted.ALLOW_MEMORY_LIMITS) {
    read.problem(
      'WORKERS',
      `${workers} processes would each count limits in a memory of their own`,
      'Set REDIS_URL, leave WORKERS at 1, or permit it with ALLOW_MEMORY_LIMITS=true',
    );
  }
}

function plaintext({ listen, http, tls }: Config, read: Reader): readonly Danger[] {
  const halfTls = read.faulty('TLS_CERT_FILE') || read.faulty('TLS_KEY_FILE');
  const open = [
    ...(tls === undefined && !halfTls && !isLoopback(listen.host)
      ? [{ name: 'LISTEN_ADDRESS', what: `gRPC on ${written(listen)}`, tls: true }]
      : []),
    ...(isLoopback(http.host)
      ? []
      : [{ name: 'HTTP_ADDRESS', what: `the HTTP side port on ${written(http)}`, tls: false }]),
  ];
  if (open.length === 0) return [];
  const tlsHelps = open.some((listener) => listener.tls);
  return [
    {
      permission: 'ALLOW_PLAINTEXT',
      names: open.map(({ name }) => name),
      wrong: `${open.map(({ what }) => what).join(' and ')} would be served without TLS`,
      remedy: tlsHelps
        ? 'Set TLS_CERT_FILE and TLS_KEY_FILE for gRPC and keep HTTP on loopback'
        : 'Keep it on loopback (it never has TLS)',
    },
  ];
}

function memory({ database, redis }: Config, read: Reader): readonly Danger[] {
  const dangers: Danger[] = [];
  if (database.url === undefined && !read.faulty('DATABASE_URL')) {
    dangers.push({
      permission: 'ALLOW_EMBEDDED_DATABASE',
      names: ['DATABASE_URL'],
      wrong: 'it is not set, and the embedded database would be used off loopback',
      remedy: 'Set DATABASE_URL',
    });
  }
  if (redis === undefined && !read.faulty('REDIS_URL')) {
    dangers.push({
      permission: 'ALLOW_MEMORY_LIMITS',
      names: ['REDIS_URL'],
      wrong: 'it is not set, and limits would be counted in memory off loopback',
      remedy: 'Set REDIS_URL',
    });
  }
  return dangers;
}

function transports({ mail, sms }: Config): readonly Danger[] {
  const specs = Object.entries({ MAIL_TRANSPORT: mail, SMS_TRANSPORT: sms });
  const to = (console: boolean): readonly string[] =>
    specs.filter(([, spec]) => (spec === 'console') === console).map(([name]) => name);
  const dangers: readonly Danger[] = [
    {
      permission: 'ALLOW_CONSOLE_TRANSPORT',
      names: to(true),
      wrong: 'messages with their codes would go to standard output off loopback',
      remedy: 'Choose another transport',
    },
    {
      permission: 'ALLOW_FILE_TRANSPORT',
      names: to(false),
      wrong: 'messages with their codes would go to a file off loopback',
      remedy: 'Choose another transport',
    },
  ];
  return dangers.filter(({ names }) => names.length > 0);
}

/** With a database that outlives this machine, keys in one replica's folder are lost or differ. */
function requireKeys({ database, keys }: Config, read: Reader): void {
  if (database.url === undefined) return;
  const rings = { CODE_KEYS: keys.code, TOKEN_KEYS: keys.token, DATA_KEYS: keys.data };
  for (const name of ['CODE_KEYS', 'TOKEN_KEYS', 'DATA_KEYS'] as const) {
    if (rings[name] !== undefined || read.faulty(name)) continue;
    read.problem(
      name,
      'it is required with DATABASE_URL off loopback',
      'Make keys with "countersign keys generate" and give every replica the same',
    );
  }
}

function written({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
