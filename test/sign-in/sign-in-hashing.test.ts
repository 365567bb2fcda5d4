import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { credentials } from '@grpc/grpc-js';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { HealthClient } from '../../generated/grpc/health/v1/health.js';
import {
  type AuthClient,
  type CallOptions,
  type CountersignError,
  createCountersignClient,
} from '../../src/client/index.js';
import { compiledProgram } from '../support/compiled-program.js';
import { testDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

const reasonOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'OK',
    (error: CountersignError) => error.reason,
  );

/** Milliseconds that something took. */
async function timed(fn: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await fn();
  return performance.now() - startedAt;
}

/** Calls in flight, what became of them, and how long the last of them took. */
function flood(auth: AuthClient, calls: number, options: CallOptions = {}) {
  const startedAt = performance.now();
  let open = calls;
  const failures: CountersignError[] = [];
  const ended = Array.from({ length: calls }, () =>
    auth.signIn({ identifier: unique.username(), password: PASSWORD }, options).then(
      () => undefined,
      (error: CountersignError) => {
        open -= 1;
        failures.push(error);
      },
    ),
  );
  return {
    isOpen: () => open > 0,
    failures,
    done: async () => {
      await Promise.all(ended);
      const reasons = failures.map(({ reason, codeName }) =>
        reason === 'UNKNOWN' ? codeName : reason,
      );
      return { reasons, tookMs: performance.now() - startedAt };
    },
  };
}

const count = (reasons: readonly string[], wanted: string) =>
  reasons.filter((reason) => reason === wanted).length;

describe('the hash lane (rule 15)', () => {
  const QUEUE = 5;
  let app: TestApp;
  let auth: AuthClient;
  let health: HealthClient;
  beforeAll(async () => {
    app = await startTestApp({
      hasher: 'real',
      // Slow enough that nothing else in a test takes as long as one hash.
      env: { HASH_CONCURRENCY: '1', HASH_QUEUE_LIMIT: String(QUEUE), ARGON2_ITERATIONS: '8' },
    });
    auth = app.auth;
    health = new HealthClient(app.address, credentials.createInsecure());
  });
  afterAll(async () => {
    health.close();
    await app[Symbol.asyncDispose]();
  });

  it('keeps health, refresh, introspection and code checks fast while its queue is full', async () => {
    const email = unique.email();
    const person = await signUp(app, { email });
    await app.mailbox.waitFor(({ to }) => to === email);
    const [challengeId = ''] = person.challengeIds;
    let { refreshToken } = person;
    const others: readonly (readonly [string, () => Promise<unknown>])[] = [
      [
        'health',
        () =>
          new Promise((resolve, reject) =>
            health.check({ service: '' }, (error, answer) =>
              error === null ? resolve(answer) : reject(error),
            ),
          ),
      ],
      ['introspection', () => auth.introspectToken({ accessToken: person.accessToken })],
      [
        'refresh',
        async () => {
          refreshToken = (await auth.refreshSession({ refreshToken })).tokens?.refreshToken ?? '';
        },
      ],
      [
        'a code check',
        () =>
          auth
            .confirmEmail({ challengeId, code: app.mailbox.codeFor(email) })
            .catch(() => undefined),
      ],
    ];
    for (const [, call] of others.slice(0, 3)) await call();
    const flooded = flood(auth, QUEUE + 1);
    const latencies: [string, number][] = [];
    for (const [name, call] of others) latencies.push([name, await timed(call)]);
    expect(flooded.isOpen()).toBe(true);
    const { reasons, tookMs } = await flooded.done();
    expect(count(reasons, 'CREDENTIALS_INVALID')).toBe(QUEUE + 1);
    // Had they waited for the queue, each would have taken as long as all of it.
    for (const [name, ms] of latencies) expect([name, ms < tookMs / 2]).toEqual([name, true]);
  });

  it('sheds what finds no place with OVERLOADED and a wait, before any that waits is done, and serves what waits', async () => {
    const flooded = flood(auth, QUEUE + 6);
    const { reasons } = await flooded.done();
    // Each call asks the database before it comes to the lane: a hash may end before the last one comes.
    const shed = count(reasons, 'OVERLOADED');
    expect(shed).toBeGreaterThanOrEqual(3);
    expect(count(reasons, 'CREDENTIALS_INVALID')).toBe(QUEUE + 6 - shed);
    expect(reasons.slice(0, 3)).toEqual(Array.from({ length: 3 }, () => 'OVERLOADED'));
    for (const error of flooded.failures.slice(0, 3)) {
      expect(error.codeName).toBe('RESOURCE_EXHAUSTED');
      expect(error.retryAfter).toBeGreaterThanOrEqual(1);
    }
  });

  it('lets callers who have left make room in the queue', async () => {
    const leaving = new AbortController();
    const left = flood(auth, QUEUE + 4, { signal: leaving.signal });
    // Once somebody is shed the queue is full.
    await vi.waitUntil(() => left.failures.some(({ reason }) => reason === 'OVERLOADED'), {
      timeout: 10_000,
    });
    leaving.abort();
    const { reasons: gone } = await left.done();
    // Some of those who waited may have been served before the rest left.
    expect(count(gone, 'CANCELLED')).toBeGreaterThanOrEqual(1);
    const { reasons } = await flood(auth, QUEUE).done();
    expect(count(reasons, 'CREDENTIALS_INVALID')).toBe(QUEUE);
  });
});

