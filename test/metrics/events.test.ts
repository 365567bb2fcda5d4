import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/metrics/index.js';
import { createCheapHasher } from '../support/cheap-hasher.js';
import { eachDatabase } from '../support/databases.js';
import { createMailbox } from '../support/mailbox.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { frame, sendRaw } from '../support/raw-frames.js';
import { startTestApp, type TestAppOptions } from '../support/test-app.js';
import { figures, readPage, until } from './scrape.js';

const SIGN_IN = 'countersign.v1.AuthService/SignIn';

eachDatabase('the metrics', (database) => {
  // One after the other on the same database, and so with the same keys.
  let dataDir = '';
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'countersign-metrics-'));
  });
  afterAll(() => rm(dataDir, { recursive: true, force: true }));
  const start = (options: TestAppOptions = {}) =>
    startTestApp({ database: database(), dataDir, ...options });

  it('count calls by method, code and reason, and time them', async () => {
    await using app = await start();
    const person = await signUp(app);
    await app.auth.signIn({ identifier: person.username, password: PASSWORD });
    const wrong = app.auth.signIn({ identifier: person.username, password: 'something else' });
    await expect(wrong).rejects.toMatchObject({ reason: 'CREDENTIALS_INVALID' });
    const page = await until(app, (now) => now.value('countersign_rpc_in_flight') === 0);
    const calls = (code: string) =>
      page.value('countersign_rpc_calls_total', { method: SIGN_IN, code });
    expect([calls('OK'), calls('UNAUTHENTICATED')]).toEqual([1, 1]);
    const reason = { method: SIGN_IN, reason: 'CREDENTIALS_INVALID' };
    expect(page.value('countersign_rpc_errors_total', reason)).toBe(1);
    expect(page.value('countersign_rpc_duration_seconds_count', { method: SIGN_IN })).toBe(2);
    expect(
      page.value('countersign_rpc_duration_seconds_bucket', { method: SIGN_IN, le: '15' }),
    ).toBe(2);
    expect(page.value('countersign_grpc_connections')).toBe(1);
    expect(page.value('countersign_serving')).toBe(1);
    // An RPC that nobody has called yet is there, so that a first error is a rise.
    const signOut = { method: 'countersign.v1.AuthService/SignOut', code: 'OK' };
    expect(page.value('countersign_rpc_calls_total', signOut)).toBe(0);
  });

  it('count what is refused before an RPC sees it', async () => {
    await using app = await start();
    const chunks = [frame(Buffer.alloc(65_537))];
    await sendRaw({ address: app.address, method: SIGN_IN, chunks });
    const page = await figures(app);
    expect(page.value('countersign_rpc_refused_total', { code: 'INVALID_ARGUMENT' })).toBe(1);
    expect(page.value('countersign_rpc_in_flight')).toBe(0);
  });

  it('show a call under way, and count it when its caller has left', async () => {
    const hasher = { ...createCheapHasher(), verify: () => new Promise<never>(() => {}) };
    await using app = await start({ hasher });
    const leave = new AbortController();
    const call = app.auth.signIn(
      { identifier: 'nobody', password: PASSWORD },
      { signal: leave.signal },
    );
    await until(app, (page) => page.value('countersign_rpc_in_flight') === 1);
    leave.abort();
    await expect(call).rejects.toThrow();
    const page = await until(app, (now) => now.value('countersign_rpc_in_flight') === 0);
    const reason = { method: SIGN_IN, reason: 'CANCELLED' };
    expect(page.value('countersign_rpc_errors_total', reason)).toBe(1);
  });

  it('show the hash lane, the waits in it, and what it sheds', async () => {
    await using app = await start({
      hasher: 'real',
      env: { HASH_CONCURRENCY: '1', HASH_QUEUE_LIMIT: '2' },
    });
    const ask = () => app.auth.signIn({ identifier: 'nobody', password: PASSWORD });
    const calls = Promise.allSettled(Array.from({ length: 8 }, ask));
    await until(
      app,
      (page) =>
        page.value('countersign_hash_running') === 1 && page.value('countersign_hash_queued') === 2,
    );
    await calls;
    const page = await until(app, (now) => now.value('countersign_hash_running') === 0);
    const hashes = page.value('countersign_hash_duration_seconds_count') ?? 0;
    expect(hashes).toBeGreaterThanOrEqual(3);
    expect(page.value('countersign_hash_wait_seconds_count')).toBe(hashes);
    expect(page.value('countersign_hash_duration_seconds_sum')).toBeGreaterThan(0.005);
    expect((page.value('countersign_hash_shed_total') ?? 0) + hashes).toBe(8);
  });

  it('count the decisions of each limiter', async () => {
    await using app = await start({ env: { LIMIT_SIGN_UPS_IN_ALL: '1/1h' } });
    await signUp(app);
    await expect(signUp(app)).rejects.toMatchObject({ reason: 'RATE_LIMITED' });
    const page = await figures(app);
    const decisions = (outcome: string) =>
      page.value('countersign_limiter_decisions_total', { limiter: 'signUpsInAll', outcome });
    expect([decisions('admitted'), decisions('refused')]).toEqual([1, 1]);
    expect(page.value('countersign_limiter_insurance_active')).toBe(0);
  });

  it('ring while Redis is away (T5)', async () => {
    // Nobody listens there.
    await using app = await start({ env: { REDIS_URL: 'redis://127.0.0.1:1' } });
    await signUp(app);
    const page = await figures(app);
    expect(page.value('countersign_limiter_insurance_active')).toBe(1);
  });

  it('show messages that wait, go out, fail and expire', async () => {
    const mailbox = createMailbox();
    await using app = await start({ mailbox });
    const sent = { channel: 'email' };
    await signUp(app, { email: unique.email() });
    await until(app, (page) => page.value('countersign_messages_sent_total', sent) === 1);

    mailbox.failNext(1_000);
    await signUp(app, { email: unique.email() });
    await until(app, (page) => (page.value('countersign_messages_failed_total', sent) ?? 0) >= 1);
    app.clock.advance({ seconds: 20 });
    await until(app, (page) => (page.value('countersign_outbox_oldest_unsent_seconds') ?? 0) >= 20);
    app.clock.advance({ days: 1 });
    await until(app, (page) => (page.value('countersign_messages_expired_total') ?? 0) === 1);
    app.clock.advance({ seconds: 20 });
    await until(app, (page) => page.value('countersign_outbox_oldest_unsent_seconds') === 0);
  });

  it('show messages that wait in memory', async () => {
    let pass = (): void => {};
    const gate = new Promise<void>((resolve) => {
      pass = resolve;
    });
    const slow = { send: () => gate };
    const mailbox = { ...createMailbox(), transports: { email: slow, sms: slow } };
    await using app = await start({ mailbox, env: { LIMIT_SIGN_UPS_PER_SOURCE: '100/1h' } });
    // Sixteen of a channel are sent at once; the next ones wait.
    for (let i = 0; i < 18; i += 1) await signUp(app, { email: unique.email() });
    const page = await figures(app);
    expect(page.value('countersign_outbox_queued_messages')).toBe(2);
    expect(page.value('countersign_outbox_queued_age_seconds')).toBeGreaterThan(0);
    pass();
    await until(app, (now) => now.value('countersign_outbox_queued_messages') === 0);
  });

  it('show the pool, the audit behind the calls, and the sessions that have ended', async () => {
    await using app = await start();
    const before = await figures(app);
    expect(before.value('countersign_ended_sessions_entries')).toBe(0);
    const person = await signUp(app);
    expect((await figures(app)).value('countersign_audit_waiting_events')).toBe(1);
    await app.auth.signOut({ refreshToken: person.refreshToken });
    const page = await until(app, (now) => now.value('countersign_audit_waiting_events') === 0);
    expect(page.value('countersign_ended_sessions_entries')).toBe(1);
    expect(page.value('countersign_ended_sessions_stale_seconds')).toBeLessThan(5);
    const pool = ['open', 'idle', 'max'].map((what) =>
      page.value(`countersign_db_pool_${what}_connections`),
    );
    const [open = 0, idle = 0, max = 0] = pool;
    expect(open).toBeGreaterThanOrEqual(1);
    expect(idle).toBeLessThanOrEqual(open);
    expect(max).toBeGreaterThanOrEqual(open);
    expect(page.value('countersign_db_pool_waiting')).toBe(0);
  });

  it('are a page of the HTTP port', async () => {
    await using app = await start();
    await signUp(app);
    const answer = await fetch(`http://${app.app.httpAddress}/metrics`);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const page = readPage(await answer.text());
    const { version } = JSON.parse(
      await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
    );
    const { node } = process.versions;
    expect(page.value('countersign_build_info', { version, node })).toBe(1);
    const method = 'countersign.v1.AuthService/SignUp';
    expect(page.value('countersign_rpc_calls_total', { method, code: 'OK' })).toBe(1);
  });
});

