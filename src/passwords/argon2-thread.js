// @ts-check
/**
 * The body of a hashing thread (`argon2-threads.ts`). Plain JavaScript, because Node itself loads the
 * file of a worker: the same one runs from the sources, in tests and compiled. Nothing of a task is
 * kept or logged (rule 22).
 *
 * @typedef {import('./argon2-threads.js').Task} Task
 * @typedef {import('./argon2-threads.js').Reply} Reply
 * @typedef {import('./argon2-threads.js').ThreadData} ThreadData
 */
import { platform, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { hashSync, verifySync } from '@node-rs/argon2';

/** @type {ThreadData} */
const { niceness } = workerData;
// Linux takes 0 for the calling thread, and for this one alone. To others it is the whole process,
// the event loop included: there, nothing is lowered.
if (platform() === 'linux') setPriority(0, niceness);

parentPort?.on('message', (/** @type {Task} */ task) => parentPort?.postMessage(replyTo(task)));

/** @type {(task: Task) => Reply} */
function replyTo({ password, encoded, options }) {
  try {
    return {
      value:
        encoded === undefined
          ? hashSync(password, options)
          : verifySync(encoded, password, options),
    };
  } catch (error) {
    return { failed: error instanceof Error ? error.message : 'unknown' };
  }
}
