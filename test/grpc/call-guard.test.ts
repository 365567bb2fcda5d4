import { type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2';
import { Server, ServerCredentials, type sendUnaryData, status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SignInRequest } from '../../generated/countersign/v1/auth_service.js';
import { BadRequest, ErrorInfo } from '../../generated/google/rpc/error_details.js';
import { Status } from '../../generated/google/rpc/status.js';
import { systemRandom } from '../../src/core/ids.js';
import { guardCalls } from '../../src/grpc/call-guard.js';
import { authRpc, type RpcCall } from '../../src/grpc/index.js';
import { MAX_REQUEST_BYTES } from '../../src/grpc/limits.js';
import { bomb, frame, lyingFrame } from '../support/raw-frames.js';
import { collectLog, newSeen, openToyEdge } from './toy-edge.js';

const SIGN_IN = 'countersign.v1.AuthService/SignIn';
const CHECK = 'grpc.health.v1.Health/Check';
const WATCH = 'grpc.health.v1.Health/Watch';

interface Ended {
  readonly code: number;
  readonly message: string;
  readonly told: Status;
  readonly reason: string | undefined;
  readonly fields: readonly string[];
  readonly headers: IncomingHttpHeaders;
}

/** Begins a call over a connection of its own; `ended` is how the server ended it. */
function begin(address: string, method: string, headers: Readonly<Record<string, string>> = {}) {
  const session = connect(`http://${address}`);
  session.on('error', () => undefined);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': `/${method}`,
    'content-type': 'application/grpc+proto',
    te: 'trailers',
    ...headers,
  });
  return { stream, ended: endOf(stream) };
}

function endOf(stream: ClientHttp2Stream): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let headers: IncomingHttpHeaders = {};
    const collect = (more: IncomingHttpHeaders): void => {
      headers = { ...headers, ...more };
    };
    stream.on('response', collect);
    stream.on('trailers', collect);
    stream.on('error', reject);
    stream.on('end', () => resolve(read(headers)));
    stream.resume();
  });
}

function read(headers: IncomingHttpHeaders): Ended {
  const raw = headers['grpc-status-details-bin'];
  const told = Status.decode(Buffer.from(typeof raw === 'string' ? raw : '', 'base64'));
  const find = (name: string) => told.details.find(({ typeUrl }) => typeUrl.endsWith(name))?.value;
  const [info, bad] = [find('.ErrorInfo'), find('.BadRequest')];
  return {
    code: Number(headers['grpc-status']),
    message: decodeURIComponent(String(headers['grpc-message'])),
    told,
    reason: info && ErrorInfo.decode(info).reason,
    fields: bad ? BadRequest.decode(bad).fieldViolations.map(({ field }) => field) : [],
    headers,
  };
}