describe('figures of the process', () => {
  it('tell of an event loop that was held up, and of nothing before the last reading', async () => {
    await using metrics = createMetrics({ version: '0' });
    const read = async () => readPage(await metrics.text());
    const lag = 'nodejs_eventloop_lag_max_seconds';
    await read();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const end = performance.now() + 200;
    while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const page = await read();
    expect(page.value(lag)).toBeGreaterThan(0.1);
    expect(page.value('nodejs_eventloop_utilization_ratio')).toBeGreaterThan(0.2);
    expect((await read()).value(lag)).toBeLessThan(0.1);
    expect(page.value('process_cpu_user_seconds_total')).toBeGreaterThan(0);
    expect(page.value('process_resident_memory_bytes')).toBeGreaterThan(1e7);
  });

  it('say nothing of what is not there', async () => {
    await using metrics = createMetrics({ version: '0' });
    const read = async () => readPage(await metrics.text());
    const expiry = 'countersign_tls_certificate_expiry_timestamp_seconds';
    expect((await read()).value(expiry)).toBeUndefined();
    metrics.show({
      certificateEnds: () => new Date(1_800_000_000_000),
      audit: () => ({ waiting: 3, dropped: 7 }),
    });
    const page = await read();
    expect(page.value(expiry)).toBe(1_800_000_000);
    expect(page.value('countersign_audit_dropped_events_total')).toBe(7);
    metrics.show({ certificateEnds: () => undefined });
    expect((await read()).value(expiry)).toBeUndefined();
  });
});
