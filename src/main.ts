#!/usr/bin/env node
import { runCommand } from './cli/index.js';

/** The process: one command and its exit code. */
process.exitCode = await runCommand(process.argv.slice(2));
