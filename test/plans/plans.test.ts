import { Client } from 'pg';
import { expect, it } from 'vitest';
import { describePostgres } from '../support/databases.js';
import { HOT_PATHS, reportScans } from './hot-paths.js';
import { scannedTables } from './statements.js';

const ROWS = 30_000;

describePostgres('the plans of hot statements', (database) => {
  it('scan no table that grows, with 30,000 rows in each', { timeout: 180_000 }, async () => {
    const { seen, scans } = await reportScans(database(), ROWS);
    expect(scans).toEqual([]);
    // What was never sent was never explained.
    for (const path of HOT_PATHS) expect(seen[path] ?? 0, path).toBeGreaterThan(0);
  });

  it('would show a scan, were there one', async () => {
    const client = new Client({ connectionString: database().url });
    await client.connect();
    const byValue = {
      text: 'select account_id from identifiers where value = $1',
      values: ['nobody'],
    };
    const byKey = {
      text: 'select status from accounts where account_id = $1::uuid',
      values: [null],
    };
    expect(await scannedTables(client, byValue)).toEqual(['identifiers']);
    expect(await scannedTables(client, byKey)).toEqual([]);
    await client.end();
  });
});