describe('a request that never ends (rule 20)', () => {
  const beginnings: readonly [string, string, readonly Buffer[]][] = [
    ['has not begun', SIGN_IN, []],
    ['stops within a message', SIGN_IN, [lyingFrame(Buffer.alloc(10), 100)]],
    ['is whole, but is not ended', SIGN_IN, [frame(Buffer.alloc(0))]],
    ['is for a check of health', CHECK, []],
    ['is for a watch of health', WATCH, [frame(Buffer.alloc(0))]],
  ];

  it.each(beginnings)('meets its deadline when it %s', async (_, method, chunks) => {
    const { address, seen } = await openToyEdge({}, { callTimeoutMs: 50 });
    const { stream, ended } = begin(address, method, { 'countersign-request-id': 'mine' });
    for (const chunk of chunks) stream.write(chunk);
    const { code, told, headers } = await ended;
    expect(code).toBe(status.DEADLINE_EXCEEDED);
    expect(told).toMatchObject({ code, message: 'the deadline has passed', details: [] });
    expect(headers['countersign-request-id']).toBe('mine');
    expect(seen.audit).toEqual([]);
  });

  it('meets it also when it drips', async () => {
    const { address } = await openToyEdge({}, { callTimeoutMs: 100 });
    const { stream, ended } = begin(address, SIGN_IN);
    stream.write(lyingFrame(Buffer.alloc(1), 60_000));
    const drip = setInterval(() => stream.write(Buffer.alloc(1)), 10);
    onTestFinished(() => clearInterval(drip));
    expect((await ended).code).toBe(status.DEADLINE_EXCEEDED);
  });

  it("meets the client's, where that is earlier", async () => {
    const { address } = await openToyEdge();
    const { code, told } = await begin(address, SIGN_IN, { 'grpc-timeout': '50m' }).ended;
    expect(code).toBe(status.DEADLINE_EXCEEDED);
    expect(told.message).toBe('the deadline has passed');
  });

  it('takes its time off the time of its handler', async () => {
    const deadlines: number[] = [];
    const signIn = authRpc('signIn', {
      parse: () => undefined,
      run: async (_: undefined, { deadline }: RpcCall) => void deadlines.push(deadline.getTime()),
      toResponse: () => ({ tokens: undefined, accountId: '' }),
    });
    const { address, seen } = await openToyEdge({ signIn }, { callTimeoutMs: 5_000 });
    const { stream, ended } = begin(address, SIGN_IN);
    stream.write(frame(Buffer.alloc(0)));
    // The server has begun the call once it has acknowledged what came after it.
    await new Promise<void>((resolve) => stream.session?.ping(() => resolve()));
    const begunBy = Date.now();
    await vi.waitUntil(() => Date.now() > begunBy + 50);
    stream.end();
    expect((await ended).code).toBe(status.OK);
    expect(seen.audit).toMatchObject([{ outcome: 'OK' }]);
    expect(deadlines[0]).toBeLessThan(begunBy + 5_040);
  });

  it('leaves a watch alone once it is watched', async () => {
    const { address } = await openToyEdge({}, { callTimeoutMs: 50 });
    const { stream, ended } = begin(address, WATCH);
    stream.end(frame(Buffer.alloc(0)));
    const late = new Promise((resolve) => setTimeout(resolve, 150, 'still watched'));
    expect(await Promise.race([ended, late])).toBe('still watched');
  });
});

