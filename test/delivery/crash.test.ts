import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { LEASE_SECONDS } from '../../src/delivery/index.js';
import { describePostgres } from '../support/databases.js';
import { createMailbox } from '../support/mailbox.js';
import { movableClock, outboxOn } from './fixtures.js';

const program = fileURLToPath(new URL('sending-process.ts', import.meta.url));

/** Runs the sending process until it has announced some messages, and kills it in the midst of one. */
async function runAndKill(url: string, file: string): Promise<ReadonlyMap<string, string>> {
  const child = spawn(process.execPath, ['--import', 'tsx', program, url, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (output.split('\n').length > 120) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.once('close', resolve));
  // The last line may be cut.
  const lines = output.split('\n').slice(0, -1);
  return new Map(lines.map((line) => line.split(' ') as [string, string]));
}

describePostgres('outbox after SIGKILL', (database) => {
  it('loses no committed message, and sends few twice (M4)', async () => {
    const { db, url } = database();
    const folder = await mkdtemp(join(tmpdir(), 'countersign-crash-'));
    const file = join(folder, 'sms.jsonl');
    const announced = await runAndKill(url, file);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    await rm(folder, { recursive: true });
    const before = lines.map((line) => (JSON.parse(line) as { to: string }).to);

    const clock = movableClock();
    const mailbox = createMailbox();
    const outbox = outboxOn(db, clock, mailbox.transports);
    clock.offsetMs += LEASE_SECONDS * 1000 + 1_000;
    while ((await outbox.recover()) > 0) await outbox.settled();
    const after = mailbox.messages.map(({ to }) => to);

    const { rows } = await sql<{ id: string; state: string }>`
      select message_id as id, state from outbox`.execute(db);
    expect(rows.length).toBeGreaterThan(100);
    expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(['sent']));
    const delivered = new Set([...before, ...after]);
    for (const { id } of rows) expect(delivered).toContain(announced.get(id));
    // Each process sends once; only what was sent and not yet written down goes twice.
    expect(new Set(before).size).toBe(before.length);
    expect(new Set(after).size).toBe(after.length);
    expect(after.length).toBeGreaterThan(0);
    expect(after.length).toBeLessThan(rows.length);
  });
});
