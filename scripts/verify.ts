/**
 * Everything that CI runs, in one command: `npm run verify`. Every step runs whatever became of those
 * before it; the last line says how many steps and tests passed and failed, and the exit code is 1
 * where any failed. `--embedded-tests-ran` leaves out the embedded tests, for a caller that has just
 * run and counted them.
 */
import { findServices } from './verify-services.js';
import { npm, requireCommitted, step, type Tally, tests } from './verify-steps.js';

const tally: Tally = { passed: 0, failed: 0 };
/** The tests' own profile: neither service, whatever the environment names. */
const EMBEDDED = { TEST_DATABASE_URL: '', TEST_REDIS_URL: '', REQUIRE_SERVICES: '' };

await step(tally, 'generated code is what the protos say', () => npm('generate', '--check'));
await step(tally, 'docs/configuration.md is what the settings say', () => npm('docs:check'));
await step(tally, 'docs/performance.md is what the results say', () => npm('bench:check'));
await step(tally, 'migrations/schema.sql is what the migrations make', () => npm('schema:check'));
await step(tally, 'what is generated is committed', () =>
  requireCommitted('generated', 'docs/configuration.md', 'migrations/schema.sql', 'proto'),
);
await step(tally, 'protos: lint', () => npm('lint:proto'));
await step(tally, 'protos: format', () => npm('format:proto'));
await step(tally, 'protos: no breaking change', () => npm('breaking'));
await step(tally, 'format and lint', () => npm('lint'));
await step(tally, 'nothing unused', () => npm('lint:unused'));
await step(tally, 'types', () => npm('typecheck'));
await step(tally, 'build', () => npm('build'));
await step(tally, 'tour', () => npm('tour'));
if (process.argv.includes('--embedded-tests-ran')) {
  process.stdout.write('▸ tests, embedded\n  ran already, counted by whoever ran them\n');
} else {
  await step(tally, 'tests, embedded', () => tests(tally, EMBEDDED));
}
await step(tally, 'tests, PostgreSQL and Redis', async () => {
  await using services = await findServices();
  const counts = await tests(tally, {
    TEST_DATABASE_URL: services.databaseUrl,
    TEST_REDIS_URL: services.redisUrl,
    REQUIRE_SERVICES: '1',
  });
  return `${services.describe}; ${counts}`;
});

process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`);
process.exitCode = tally.failed === 0 ? 0 : 1;
