import { connect } from 'node:net';
import { Client } from 'pg';
import { startPrivatePostgres } from '../test/support/private-postgres.js';
import { startPrivateRedis } from '../test/support/private-redis.js';

/** PostgreSQL and Redis for the tests, until disposed of. */
export interface Services extends AsyncDisposable {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** For people: where each came from. */
  readonly describe: string;
}

const LOCAL_DATABASE = 'postgres://postgres@127.0.0.1:5432/postgres';
const LOCAL_REDIS = 'redis://127.0.0.1:6379';
const ANSWER_MS = 2_000;

type Start = () => Promise<AsyncDisposable & { readonly url: string }>;

/**
 * What the environment names, else what answers at the usual local address, else private servers on
 * free ports. What is named must answer: quietly testing on something else would prove nothing.
 */
export async function findServices(): Promise<Services> {
  const started: AsyncDisposable[] = [];
  const stop = async (): Promise<void> => {
    for (const server of started.reverse()) await server[Symbol.asyncDispose]();
  };
  const find = async (
    name: string,
    local: string,
    answers: (url: string) => Promise<boolean>,
    start: Start,
  ): Promise<{ readonly url: string; readonly how: string }> => {
    const given = process.env[name];
    if (given !== undefined && given !== '') {
      if (await answers(given)) return { url: given, how: name };
      throw new Error(`${name} is set, and what it names does not answer`);
    }
    if (await answers(local)) return { url: local, how: 'local' };
    try {
      const server = await start();
      started.push(server);
      return { url: server.url, how: 'private' };
    } catch (error) {
      throw new Error(
        `nothing answers at ${local}, and no private server could be started: install it, or set ${name}`,
        { cause: error },
      );
    }
  };
  try {
    const database = await find(
      'TEST_DATABASE_URL',
      LOCAL_DATABASE,
      postgresAnswers,
      startPrivatePostgres,
    );
    const redis = await find('TEST_REDIS_URL', LOCAL_REDIS, redisAnswers, startPrivateRedis);
    return {
      databaseUrl: database.url,
      redisUrl: redis.url,
      describe: `PostgreSQL: ${database.how}, Redis: ${redis.how}`,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function postgresAnswers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: ANSWER_MS });
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Whether something listens: a Redis that asks for a password first is one too. */
function redisAnswers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port || 6379), hostname);
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(ANSWER_MS, () => finish(false));
    socket.once('connect', () => finish(true));
    socket.once('error', () => finish(false));
  });
}
