import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createCountersignClient } from '../../src/client/index.js';
import { describePostgres } from '../support/databases.js';
import { PASSWORD, unique } from '../support/people.js';
import { GENEROUS } from './crash-rounds.js';
import { rollingDrain } from './drain-rolling.js';
import { drainRound } from './drain-rounds.js';
import { expectNothingRefused } from './drain-verdict.js';
import { startProgram, startServer, temporaryFolder } from './process.js';

const DRAINS = 2;
/** From the start of the process, some of which are before it reads its configuration. */
const EARLY_MS = [50, 350, 650];

describePostgres('a server that is told to stop under load', (database) => {
  // The keys in it belong to the database.
  let opened: Awaited<ReturnType<typeof temporaryFolder>> | undefined;
  beforeAll(async () => {
    opened = await temporaryFolder();
  });
  afterAll(() => opened?.[Symbol.asyncDispose]());
  const folder = (): string => opened?.path ?? '';

  it('fails no call of clients that have another server, and says so first (O6)', {
    timeout: 120_000,
  }, async () => {
    const told = await rollingDrain({ url: database().url, folder: folder() }, DRAINS);
    expect([...told.people.failures, ...told.raw.failures]).toEqual([]);
    expectNothingRefused(told);
    expect(told.exits).toEqual(Array.from({ length: DRAINS }, () => 0));
    expect(new Set(told.health)).toEqual(new Set(['serving, not serving']));
    expect(told.refusedFirst).toBe(0);
  });

  it('answers every call of a full hash lane, flushes, and ends with 0 (O6)', {
    timeout: 180_000,
  }, async () => {
    const { db, url } = database();
    const { underWay, late, answeredAfterHealth, ...told } = await drainRound({
      db,
      url,
      folder: folder(),
    });
    expect(new Set(underWay)).toEqual(new Set(['OK']));
    for (const outcome of late) expect(['OK', 'UNAVAILABLE']).toContain(outcome);
    expect(answeredAfterHealth).toBeGreaterThan(0);
    expect(told).toEqual({
      exit: 0,
      healthSeen: ['serving', 'not serving'],
      disagreeing: [],
      unsent: [],
      unrecorded: 0,
      queued: 0,
      stopped: true,
    });
  });

  it('ends at once when it is told twice', { timeout: 60_000 }, async () => {
    const env = { ...GENEROUS, DATABASE_URL: database().url, DATA_DIR: folder() };
    await using server = await startServer(env);
    await using client = createCountersignClient({ address: server.address, deadlineMs: 30_000 });
    const signUp = () => client.auth.signUp({ username: unique.username(), password: PASSWORD });
    await signUp();
    const calls = Promise.allSettled(Array.from({ length: 32 }, signUp));
    server.kill('SIGTERM');
    await server.printed(/^draining$/m);
    server.kill('SIGTERM');
    expect(await server.exited).toBe(1);
    expect(server.stdout).not.toContain('stopped');
    await calls;
  });

  it('ends while it starts, and can be started again', { timeout: 120_000 }, async () => {
    const env = {
      DATABASE_URL: database().url,
      DATA_DIR: folder(),
      LISTEN_ADDRESS: '127.0.0.1:0',
    };
    for (const early of EARLY_MS) {
      const program = await startProgram(['serve'], { ...env, HTTP_ADDRESS: '127.0.0.1:0' });
      await delay(early);
      program.kill('SIGTERM');
      expect([0, 'SIGTERM']).toContain(await program.exited);
      expect(program.stderr).toBe('');
    }
    await using server = await startServer(env);
    await using client = createCountersignClient({ address: server.address, deadlineMs: 30_000 });
    await client.auth.signUp({ username: unique.username(), password: PASSWORD });
  });
});
