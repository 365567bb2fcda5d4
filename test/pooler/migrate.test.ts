import { expect, it } from 'vitest';
import { migrations } from '../../migrations/index.js';
import { checkSchema } from '../../src/db/index.js';
import { emptyDatabase } from '../resilience/empty-database.js';
import { runProgram } from '../resilience/process.js';
import { postgresUrl } from '../support/databases.js';
import { describePooled, startPrivatePgbouncer } from '../support/private-pgbouncer.js';
import { anotherPool } from '../support/test-app.js';

describePooled('migrate with a pooler before the database', { timeout: 60_000 }, () => {
  it('works through it, from two processes at once', async () => {
    await using pooler = await startPrivatePgbouncer(postgresUrl());
    await using database = await emptyDatabase();
    const env = { DATABASE_URL: pooler.through(database.url) };
    const runs = await Promise.all([1, 2].map(() => runProgram(['migrate'], env)));
    for (const run of runs) expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(runs.filter(({ stdout }) => stdout.includes('nothing to do'))).toHaveLength(1);
  });

  it('goes past it by DATABASE_DIRECT_URL, and only to the same database', async () => {
    await using pooler = await startPrivatePgbouncer(postgresUrl());
    await using database = await emptyDatabase();
    await using other = await emptyDatabase();
    const pooled = pooler.through(database.url);
    const migrate = (directUrl: string) =>
      runProgram(['migrate'], { DATABASE_URL: pooled, DATABASE_DIRECT_URL: directUrl });

    const [astray, nobody] = await Promise.all([
      migrate(other.url),
      migrate('postgres://postgres@127.0.0.1:1/none'),
    ]);
    expect(astray).toMatchObject({ code: 1, stdout: '' });
    expect(astray.stderr).toMatch(
      /^countersign: DATABASE_DIRECT_URL .* lead to different databases\. Nothing/,
    );
    await using looking = await anotherPool(other.url);
    expect(await checkSchema(looking.db, migrations)).toMatchObject({
      problem: expect.stringContaining('no schema yet'),
    });

    expect(nobody).toMatchObject({ code: 1, stdout: '' });
    expect(nobody.stderr).toMatch(/the database of DATABASE_DIRECT_URL cannot be used: .*refused/);

    const done = await migrate(database.url);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toContain(`:${new URL(database.url).port}/`);
    await using through = await anotherPool(pooled);
    expect(await checkSchema(through.db, migrations)).toEqual({ fits: true });
  });
});
