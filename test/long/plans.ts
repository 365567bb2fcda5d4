import { expect, it } from 'vitest';
import { HOT_PATHS, reportScans } from '../plans/hot-paths.js';
import { describePostgres } from '../support/databases.js';

const ROWS = 1_000_000;

describePostgres('the plans of hot statements over a million rows', (database) => {
  it('scan no table that grows', async () => {
    const start = performance.now();
    const { seen, scans, tables } = await reportScans(database(), ROWS);
    const seconds = Math.round((performance.now() - start) / 1000);
    console.log('plans', JSON.stringify({ rows: ROWS, seconds, tables, statements: seen }));
    expect(scans).toEqual([]);
    for (const path of HOT_PATHS) expect(seen[path] ?? 0, path).toBeGreaterThan(0);
  });
});
