/** A hashing thread that does what the password says; one whose niceness is 1 ends at its start. */
import { parentPort, workerData } from 'node:worker_threads';

if (workerData.niceness === 1) process.exit(1);

parentPort?.on('message', ({ password }) => {
  if (password === 'exit') process.exit(1);
  if (password === 'throw') throw new TypeError('out of order');
  if (password === 'fail') parentPort?.postMessage({ failed: 'not today' });
  if (password === 'work') parentPort?.postMessage({ value: true });
});
