import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, status } from '@grpc/grpc-js';
import * as fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AuthServiceClient } from '../../generated/countersign/v1/auth_service.js';
import { HealthClient } from '../../generated/grpc/health/v1/health.js';
import {
  type AuthRpcs,
  authRpc,
  createHealth,
  type GrpcServer,
  openGrpcServer,
  registerAuthService,
} from '../../src/grpc/index.js';
import { MAX_REQUEST_BYTES } from '../../src/grpc/limits.js';
import { bomb, frame, lyingFrame, sendRaw } from '../support/raw-frames.js';
import {
  call,
  collectLog,
  defer,
  detailsOf,
  inertRpcs,
  newSeen,
  openToyEdge,
  type Seen,
  toyDeps,
} from './toy-edge.js';

const METHOD = 'countersign.v1.AuthService/SignIn';
const signInRequest = {
  identifier: 'ada',
  password: 'secret',
  scope: undefined,
  region: undefined,
};

/** An edge whose SignIn counts how often it ran, and a health check that it still serves. */
async function openCounted() {
  const ran = { count: 0 };
  const signIn = authRpc('signIn', {
    parse: () => undefined,
    run: async () => {
      ran.count += 1;
    },
    toResponse: () => ({ tokens: undefined, accountId: '' }),
  });
  const edge = await openToyEdge({ signIn });
  const stillServes = async (): Promise<void> => {
    const before = ran.count;
    expect((await call(edge.client, edge.client.signIn, signInRequest)).error).toBeNull();
    expect(ran.count).toBe(before + 1);
  };
  return { ...edge, ran, stillServes };
}

/** Messages within messages, in a field that the scope does not have, for as long as they fit. */
function nestedUnknown(): { bytes: Buffer; depth: number } {
  let bytes: Buffer = Buffer.alloc(0);
  let depth = 0;
  // Two length bytes reach to 16 KiB.
  for (; bytes.length < 16_000; depth += 1) {
    const { length } = bytes;
    const prefix = length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
    bytes = Buffer.concat([Buffer.from([0x1a, ...prefix]), bytes]);
  }
  return { bytes, depth };
}

