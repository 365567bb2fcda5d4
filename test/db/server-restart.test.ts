import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Database,
  inTransaction,
  isUnavailable,
  openDatabase,
  untilAborted,
} from '../../src/db/index.js';
import { silentLog } from '../support/databases.js';
import { type PrivatePostgres, startPrivatePostgres } from '../support/private-postgres.js';

describe.skipIf(process.env['TEST_DATABASE_URL'] === undefined)('a server that goes away', () => {
  let server: PrivatePostgres;
  let database: Database;

  beforeAll(async () => {
    server = await startPrivatePostgres();
    database = await openDatabase({ url: server.url }, { log: silentLog, connectTimeoutMs: 1_000 });
  });
  afterAll(async () => {
    await database?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const one = (): Promise<unknown> => sql`select 1 as one`.execute(database.db);

  it.each(['fast', 'immediate'] as const)('is survived and found again (%s stop)', async (mode) => {
    await Promise.all([one(), one(), one()]);
    const running = sql`select pg_sleep(${30})`.execute(database.db).catch((e: unknown) => e);
    const inside = inTransaction(database.db, async (tx) => {
      await sql`select 1`.execute(tx);
      // Lent, and not asked anything, while the server goes.
      await delay(700);
      await sql`select 1`.execute(tx);
    }).catch((e: unknown) => e);
    await delay(100);
    await server.stop(mode);
    expect(isUnavailable(await running)).toBe(true);
    expect(isUnavailable(await inside)).toBe(true);
    expect(isUnavailable(await one().catch((e: unknown) => e))).toBe(true);
    await server.start();
    await expect(one()).resolves.toBeDefined();
    await expect(Promise.all(Array.from({ length: 20 }, one))).resolves.toHaveLength(20);
  });

  it('is called unavailable when it has no connection left', async () => {
    await using few = await openDatabase(
      { url: server.url },
      { log: silentLog, maxConnections: 1, connectTimeoutMs: 100 },
    );
    const busy = sql`select pg_sleep(${0.5})`.execute(few.db);
    await delay(50);
    const error = await sql`select 1`.execute(few.db).catch((e: unknown) => e);
    expect(isUnavailable(error)).toBe(true);
    await busy;
  });

  it('throws a connection away whose statement cannot be interrupted', async () => {
    // A listener that passes the first connection on, and answers no cancel request.
    let connections = 0;
    const proxy = createServer((socket) => {
      socket.on('error', () => {});
      connections += 1;
      if (connections !== 2) {
        const upstream = connect(server.port, '127.0.0.1').on('error', () => socket.destroy());
        socket.pipe(upstream).pipe(socket);
      }
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = proxy.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await using behind = await openDatabase(
      { url: `postgres://postgres@127.0.0.1:${port}/postgres` },
      { log: silentLog, maxConnections: 1, cancelGraceMs: 200 },
    );
    await sql`select 1`.execute(behind.db);
    const gone = new Error('the caller has left');
    const controller = new AbortController();
    setTimeout(() => controller.abort(gone), 50);
    const stuck = sql`select pg_sleep(${5})`.execute(untilAborted(controller.signal, behind.db));
    await expect(stuck).rejects.toBe(gone);
    expect((await sql`select 3 as three`.execute(behind.db)).rows).toEqual([{ three: 3 }]);
    expect(connections).toBe(3);
    proxy.close();
  });

  it('names no password', async () => {
    await using secretive = await openDatabase(
      { url: 'postgres://someone:hush@db.example:6543/countersign' },
      { log: silentLog },
    );
    expect(secretive.describe).toBe('PostgreSQL someone@db.example:6543/countersign');
  });
});
