import { runCommand } from './cli/index.js';

/** The process: one command and its exit code. `launch.cts` has prepared the thread pool before. */
process.exitCode = await runCommand(process.argv.slice(2));