describe('bytes that no honest client sends (rule 20)', () => {
  const gzip = { 'grpc-encoding': 'gzip' };
  const rejected: readonly [string, readonly Buffer[], number, Readonly<Record<string, string>>][] =
    [
      ['no message at all', [], status.INVALID_ARGUMENT, {}],
      ['half a frame head', [Buffer.from([0, 0])], status.INVALID_ARGUMENT, {}],
      ['a frame cut short', [lyingFrame(Buffer.alloc(10), 100)], status.INVALID_ARGUMENT, {}],
      [
        'a frame that claims 4 GiB',
        [lyingFrame(Buffer.alloc(10), 0xffffffff)],
        status.INVALID_ARGUMENT,
        {},
      ],
      [
        'one byte over 64 KiB',
        [frame(Buffer.alloc(MAX_REQUEST_BYTES + 1))],
        status.INVALID_ARGUMENT,
        {},
      ],
      [
        'two messages',
        [frame(Buffer.alloc(0)), frame(Buffer.alloc(0))],
        status.INVALID_ARGUMENT,
        {},
      ],
      [
        'bytes that are no message',
        [frame(Buffer.from('ffffffffffff', 'hex'))],
        status.INVALID_ARGUMENT,
        {},
      ],
      [
        'text that is not UTF-8',
        [frame(Buffer.from([0x0a, 2, 0xc3, 0x28]))],
        status.INVALID_ARGUMENT,
        {},
      ],
      ['a field cut short', [frame(Buffer.from([0x0a, 0x7f, 0x61]))], status.INVALID_ARGUMENT, {}],
      [
        'groups nested ten thousand deep',
        [frame(Buffer.alloc(10_000, 0x5b))],
        status.INVALID_ARGUMENT,
        {},
      ],
      ['a bomb of 64 MiB', [bomb(64 * 1024 * 1024)], status.INVALID_ARGUMENT, gzip],
      ['a bomb of one byte too many', [bomb(MAX_REQUEST_BYTES + 1)], status.INVALID_ARGUMENT, gzip],
      [
        'broken gzip',
        [frame(Buffer.from('not gzip'), { compressed: true })],
        status.INVALID_ARGUMENT,
        gzip,
      ],
      [
        'an unknown encoding',
        [frame(Buffer.from('x'), { compressed: true })],
        status.UNIMPLEMENTED,
        { 'grpc-encoding': 'br' },
      ],
    ];

  it.each(rejected)('are refused and run nothing: %s', async (_, chunks, code, headers) => {
    const { address, ran, seen, stillServes } = await openCounted();
    const answer = await sendRaw({ address, method: METHOD, chunks, headers });
    expect(answer.status).toBe(code);
    expect(ran.count).toBe(0);
    expect(seen.admitted).toEqual([]);
    await stillServes();
  });

  it('are INVALID_ARGUMENT with FIELD_INVALID when they are no message, quoting none of them', async () => {
    const { client, seen } = await openCounted();
    const outcome = await new Promise<Parameters<typeof detailsOf>[0]>((resolve) => {
      const { path } = AuthServiceClient.service.signIn;
      const garbage = (): Buffer => Buffer.from([0x0a, 0x7f, 0x61]);
      client
        .makeUnaryRequest(
          path,
          garbage,
          (bytes: Buffer) => bytes,
          {},
          () => undefined,
        )
        .on('status', (told) => resolve({ status: told }));
    });
    expect(detailsOf(outcome)).toMatchObject({
      info: { reason: 'FIELD_INVALID', metadata: { field: 'request' } },
      badRequest: { fieldViolations: [{ field: 'request' }] },
    });
    expect(seen.audit).toMatchObject([{ outcome: 'FIELD_INVALID' }]);
  });

  it('cost nothing when they nest deep in a field that nobody knows', async () => {
    const { address, stillServes } = await openCounted();
    const { bytes, depth } = nestedUnknown();
    expect(depth).toBeGreaterThan(5_000);
    const answer = await sendRaw({ address, method: METHOD, chunks: [frame(bytes)] });
    expect(answer.status).toBe(status.OK);
    await stillServes();
  });

  it('are taken at exactly 64 KiB, and compressed where they fit', async () => {
    const { address } = await openCounted();
    // An unknown field (15, bytes) that fills the message to the last byte.
    const filler = Buffer.alloc(MAX_REQUEST_BYTES - 4, 'x');
    const full = Buffer.concat([Buffer.from([0x7a, 0xfc, 0xff, 0x03]), filler]);
    const head = { 'grpc-encoding': 'gzip' };
    expect((await sendRaw({ address, method: METHOD, chunks: [frame(full)] })).status).toBe(
      status.OK,
    );
    expect(
      (await sendRaw({ address, method: METHOD, chunks: [bomb(0)], headers: head })).status,
    ).toBe(status.OK);
  });

  it('never crash it, whatever they are', async () => {
    const { address, stillServes } = await openCounted();
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    await fc.assert(
      fc.asyncProperty(fc.array(bytes, { maxLength: 3 }), fc.boolean(), async (chunks, framed) => {
        const sent = framed ? chunks.map((chunk) => frame(chunk)) : chunks;
        await sendRaw({ address, method: METHOD, chunks: sent });
      }),
      { numRuns: 60 },
    );
    await stillServes();
  });
});

it('answers UNIMPLEMENTED for an RPC that does not exist', async () => {
  const { address } = await openToyEdge();
  const chunks = [frame(Buffer.alloc(0))];
  for (const method of ['countersign.v1.AuthService/Nothing', 'countersign.v2.Other/SignIn']) {
    expect((await sendRaw({ address, method, chunks })).status).toBe(status.UNIMPLEMENTED);
  }
});

const seen: Pick<Seen, 'logged'> = { logged: [] };
const log = collectLog(seen);

