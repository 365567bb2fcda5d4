import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createCountersignClient } from '../../src/client/index.js';
import { describePostgres } from '../support/databases.js';
import { PASSWORD, unique } from '../support/people.js';
import { startPrivatePostgres } from '../support/private-postgres.js';
import { healthOf } from './health-of.js';
import { runProgram, startServer, temporaryFolder } from './process.js';

const DRAIN_MS = 2_000;
/** What operators are told that everything behind the calls takes at most. */
const BEHIND_MS = 20_000;
/** Longer than the watch of the database pauses, so that a run of it hangs. */
const HANGING_MS = 3_000;
const SLACK_MS = 10_000;

describePostgres('a server whose database hangs', () => {
  it('turns health and refuses calls at once on SIGTERM, and ends within its bounds (O6)', {
    timeout: 120_000,
  }, async () => {
    await using postgres = await startPrivatePostgres();
    await using folder = await temporaryFolder();
    const env = {
      DATABASE_URL: postgres.url,
      DATA_DIR: folder.path,
      DRAIN_TIMEOUT: '2s',
    };
    await runProgram(['migrate'], env);
    await using server = await startServer(env);
    const health = healthOf(server.address);
    await using client = createCountersignClient({ address: server.address, deadlineMs: 60_000 });
    await client.auth.signUp({ username: unique.username(), password: PASSWORD });
    expect(await health.ask()).toBe('serving');

    await postgres.freeze();
    const underWay = client.auth
      .signUp({ username: unique.username(), password: PASSWORD })
      .catch((error: unknown) => error);
    await delay(HANGING_MS);
    expect(await health.ask()).toBe('serving');

    const signalled = performance.now();
    server.kill('SIGTERM');
    while ((await health.ask()) === 'serving') await delay(20);
    // Because of the signal, and not because the watch has given the database up, seconds later.
    expect(server.stderr).not.toContain('the database is away');
    await expect(client.auth.getJsonWebKeySet({})).rejects.toThrow();
    expect(await server.exited).toBe(0);
    expect(performance.now() - signalled).toBeLessThan(DRAIN_MS + BEHIND_MS + SLACK_MS);
    expect(await underWay).toBeInstanceOf(Error);
    expect(server.stdout).toMatch(/draining\nstopped\n$/);
    health.close();
  });
});
