import { configDefaults, defineConfig } from 'vitest/config';

/**
 * What asks no store, and so is the same on every one. REQUIRE_SERVICES=1 leaves it out, because whoever
 * sets that (`npm run verify`) runs the embedded profile by itself.
 */
const WITHOUT_STORE = [
  'test/architecture.test.ts',
  'test/bench.test.ts',
  'test/cli/configuration.test.ts',
  'test/cli/usage.test.ts',
  'test/config/**',
  'test/core/**',
  'test/logger.test.ts',
  'test/passwords/**',
];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [
      ...configDefaults.exclude,
      ...(process.env['REQUIRE_SERVICES'] === '1' ? WITHOUT_STORE : []),
    ],
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
