import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/**
 * What asks no store, and so is the same on every one. REQUIRE_SERVICES=1 leaves it out, because whoever
 * sets that (`npm run verify`) runs the embedded profile by itself.
 */
const WITHOUT_STORE = [
  'test/architecture.test.ts',
  'test/bench.test.ts',
  'test/callers/certificate-name.test.ts',
  'test/challenges/{code,judge-guess}.test.ts',
  'test/cli/{configuration,serve,usage}.test.ts',
  'test/client/{calls,catalogue,credentials,errors,key-cache,tls,token-claims,token-verifier,walk-through}.test.ts',
  'test/cluster/{configuration,gathering,handovers,start}.test.ts',
  'test/config/**',
  'test/core/**',
  'test/db/{embedded-folder,pg-errors,statement-compiler}.test.ts',
  'test/delivery/{escape,texts,transport}.test.ts',
  'test/grpc/{call-context,call-guard,door,health,listener,mutual-tls,one-answer}.test.ts',
  'test/grpc/{reflection,server,status,stream-slots,tls-reload,unary,unary-held-back}.test.ts',
  'test/http/side-server.test.ts',
  'test/logger.test.ts',
  'test/metrics/docs.test.ts',
  'test/passwords/**',
  'test/recovery/reset-token.test.ts',
  'test/resilience/fresh-build.test.ts',
  'test/sessions/{access-token,refresh-token}.test.ts',
  'test/simulation/**',
  'test/throttling/{charges,docs,limits,memory-throttle,redis-address,source-address}.test.ts',
];

/** What replaces modules for itself alone, or registers what is one for the whole process. */
const ALONE = [
  'test/metrics/tracing.test.ts',
  'test/properties/state-machine.test.ts',
  'test/simulation/guess-budget.test.ts',
];

const exclude = [
  ...configDefaults.exclude,
  ...(process.env['REQUIRE_SERVICES'] === '1' ? WITHOUT_STORE : []),
];

export default defineConfig({
  test: {
    pool: 'forks',
    // Much of a test's time is spent waiting: three at a time, also where there are only two cores.
    maxWorkers: Math.max(3, availableParallelism() - 1),
    testTimeout: 20_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: [...exclude, ...ALONE],
          // No module of the house keeps state, so files share what the first of them has loaded.
          isolate: false,
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE, exclude } },
    ],
  },
});