describe('Argon2id as configured (A4, rule 15)', () => {
  it('is rehashed at sign-in when a parameter or the pepper has moved on, and older peppers still verify', async () => {
    const [first, second] = [
      randomBytes(32).toString('base64'),
      randomBytes(32).toString('base64'),
    ];
    const database = await testDatabase();
    const dataDir = await mkdtemp(join(tmpdir(), 'countersign-test-'));
    const username = unique.username();
    const stored = async () => {
      const { rows } = await sql<{ password_hash: string; password_pepper: string | null }>`
        select a.password_hash, a.password_pepper from accounts a join identifiers i on i.account_id = a.account_id
        where i.value = ${username}`.execute(database.db);
      return rows[0] ?? { password_hash: '', password_pepper: '' };
    };
    const withSettings = async (
      env: Readonly<Record<string, string>>,
      act: (app: TestApp) => Promise<unknown>,
    ) => {
      const app = await startTestApp({ database, dataDir, env, hasher: 'real' });
      await act(app);
      await app[Symbol.asyncDispose]();
    };
    const signIn = ({ auth }: TestApp, password = PASSWORD) =>
      reasonOf(auth.signIn({ identifier: username, password }));

    await withSettings({ PASSWORD_PEPPERS: first }, (app) => signUp(app, { username }));
    const made = await stored();
    expect(made.password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(made.password_hash).not.toContain(PASSWORD);

    await withSettings({ PASSWORD_PEPPERS: `${second},${first}` }, async (app) => {
      expect(await signIn(app, 'wrong password')).toBe('CREDENTIALS_INVALID');
      expect(await stored()).toEqual(made);
      expect(await signIn(app)).toBe('OK');
    });
    const peppered = await stored();
    expect(peppered.password_pepper).not.toBe(made.password_pepper);

    await withSettings({ PASSWORD_PEPPERS: second, ARGON2_ITERATIONS: '3' }, async (app) => {
      expect(await signIn(app)).toBe('OK');
      expect((await stored()).password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=3,p=1\$/);
      expect(await signIn(app)).toBe('OK');
    });
    // The pepper is gone: nothing matches, and nothing says why.
    await withSettings({ PASSWORD_PEPPERS: first }, async (app) => {
      expect(await signIn(app)).toBe('CREDENTIALS_INVALID');
    });
    await database[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true, force: true });
  });
});

describe('the hashing threads, in a process of its own (rule 15)', () => {
  let child: ChildProcess | undefined;
  let dataDir = '';
  afterAll(async () => {
    if (child !== undefined && child.exitCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    await rm(dataDir, { recursive: true, force: true });
  });

  /** The service with the smallest thread pool there is: a hash on it would hold up everything else. */
  async function serve(): Promise<string> {
    dataDir = await mkdtemp(join(tmpdir(), 'countersign-test-'));
    const started = spawn(process.execPath, [await compiledProgram(), 'serve'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        PATH: process.env['PATH'],
        UV_THREADPOOL_SIZE: '1',
        LISTEN_ADDRESS: '127.0.0.1:0',
        HTTP_ADDRESS: '127.0.0.1:0',
        DATA_DIR: dataDir,
        ARGON2_ITERATIONS: '12',
        HASH_QUEUE_LIMIT: '100',
      },
    });
    child = started;
    for await (const line of createInterface({ input: started.stdout })) {
      const address = /^listening on (\S+)$/.exec(line)?.[1];
      if (address !== undefined) return address;
    }
    throw new Error('the service did not start');
  }

  it('signs refreshed tokens without queueing behind Argon2', { timeout: 60_000 }, async () => {
    const client = createCountersignClient({ address: await serve(), deadlineMs: 15_000 });
    const { auth } = client;
    let { refreshToken } = await signUp({ auth });
    const refresh = async () => {
      refreshToken = (await auth.refreshSession({ refreshToken })).tokens?.refreshToken ?? '';
    };
    await refresh();
    const rounds = 6;
    const flooded = flood(auth, rounds * availableParallelism());
    const latencies: number[] = [];
    for (let i = 0; i < 5; i += 1) latencies.push(await timed(refresh));
    expect(flooded.isOpen()).toBe(true);
    const { reasons, tookMs } = await flooded.done();
    expect(new Set(reasons)).toEqual(new Set(['CREDENTIALS_INVALID']));
    const [median = Number.POSITIVE_INFINITY] = latencies.sort((a, b) => a - b).slice(2);
    // Behind Argon2 in the pool each would wait for several hashes.
    expect(median).toBeLessThan(tookMs / rounds);
    client.close();
  });
});