async function openBare(listenAddress: string, more: object = {}): Promise<GrpcServer> {
  const health = createHealth([]);
  const server = await openGrpcServer({
    listenAddress,
    services: [],
    health,
    drainMs: 500,
    callTimeoutMs: 5_000,
    log,
    ...more,
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

describe('binding', () => {
  it.each(['127.0.0.1:0', '[::1]:0', 'localhost:0'])(
    'says which port it got on %s',
    async (address) => {
      const server = await openBare(address);
      expect(server.address).toMatch(/^(127\.0\.0\.1|\[::1\]|localhost):[1-9]\d*$/);
      const client = new HealthClient(server.address, credentials.createInsecure());
      onTestFinished(() => client.close());
      const answer = await new Promise((resolve, reject) => {
        client.check({ service: '' }, (error, response) =>
          error === null ? resolve(response) : reject(error),
        );
      });
      expect(answer).toEqual({ status: 1 });
    },
  );

  it('rejects with the address when the port is taken', async () => {
    const { address } = await openBare('127.0.0.1:0');
    await expect(openBare(address)).rejects.toThrow(`cannot listen on ${address}`);
  });
});

describe('draining (O6)', () => {
  it('lets a call that is under way finish', async () => {
    const begun = defer<void>();
    const finish = defer<void>();
    const signIn = authRpc('signIn', {
      parse: () => undefined,
      run: () => {
        begun.resolve();
        return finish.promise;
      },
      toResponse: () => ({ tokens: undefined, accountId: 'done' }),
    });
    const { client, server } = await openForDrain(signIn, 5_000);
    const outcome = call(client, client.signIn, signInRequest);
    await begun.promise;
    const closed = server[Symbol.asyncDispose]();
    finish.resolve();
    expect((await outcome).response?.accountId).toBe('done');
    await closed;
  });

  it.each(['127.0.0.1:0', '[::1]:0', 'localhost:0'])(
    'cuts off what is left at the end of its time on %s',
    async (host) => {
      const begun = defer<void>();
      const signIn = authRpc('signIn', {
        parse: () => undefined,
        run: () => {
          begun.resolve();
          return new Promise<void>(() => undefined);
        },
        toResponse: () => ({ tokens: undefined, accountId: '' }),
      });
      const { client, server, edge } = await openForDrain(signIn, 50, host);
      const outcome = call(client, client.signIn, signInRequest);
      await begun.promise;
      const startedAt = performance.now();
      await server[Symbol.asyncDispose]();
      expect(performance.now() - startedAt).toBeLessThan(2_000);
      expect((await outcome).error).not.toBeNull();
      expect(edge.audit.map((event) => event.outcome)).toEqual(['CANCELLED']);
    },
  );

  it('ends watches of health after saying NOT_SERVING, so that they do not hold it up', async () => {
    const server = await openBare('127.0.0.1:0', { drainMs: 60_000 });
    const client = new HealthClient(server.address, credentials.createInsecure());
    onTestFinished(() => client.close());
    const statuses: number[] = [];
    const watch = client.watch({ service: '' });
    const ended = defer<void>();
    const first = defer<void>();
    watch.on('data', (answer) => {
      statuses.push(answer.status);
      first.resolve();
    });
    watch.on('error', () => undefined);
    watch.on('end', () => ended.resolve());
    await first.promise;
    await Promise.all([server[Symbol.asyncDispose](), ended.promise]);
    expect(statuses).toEqual([1, 2]);
  });

  it('happens once, however often it is asked for', async () => {
    const server = await openBare('127.0.0.1:0');
    await Promise.all([server[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]);
    await server[Symbol.asyncDispose]();
  });
});

async function openForDrain(signIn: AuthRpcs['signIn'], drainMs: number, host = '127.0.0.1:0') {
  const edge = newSeen();
  const services = [registerAuthService({ ...inertRpcs(), signIn }, toyDeps(edge, log))];
  const server = await openBare(host, { services, drainMs });
  const client = new AuthServiceClient(server.address, credentials.createInsecure());
  onTestFinished(() => client.close());
  return { client, server, edge };
}

describe('TLS (O6)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-tls-'));
  const path = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { stdio: 'ignore' });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    path('key.pem'),
    '-out',
    path('cert.pem'),
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=DNS:localhost,IP:127.0.0.1',
  );
  const [certificate, key] = [readFileSync(path('cert.pem')), readFileSync(path('key.pem'))];
  rmSync(folder, { recursive: true });

  const check = (address: string, secrets: ReturnType<typeof credentials.createSsl>) => {
    const client = new HealthClient(address, secrets);
    onTestFinished(() => client.close());
    return new Promise((resolve) => {
      const deadline = new Date(Date.now() + 1_500);
      client.waitForReady(deadline, (error) => resolve(error === undefined ? 'ready' : 'refused'));
    });
  };

  it('serves with the certificate it was given, and not in plaintext', async () => {
    const { address } = await openBare('127.0.0.1:0', { tls: { certificate, key } });
    expect(await check(address, credentials.createSsl(certificate))).toBe('ready');
    expect(await check(address, credentials.createInsecure())).toBe('refused');
  });
});
