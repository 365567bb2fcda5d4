#!/usr/bin/env node
/**
 * Sets the size of libuv's thread pool, then starts the program. The pool takes its size from the
 * environment once, at its first use, and loading an ES module is such a use (files are read on it);
 * so this must happen in a CommonJS file, which loads synchronously, before the first import.
 *
 * Cores + 4: password hashes take at most one thread per core, and what shares the pool with them
 * (WebCrypto for token signatures, DNS, files) never queues behind a hash (rule 15).
 */
import os = require('node:os');

process.env['UV_THREADPOOL_SIZE'] ??= String(os.availableParallelism() + 4);

import('./main.js').catch((error: unknown) => {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
});
