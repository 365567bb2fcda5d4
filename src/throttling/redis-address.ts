/** Where Redis is, as `REDIS_URL` says it. */
export type RedisAddress =
  | (Access & { readonly form: 'single'; readonly host: RedisHost; readonly db: number })
  | (Access & { readonly form: 'cluster'; readonly hosts: readonly RedisHost[] })
  | (Access & {
      readonly form: 'sentinel';
      readonly hosts: readonly RedisHost[];
      /** What the sentinels call the primary. */
      readonly name: string;
      readonly db: number;
      /** For the sentinels themselves, which have accounts of their own. */
      readonly sentinel: Credentials;
    });

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

interface Credentials {
  readonly username?: string;
  readonly password?: string;
}

interface Access extends Credentials {
  readonly tls: boolean;
}

type Read<T> = { readonly value: T } | { readonly wrong: string };

export const REDIS_FORMS = [
  'redis://[[user]:password@]host[:port][/db]',
  'redis+sentinel://[[user]:password@]host[:port][,host…]/name[/db][?sentinel_username=…&sentinel_password=…]',
  'redis+cluster://[[user]:password@]host[:port][,host…]',
] as const;

/** More first addresses than any installation has; the clients find the other nodes by themselves. */
export const MAX_REDIS_HOSTS = 16;
const MAX_LENGTH = 4_096;
const MAX_DB = 65_535;

const SHAPE =
  /^(rediss?)(\+sentinel|\+cluster)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const HOST = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?$/;
const NAME = /^[A-Za-z0-9._-]{1,128}$/;
const SENTINEL_PORT = 26_379;
const REDIS_PORT = 6_379;

/**
 * Strict: what is not understood is refused, for an option that is silently dropped could be the one
 * that matters. The address may hold passwords, so what is wrong is said without quoting any of it.
 * Not by the URL parser: it takes no list of hosts.
 */
export function parseRedisAddress(text: string): Read<RedisAddress> {
  const shape = text.length > MAX_LENGTH ? null : SHAPE.exec(text);
  if (shape === null) return wrong('of no form that is known');
  const [, scheme, form, userinfo, authority = '', path = '', query] = shape;
  const sentinels = form === '+sentinel';
  const hosts = readHosts(authority, sentinels ? SENTINEL_PORT : REDIS_PORT);
  if ('wrong' in hosts) return hosts;
  const credentials = readUserinfo(userinfo);
  if ('wrong' in credentials) return credentials;
  const access = { ...credentials.value, tls: scheme === 'rediss' };
  if (sentinels) return readSentinel(access, hosts.value, path, query);
  if (query !== undefined) return wrong('not free of a query (?…), which this form does not take');
  if (form === '+cluster') {
    if (path !== '') return wrong('not free of a path: a cluster has one database');
    return { value: { ...access, form: 'cluster', hosts: hosts.value } };
  }
  const [host, ...others] = hosts.value;
  if (host === undefined || others.length > 0) {
    return wrong('not one host: several need redis+sentinel:// or redis+cluster://');
  }
  const db = readDb(path);
  return 'wrong' in db ? db : { value: { ...access, form: 'single', host, db: db.value } };
}

function readSentinel(
  access: Access,
  hosts: readonly RedisHost[],
  path: string,
  query: string | undefined,
): Read<RedisAddress> {
  const [name = '', database = '', ...rest] = path.split('/');
  if (!NAME.test(name)) {
    return wrong('without the name of the primary after the hosts: …/mymaster');
  }
  if (rest.length > 0) return wrong('followed by more than a name and a database');
  const db = readDb(database);
  if ('wrong' in db) return db;
  const sentinel = readSentinelQuery(query);
  if ('wrong' in sentinel) return sentinel;
  const value = { ...access, form: 'sentinel', hosts, name, db: db.value } as const;
  return { value: { ...value, sentinel: sentinel.value } };
}

function readSentinelQuery(query: string | undefined): Read<Credentials> {
  const given = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(query)) {
    if ((key !== 'sentinel_username' && key !== 'sentinel_password') || given.has(key)) {
      return wrong('followed by a query that is not sentinel_username and sentinel_password, once');
    }
    given.set(key, value);
  }
  return credentials(given.get('sentinel_username') ?? '', given.get('sentinel_password') ?? '');
}

function readHosts(authority: string, defaultPort: number): Read<readonly RedisHost[]> {
  const written = authority.split(',');
  if (written.length > MAX_REDIS_HOSTS) return wrong(`longer than ${MAX_REDIS_HOSTS} hosts`);
  const hosts: RedisHost[] = [];
  for (const [i, each] of written.entries()) {
    const [, ipv6, name, port] = HOST.exec(each) ?? [];
    const host = ipv6 ?? name;
    if (host === undefined) return wrong(`wrong at host ${i + 1}, which is not host[:port]`);
    const number = port === undefined ? defaultPort : Number(port);
    if (number < 1 || number > 65_535) return wrong(`wrong at host ${i + 1}: no such port`);
    hosts.push({ host, port: number });
  }
  return { value: hosts };
}

function readUserinfo(userinfo: string | undefined): Read<Credentials> {
  if (userinfo === undefined) return { value: {} };
  const [username = '', ...password] = userinfo.split(':');
  try {
    return credentials(decodeURIComponent(username), decodeURIComponent(password.join(':')));
  } catch {
    return wrong('wrong before the @, where what is not a letter or digit is to be written as %XX');
  }
}

function credentials(username: string, password: string): Read<Credentials> {
  if (username !== '' && password === '') return wrong('a user without a password');
  return {
    value: {
      ...(username === '' ? {} : { username }),
      ...(password === '' ? {} : { password }),
    },
  };
}

function readDb(text: string): Read<number> {
  if (text === '') return { value: 0 };
  const db = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return db <= MAX_DB ? { value: db } : wrong('followed by a database that is not a number');
}

function wrong(what: string): { readonly wrong: string } {
  return { wrong: what };
}
