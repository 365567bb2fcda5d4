import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAccessLog } from '../../src/audit/index.js';
import { tracedThrottle } from '../../src/composition/traced-throttle.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { openCallSpan, traced, traceFields } from '../../src/core/tracing.js';
import { summaryOf } from '../../src/db/statement-span.js';
import { createLogger } from '../../src/logger.js';
import { createMemoryThrottle, resolveLimits } from '../../src/throttling/index.js';
import { codeMessage, dataKeys, insert, outboxOn } from '../delivery/fixtures.js';
import { rawSignIn } from '../security/raw-call.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import { frame, sendRaw } from '../support/raw-frames.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { until } from './scrape.js';

const SERVICE = 'countersign.v1.AuthService';
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

/** What an operator's SDK does to the API, with the spans kept in memory. */
const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });

beforeEach(() => exporter.reset());

describe('without an SDK', () => {
  it('does nothing', async () => {
    const span = openCallSpan('x', {}, () => `00-${TRACE}-${PARENT}-01`);
    const inside = await span.run(() => traced('y', unasked, async () => traceFields()));
    expect(inside).toEqual({});
  });
});

const unasked = () => {
  throw new Error('nobody records this');
};

eachDatabase('with an SDK', (database) => {
  let app: TestApp;
  const logged: string[] = [];
  beforeAll(async () => {
    provider.register();
    app = await startTestApp({
      database: database(),
      hasher: 'real',
      log: createLogger('info', { write: (line) => void logged.push(line) }),
    });
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
    await provider.shutdown();
    trace.disable();
  });

  const spansOf = (name: string): readonly ReadableSpan[] =>
    exporter.getFinishedSpans().filter((span) => span.name === name);
  const theSpan = (name: string): ReadableSpan => {
    const [span, ...more] = spansOf(name);
    if (span === undefined || more.length > 0) throw new Error(`${more.length} more of ${name}`);
    return span;
  };
  const childrenOf = (parent: ReadableSpan): readonly ReadableSpan[] =>
    exporter
      .getFinishedSpans()
      .filter((span) => span.parentSpanContext?.spanId === parent.spanContext().spanId);

  it('shows a sign-in as a call with its hash and its statements, under the caller’s span', async () => {
    const { username } = await signUp(app);
    exporter.reset();
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, baggage: 'a=b' };
    await rawSignIn(app.address, { identifier: username, password: PASSWORD }, headers);
    const call = theSpan(`${SERVICE}/SignIn`);
    expect(call.kind).toBe(SpanKind.SERVER);
    expect(call.spanContext().traceId).toBe(TRACE);
    expect(call.parentSpanContext?.spanId).toBe(PARENT);
    expect(call.attributes).toEqual({
      'rpc.system': 'grpc',
      'rpc.service': SERVICE,
      'rpc.method': 'SignIn',
      'rpc.grpc.status_code': 0,
      'countersign.outcome': 'OK',
    });
    const children = childrenOf(call);
    const statements = children.filter(({ name }) => name === 'database statement');
    expect(children.filter(({ name }) => name === 'password hash')).toHaveLength(1);
    expect(statements.length).toBeGreaterThan(0);
    expect(children).toHaveLength(statements.length + 1);
    const does = statements.map(({ attributes }) => attributes['db.query.summary']);
    expect(does.at(-1)).toContain('INSERT sessions');
    const hash = theSpan('password hash');
    expect(hash.events.map(({ name }) => name)).toEqual(['turn']);
    // The trace's id is how to get from a log line to the trace.
    const line = logged.map((text) => JSON.parse(text)).find(({ trace_id }) => trace_id === TRACE);
    expect(line).toMatchObject({ msg: 'call', span_id: call.spanContext().spanId });
  });

  it('names the reason of a refusal, and calls only our own faults errors', async () => {
    const wrong = app.auth.signIn({ identifier: 'nobody-here', password: PASSWORD });
    await expect(wrong).rejects.toThrow();
    const call = theSpan(`${SERVICE}/SignIn`);
    expect(call.attributes).toMatchObject({
      'rpc.grpc.status_code': 16,
      'countersign.outcome': 'CREDENTIALS_INVALID',
    });
    expect(call.status.code).toBe(SpanStatusCode.UNSET);
  });

  it.each([
    ['is no header of that kind', 'x'.repeat(30)],
    ['is far too long', `00-${TRACE}-${PARENT}-01-${'a'.repeat(4_000)}`],
    ['has an id of zeros', `00-${'0'.repeat(32)}-${PARENT}-01`],
  ])('begins its own trace where what a stranger sends %s', async (_, traceparent) => {
    const method = `${SERVICE}/GetJsonWebKeySet`;
    const chunks = [frame(Buffer.alloc(0))];
    const answer = await sendRaw({
      address: app.address,
      method,
      chunks,
      headers: { traceparent },
    });
    expect(answer.status).toBe(0);
    const call = theSpan(method);
    expect(call.parentSpanContext).toBeUndefined();
    expect(call.spanContext().traceId).not.toBe(TRACE);
  });

  it('sends messages in a trace of their own, linked to the call that asked for them', async () => {
    const email = unique.email();
    await signUp(app, { email });
    await app.mailbox.waitFor(({ to }) => to === email);
    await until(
      app,
      (page) => (page.value('countersign_messages_sent_total', { channel: 'email' }) ?? 0) >= 1,
    );
    const call = theSpan(`${SERVICE}/SignUp`);
    const send = theSpan('message send');
    expect(send.parentSpanContext).toBeUndefined();
    expect(send.links.map(({ context }) => context.spanId)).toEqual([call.spanContext().spanId]);
    expect(send.attributes).toMatchObject({
      'countersign.message.kind': 'verification_code',
      'countersign.message.channel': 'email',
      'countersign.message.attempts': 0,
    });
  });

  it('leaves the audit and the results of sends out of the call that happened to start them', async () => {
    const { db, mailbox } = app;
    const audit = createAccessLog({
      ...{ db, dataKeys, clock: systemClock, random: systemRandom, log: silentLog },
      limits: { flushMs: 60_000 },
    });
    const outbox = outboxOn(db, systemClock, mailbox.transports);
    const message = outbox.prepare(codeMessage({ to: unique.email() }));
    const call = openCallSpan('call', {}, () => undefined);
    await call.run(async () => {
      await insert(db, systemClock, message);
      outbox.dispatch([message]);
      await outbox.settled();
      const what = { method: 'x', caller: '', source: '203.0.113.9', outcome: 'OK' };
      audit.record({ ...what, requestId: 'r', durationMs: 1 });
      await audit.flush();
    });
    call.end({}, false);
    const parts = childrenOf(theSpan('call'));
    expect(parts.map(({ attributes }) => attributes['db.query.summary'])).toEqual([
      'INSERT outbox',
    ]);
    expect(childrenOf(theSpan('message send'))).toEqual([]);
    await Promise.all([audit[Symbol.asyncDispose](), outbox[Symbol.asyncDispose]()]);
  });

  it('shows what a call asks of Redis: which limiters, and none of the keys', async () => {
    const limits = resolveLimits({});
    const memory = createMemoryThrottle({ limits, clock: systemClock });
    const throttle = tracedThrottle(memory);
    const call = openCallSpan('call', {}, () => undefined);
    await call.run(async () => {
      await throttle.consume([]);
      await throttle.consume([{ limiter: 'callsPerSource', key: 'somebody' }]);
    });
    call.end({}, false);
    const [charge, ...more] = childrenOf(theSpan('call'));
    expect(more).toEqual([]);
    expect(charge?.name).toBe('limits charge');
    expect(charge?.attributes).toEqual({
      'db.system.name': 'redis',
      'countersign.limiters': ['callsPerSource'],
    });
  });

  it('records no code, password, token or address (rule 22)', async () => {
    const email = unique.email();
    const phoneNumber = unique.phone();
    const person = await signUp(app, { email, phoneNumber });
    const [challengeId = ''] = person.challengeIds;
    await app.mailbox.waitFor(({ to }) => to === email);
    const code = app.mailbox.codeFor(email);
    await app.auth.confirmEmail({ challengeId, code }, { accessToken: person.accessToken });
    await app.auth.refreshSession({ refreshToken: person.refreshToken });
    await expect(app.auth.signIn({ identifier: email, password: 'wrong wrong' })).rejects.toThrow();
    const told = JSON.stringify(
      exporter
        .getFinishedSpans()
        .map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
    );
    expect(told).toContain('ConfirmEmail');
    const { username, accessToken, refreshToken } = person;
    for (const secret of [
      ...[username, email, phoneNumber, code, PASSWORD, 'wrong wrong', challengeId],
      ...[accessToken, refreshToken],
    ]) {
      expect(told).not.toContain(secret);
    }
  });
});

describe('the summary of a statement', () => {
  it.each([
    ['select 1', 'SELECT'],
    ['begin', 'BEGIN'],
    ['select a from accounts a join sessions s using (b)', 'SELECT accounts, SELECT sessions'],
    [
      `with moment as materialized (select now()), x as (
        update guess_budgets set a = 1 from moment where true returning a)
       insert into sessions select * from x`,
      'UPDATE guess_budgets, INSERT sessions',
    ],
    [
      `with old as (select id from claims c limit 5 for update of c skip locked)
       delete from claims where id in (select id from old)`,
      'DELETE claims',
    ],
    ['insert into a (b) values ($1) on conflict (b) do update set c = 1', 'INSERT a'],
    ['select secret from "O\'Hara 4711"', 'SELECT'],
  ])('%s', (text, summary) => {
    expect(summaryOf(text)).toBe(summary);
  });
});
