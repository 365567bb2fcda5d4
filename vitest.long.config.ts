import { defineConfig } from 'vitest/config';

/**
 * `npm run verify:long`: the kill loops and the million rows, which take minutes and need PostgreSQL.
 * One file at a time: each wants the machine for itself.
 */
export default defineConfig({
  test: {
    include: ['test/long/**/*.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 30 * 60_000,
    hookTimeout: 5 * 60_000,
    reporters: ['verbose'],
    disableConsoleIntercept: true,
  },
});
