/** Starts a floor: a bare grpc-js server with the same round trips and none of our layers. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Cleanup } from './cleanup.js';
import { type Program, startProgram, temporaryFolder } from './program.js';
import { createDatabase, redisKeys } from './services.js';

export interface Floor extends Program {
  readonly name: string;
  readonly databaseUrl: string;
  readonly callerKey: undefined;
  readonly messageFile: string;
}

/** `name` is that of a file in `bench/floors`; it gets an empty database and Redis keys of its own. */
export function startFloor(
  name: string,
  options: {
    readonly nodeArgs?: readonly string[];
    readonly env?: Readonly<Record<string, string>> | undefined;
  } = {},
): Promise<Floor> {
  return Cleanup.around(async (cleanup) => {
    const folder = cleanup.add(temporaryFolder());
    const database = cleanup.add(await createDatabase());
    const redis = cleanup.add(redisKeys());
    const messageFile = join(folder.path, 'messages.jsonl');
    const program = cleanup.add(
      await startProgram(['bench/floors/main.ts', name], {
        nodeArgs: ['--import', 'tsx', ...(options.nodeArgs ?? [])],
        env: {
          // A hash per core at a time, as in the server under test; nothing else uses the pool.
          UV_THREADPOOL_SIZE: String(availableParallelism()),
          DATABASE_URL: database.url,
          REDIS_URL: redis.url,
          REDIS_KEY_PREFIX: redis.prefix,
          MESSAGE_FILE: messageFile,
          ...options.env,
        },
      }),
    );
    return {
      ...program,
      name,
      databaseUrl: database.url,
      callerKey: undefined,
      messageFile,
      [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
    };
  });
}