describe('what grpc-js refuses by itself', () => {
  const gzip = { 'grpc-encoding': 'gzip' };
  type Case = readonly [string, readonly Buffer[], Readonly<Record<string, string>>, string];
  const cases: readonly Case[] = [
    ['no message', [], {}, 'request'],
    ['a message cut short', [lyingFrame(Buffer.alloc(10), 100)], {}, 'request'],
    ['two messages', [frame(Buffer.alloc(1)), frame(Buffer.alloc(0))], {}, 'request'],
    ['more than 64 KiB', [frame(Buffer.alloc(MAX_REQUEST_BYTES + 1))], {}, 'request'],
    ['a bomb', [bomb(MAX_REQUEST_BYTES + 1)], gzip, 'request'],
    ['broken gzip', [frame(Buffer.from('secret'), { compressed: true })], gzip, 'request'],
    ['no duration', [frame(Buffer.alloc(0))], { 'grpc-timeout': 'secret' }, 'grpc-timeout'],
  ];

  it.each(cases)('is FIELD_INVALID with its details: %s', async (_, chunks, headers, field) => {
    const { address, seen } = await openToyEdge();
    const { stream, ended } = begin(address, SIGN_IN, headers);
    for (const chunk of chunks) stream.write(chunk);
    stream.end();
    const answer = await ended;
    expect(answer).toMatchObject({
      code: status.INVALID_ARGUMENT,
      reason: 'FIELD_INVALID',
      fields: [field],
      told: { code: status.INVALID_ARGUMENT, message: answer.message },
    });
    expect(answer.headers['countersign-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(JSON.stringify([answer, seen.logged])).not.toContain('"secret');
    expect(answer.message).not.toContain('secret');
    expect(seen.logged).toContainEqual({
      level: 'info',
      fields: expect.objectContaining({ method: SIGN_IN, outcome: 'FIELD_INVALID' }),
      message: 'a call was refused',
    });
  });

  it('stays UNIMPLEMENTED for an unknown encoding, which it does not quote', async () => {
    const { address } = await openToyEdge();
    const { stream, ended } = begin(address, SIGN_IN, { 'grpc-encoding': 'secret' });
    stream.end(frame(Buffer.from('x'), { compressed: true }));
    const { code, message, told } = await ended;
    expect(code).toBe(status.UNIMPLEMENTED);
    expect(told).toEqual({ code, message, details: [] });
    expect(message).not.toContain('secret');
  });

  it('has details where a standard service refuses', async () => {
    const { address } = await openToyEdge();
    const { stream, ended } = begin(address, CHECK);
    stream.end(frame(Buffer.from([0x0a, 1, 0x78])));
    const { code, message, told } = await ended;
    expect(code).toBe(status.NOT_FOUND);
    expect(told).toEqual({ code, message, details: [] });
  });
});

describe('what goes wrong behind the adapter', () => {
  const broken: readonly [string, Partial<{ serialize: () => Buffer; handle: () => void }>][] = [
    [
      'an answer that cannot be written',
      {
        serialize: () => {
          throw new Error('hunter2');
        },
      },
    ],
    ['an answer that is too long', { serialize: () => Buffer.alloc(2_000) }],
    [
      'a handler that throws',
      {
        handle: () => {
          throw new Error('hunter2');
        },
      },
    ],
  ];

  it.each(broken)(
    'is INTERNAL with a reference, and logged: %s',
    async (_, { serialize, handle }) => {
      const seen = newSeen();
      const guard = guardCalls({
        callTimeoutMs: 5_000,
        random: systemRandom,
        log: collectLog(seen),
      });
      const server = new Server({ interceptors: [guard], 'grpc.max_send_message_length': 1_000 });
      const responseSerialize = serialize ?? (() => Buffer.alloc(0));
      server.register(
        '/broken/Call',
        (__: unknown, respond: sendUnaryData<unknown>) =>
          handle === undefined ? respond(null, {}) : handle(),
        responseSerialize,
        (bytes: Buffer) => SignInRequest.decode(bytes),
        'unary',
      );
      onTestFinished(() => server.forceShutdown());
      const port = await new Promise<number>((resolve) =>
        server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (___, bound) =>
          resolve(bound),
        ),
      );
      const { stream, ended } = begin(`127.0.0.1:${port}`, 'broken/Call');
      stream.end(frame(Buffer.alloc(0)));
      const { code, message, reason, told } = await ended;
      expect([code, message, reason]).toEqual([
        status.INTERNAL,
        'an unexpected error; its reference names it in the logs',
        'INTERNAL',
      ]);
      expect(JSON.stringify(told)).not.toContain('hunter2');
      expect(seen.logged).toMatchObject([
        { level: 'error', fields: { method: 'broken/Call', reference: expect.any(String) } },
      ]);
    },
  );
});

it('lets grpc-js write nothing to standard error, least of all what a stranger sent (O5)', async () => {
  const error = vi.spyOn(console, 'error').mockReturnValue(undefined);
  onTestFinished(() => error.mockRestore());
  const { address, seen } = await openToyEdge();
  // Node passes bytes beyond ASCII in a header, which grpc-js then cannot keep.
  const { stream, ended } = begin(address, SIGN_IN, { 'accept-language': 'strängers-words' });
  stream.end(frame(Buffer.alloc(0)));
  await ended;
  expect(error).not.toHaveBeenCalled();
  const noted = seen.logged.filter(({ level }) => level === 'debug');
  expect(noted).not.toEqual([]);
  expect(JSON.stringify(seen.logged)).not.toContain('ngers-words');
});
