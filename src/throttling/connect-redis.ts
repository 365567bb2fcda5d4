import { setTimeout as delay } from 'node:timers/promises';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { parseRedisAddress, type RedisAddress } from './redis-address.js';

export interface RedisConnection {
  readonly client: Redis | Cluster;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ConnectRedisOptions {
  /** Put before every key, so that several installations can share one Redis. */
  readonly prefix?: string;
  /** Told every connection error, for the log; without it they are dropped, never thrown. */
  readonly onError?: (error: Error) => void;
}

/** Longest that one command may take before insurance answers in its place. */
const COMMAND_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 1_000;
const RECONNECT_FIRST_MS = 50;
const RECONNECT_CAP_MS = 2_000;
/** Longest that a start waits. Behind sentinels and in a cluster several hosts are asked in turn. */
const FIRST_ATTEMPT_MS = 1_500;
/** A slot that moves while it is asked about is followed this often. */
const MAX_REDIRECTIONS = 4;

/**
 * Connects, waiting for the first attempt to succeed or fail (1.5 s at most). A Redis that is
 * away does not stop the process from starting: limits run on their insurance until it is back, and
 * the connection is tried again for ever. Throws only for an address of the wrong shape.
 */
export async function connectRedis(
  url: string,
  { prefix, onError }: ConnectRedisOptions = {},
): Promise<RedisConnection> {
  const address = parseRedisAddress(url);
  // The address may hold a password, so it is in no message.
  if ('wrong' in address) throw new Error(`the address of Redis is ${address.wrong}`);
  const client = clientFor(address.value, prefix);
  // Without a listener an EventEmitter throws its 'error' events and the process dies.
  client.on('error', (error: Error) => onError?.(error));
  if (client instanceof Cluster) client.on('node error', (error: Error) => onError?.(error));
  const first = (client instanceof Cluster ? connectCluster(client) : client.connect()).catch(
    () => undefined,
  );
  const patience = new AbortController();
  const given = delay(FIRST_ATTEMPT_MS, undefined, { signal: patience.signal }).catch(() => {});
  await Promise.race([first, given]);
  patience.abort();
  return { client, [Symbol.asyncDispose]: () => close(client) };
}

function clientFor(address: RedisAddress, prefix: string | undefined): Redis | Cluster {
  const { username, password, tls } = address;
  const access: Pick<RedisOptions, 'username' | 'password' | 'tls'> = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  };
  const keys = prefix === undefined ? {} : { keyPrefix: prefix };
  switch (address.form) {
    case 'single':
      return reconnecting({ ...access, ...keys, ...address.host, db: address.db });
    case 'sentinel':
      return reconnecting({ ...access, ...keys, ...behindSentinels(address) });
    case 'cluster':
      return new Cluster([...address.hosts], {
        ...keys,
        lazyConnect: true,
        enableOfflineQueue: false,
        clusterRetryStrategy: reconnectDelayMs,
        slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
        maxRedirections: MAX_REDIRECTIONS,
        // Zero: refused at once, for insurance to answer. Else the client itself would keep charges and
        // send them later, for calls that have long been answered.
        retryDelayOnFailover: 0,
        retryDelayOnClusterDown: 0,
        // Names reach TLS as they are written; resolved first, no certificate would fit them.
        dnsLookup: (host, resolved) => resolved(null, host),
        // A node that is lost is not connected to again until the cluster names it again.
        redisOptions: { ...wary, ...access },
      });
  }
}

/**
 * Connects to every primary as soon as it is known. Left to the client, the first charge of a node would
 * open its connection and all others in the meantime would fail.
 */
async function connectCluster(client: Cluster): Promise<void> {
  client.on('+node', (node: Redis) => {
    if (node.options.readOnly !== true) node.connect().catch(() => undefined);
  });
  await client.connect();
  await Promise.all(client.nodes('master').map(settled));
}

function settled(node: Redis): Promise<void> {
  return new Promise((resolve) => {
    if (node.status === 'ready' || node.status === 'end') resolve();
    node.once('ready', resolve).once('end', resolve);
  });
}

function behindSentinels(address: RedisAddress & { form: 'sentinel' }) {
  const { hosts, name, db, sentinel, tls } = address;
  return {
    sentinels: [...hosts],
    name,
    db,
    ...(sentinel.username === undefined ? {} : { sentinelUsername: sentinel.username }),
    ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
    ...(tls ? { sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
    // A number at every time: without one the client would end for good once no sentinel answers.
    sentinelRetryStrategy: reconnectDelayMs,
    sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
  } satisfies RedisOptions;
}

/** For every connection that charges go over. */
const wary = {
  // A charge lost with its connection is answered by insurance at once. Sending it again later would
  // charge twice, for a call that has long been answered; one retry alone waits for a reconnection.
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  commandTimeout: COMMAND_TIMEOUT_MS,
  // A Redis that accepts and does not answer is closed after the first timeout, so that later calls
  // find the client not ready and do not wait each for their own.
  socketTimeout: COMMAND_TIMEOUT_MS,
  connectTimeout: CONNECT_TIMEOUT_MS,
} as const satisfies RedisOptions;

/** For one server at a time: a client that reconnects by itself. */
function reconnecting(options: Omit<RedisOptions, 'replyMapping'>): Redis {
  let leaving = false;
  const client = new Redis({
    ...wary,
    ...options,
    lazyConnect: true,
    // A command that cannot be written now fails now: nothing queues up in memory while Redis is away.
    enableOfflineQueue: false,
    retryStrategy: reconnectDelayMs,
    // After a failover the old primary answers READONLY; connecting again finds the new one. From within
    // a script older servers put words of their own before it. Once for all charges that were under way.
    reconnectOnError: (error) => {
      if (leaving || !error.message.includes('READONLY')) return false;
      leaving = true;
      return true;
    },
  });
  client.on('close', () => {
    leaving = false;
  });
  return client;
}

/** Doubles from the first delay up to the cap; tried for ever. `times` starts at 1. */
function reconnectDelayMs(times: number): number {
  return Math.min(RECONNECT_FIRST_MS * 2 ** Math.min(times - 1, 10), RECONNECT_CAP_MS);
}

async function close(client: Redis | Cluster): Promise<void> {
  if (client.status === 'ready') await client.quit().catch(() => undefined);
  client.disconnect();
}
