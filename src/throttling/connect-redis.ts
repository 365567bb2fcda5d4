import { Redis } from 'ioredis';

export interface RedisConnection {
  readonly client: Redis;
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

/**
 * Connects, waiting for the first attempt to succeed or fail (about 1.5 s at most). A Redis that is
 * away does not stop the process from starting: limits run on their insurance until it is back, and
 * the connection is tried again for ever. Throws only for an address of the wrong shape.
 */
export async function connectRedis(
  url: string,
  { prefix, onError }: ConnectRedisOptions = {},
): Promise<RedisConnection> {
  requireRedisUrl(url);
  const client = new Redis(url, {
    lazyConnect: true,
    ...(prefix === undefined ? {} : { keyPrefix: prefix }),
    // A command that cannot be written now fails now: nothing queues up in memory while Redis is away.
    enableOfflineQueue: false,
    // A charge lost with its connection is answered by insurance at once. Sending it again later would
    // charge twice, for a call that has long been answered; one retry alone waits for a reconnection.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    // A Redis that accepts and does not answer is closed after the first timeout, so that later calls
    // find the client not ready and do not wait each for their own.
    socketTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: reconnectDelayMs,
    // After a failover the old primary answers READONLY; connecting again finds the new one.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  // Without a listener an EventEmitter throws its 'error' events and the process dies.
  client.on('error', (error: Error) => onError?.(error));
  await client.connect().catch(() => undefined);
  return { client, [Symbol.asyncDispose]: () => close(client) };
}

/** Doubles from the first delay up to the cap; tried for ever. `times` starts at 1. */
function reconnectDelayMs(times: number): number {
  return Math.min(RECONNECT_FIRST_MS * 2 ** Math.min(times - 1, 10), RECONNECT_CAP_MS);
}

async function close(client: Redis): Promise<void> {
  if (client.status === 'ready') await client.quit().catch(() => undefined);
  client.disconnect();
}

/** The address may hold a password, so it is in no message. */
function requireRedisUrl(url: string): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : undefined;
  if (protocol === 'redis:' || protocol === 'rediss:') return;
  throw new Error('the address of Redis must be a URL that starts with redis:// or rediss://');
}
