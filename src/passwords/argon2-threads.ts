import { Worker } from 'node:worker_threads';
import type { Options } from '@node-rs/argon2';
import type { Logger } from '../core/logger.js';
import { type Argon2, hashOptions } from './argon2.js';

/** What a thread is told at its start. */
export interface ThreadData {
  readonly niceness: number;
}

/** One computation, as it is sent to a thread: a verification where there is something to compare with. */
export interface Task {
  readonly password: string;
  readonly encoded: string | undefined;
  readonly options: Options;
}

/** What a thread sends back, once for each task. */
export type Reply = { readonly value: string | boolean } | { readonly failed: string };

export interface Argon2ThreadsOptions {
  /** As many as the hash lane has permits: no queue is kept here. */
  readonly count: number;
  readonly log: Logger;
  /** From 0, the priority of everything else, to 19. */
  readonly niceness?: number;
  /** What the threads run; tests have one that dies. */
  readonly body?: URL;
}

/**
 * Enough to stand behind the event loop, PostgreSQL and whatever else the machine does, and not so
 * much that sign-in starves where a neighbour never rests (decision 0020).
 */
const NICENESS = 10;

const BODY = new URL('./argon2-thread.js', import.meta.url);

/**
 * Argon2 on threads of its own, one computation each, at a lower priority than the event loop's:
 * hashes take what the rest of the machine leaves, and share no queue with token signatures, DNS and
 * files, as they would on libuv's pool.
 *
 * A thread that ends unasked fails its own computation and no other, and the next computation that
 * finds none idle starts another: whatever makes threads end, they are not started in a loop. A
 * computation is never broken off, here or by a time limit: its cost is known from its parameters,
 * and those are bounded (`readArgon2`).
 */
export function startArgon2Threads(options: Argon2ThreadsOptions): Argon2 & AsyncDisposable {
  const { count, log, niceness = NICENESS, body = BODY } = options;
  const idle = new Set<HashingThread>();
  const all = new Set<HashingThread>();
  let closed = false;

  const open = (): HashingThread => {
    const thread = startThread(body, { niceness }, (cause) => {
      all.delete(thread);
      idle.delete(thread);
      if (!closed) log.error({ err: cause }, 'a hashing thread ended');
    });
    all.add(thread);
    return thread;
  };

  const compute = async (task: Task): Promise<string | boolean> => {
    if (closed) throw new Error('the hashing threads are closed');
    const [thread = open()] = idle;
    idle.delete(thread);
    try {
      return await thread.compute(task);
    } finally {
      if (all.has(thread)) idle.add(thread);
    }
  };

  // Beforehand: the first people to sign in must not wait for threads to start.
  for (let i = 0; i < count; i += 1) idle.add(open());
  return {
    async hash(password, salt, parameters, secret) {
      const made = { ...hashOptions(parameters), salt: alone(salt), ...optional(secret) };
      return String(await compute({ password, encoded: undefined, options: made }));
    },
    async verify(encoded, password, secret) {
      return (await compute({ password, encoded, options: optional(secret) })) === true;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await Promise.all([...all].map((thread) => thread.stop()));
    },
  };
}

interface HashingThread {
  /** One at a time. */
  compute(task: Task): Promise<string | boolean>;
  /** Resolves when what it computes is done, the outcome of which is lost. */
  stop(): Promise<unknown>;
}

interface Settle {
  resolve(value: string | boolean): void;
  reject(error: Error): void;
}

function startThread(
  body: URL,
  workerData: ThreadData,
  onEnd: (cause: unknown) => void,
): HashingThread {
  const worker = new Worker(body, { workerData });
  let current: Settle | undefined;
  let cause: unknown;
  worker.on('message', (reply: Reply) => {
    if ('value' in reply) current?.resolve(reply.value);
    else current?.reject(new Error(`Argon2 failed: ${reply.failed}`));
    current = undefined;
  });
  worker.on('error', (error) => {
    cause = error;
  });
  worker.on('exit', () => {
    onEnd(cause);
    current?.reject(new Error('a hashing thread ended', { cause }));
  });
  return {
    compute: (task) =>
      new Promise((resolve, reject) => {
        current = { resolve, reject };
        worker.postMessage(task);
      }),
    stop: () => worker.terminate(),
  };
}

/** Small buffers share their memory with others, and all of it would be copied to the thread. */
function alone(bytes: Buffer): Uint8Array {
  return Uint8Array.from(bytes);
}

function optional(secret: Buffer | undefined): Options {
  return secret === undefined ? {} : { secret: alone(secret) };
}
