import { Client } from 'pg';
import { expect, it } from 'vitest';
import { describePostgres } from '../support/databases.js';
import { HOT_PATHS, reportScans } from './hot-paths.js';
import { scannedTables } from './statements.js';

const ROWS = 30_000;

describePostgres('the plans of hot statements', (database) => {
  it('scan no table that grows, with 30,000 rows in each', { timeout: 180_000 }, async () => {
    const { seen, scans, texts, furtherTexts } = await reportScans(database(), ROWS);
    expect(scans).toEqual([]);
    // A text with a value in it would be prepared anew for everybody, and crowd the others out.
    expect(furtherTexts).toEqual([]);
    // Of the 500 that a connection prepares; what no hot path sends needs room too.
    expect(texts).toBeLessThan(250);
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
    // Nothing is sorted, and still everything is read.
    const inOrder = { text: 'select account_id from accounts order by account_id', values: [] };
    expect(await scannedTables(client, inOrder)).toEqual(['accounts']);
    await client.end();
  });
});
