import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  HealthClient,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../generated/grpc/health/v1/health.js';
import { createHealth, openGrpcServer } from '../../src/grpc/index.js';
import { attacker } from '../attacks/attacker.js';
import * as h2 from '../attacks/frames.js';
import { frame } from '../support/raw-frames.js';
import { collectLog, newSeen } from './toy-edge.js';

const SERVICE = 'countersign.v1.AuthService';

async function openHealth() {
  const health = createHealth([SERVICE]);
  const log = collectLog(newSeen());
  const server = await openGrpcServer({
    listenAddress: '127.0.0.1:0',
    services: [],
    health,
    drainMs: 200,
    callTimeoutMs: 5_000,
    log,
  });
  const client = new HealthClient(server.address, credentials.createInsecure());
  onTestFinished(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
  });
  const check = (service: string) =>
    new Promise<ServingStatus | ServiceError>((resolve) => {
      client.check({ service }, (error, answer) => resolve(error ?? answer.status));
    });
  return { health, client, check, address: server.address };
}

/** The statuses of a watch, as they come. */
function watch(client: HealthClient, service: string) {
  const stream = client.watch({ service });
  stream.on('error', () => undefined);
  onTestFinished(() => stream.cancel());
  const answers = stream[Symbol.asyncIterator]();
  return async (): Promise<ServingStatus> => (await answers.next()).value.status;
}

/** The same server over a connection of its own. */
function another(client: HealthClient): HealthClient {
  const target = client.getChannel().getTarget();
  const made = new HealthClient(target, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  onTestFinished(() => made.close());
  return made;
}

/** A watch that has had its first answer. */
async function opened(client: HealthClient) {
  const stream = client.watch({ service: '' });
  stream.on('error', () => undefined);
  await new Promise((resolve) => stream.once('data', resolve));
  return stream;
}

/** What a further watch is told: a status of serving, or the code of its refusal, negated. */
function attempt(client: HealthClient): Promise<number> {
  return new Promise((resolve) => {
    const stream = client.watch({ service: '' });
    stream.on('data', ({ status: served }) => {
      resolve(served);
      stream.cancel();
    });
    stream.on('error', (error: ServiceError) => resolve(-error.code));
  });
}

describe('health (O6)', () => {
  it('serves as a whole and by service', async () => {
    const { check } = await openHealth();
    expect([await check(''), await check(SERVICE)]).toEqual([
      ServingStatus.SERVING,
      ServingStatus.SERVING,
    ]);
  });

  it('does not know other services', async () => {
    const { check } = await openHealth();
    expect(await check('countersign.v1.Other')).toMatchObject({ code: status.NOT_FOUND });
  });

  it('is NOT_SERVING while the database is away, and serves again', async () => {
    const { health, check } = await openHealth();
    health.setServing(false);
    expect([await check(''), await check(SERVICE)]).toEqual([2, 2]);
    health.setServing(true);
    expect(await check('')).toBe(ServingStatus.SERVING);
  });

  it('tells those who watch, once per change', async () => {
    const { health, client } = await openHealth();
    const [whole, service, other] = ['', SERVICE, 'x'].map((name) => watch(client, name));
    expect([await whole?.(), await service?.(), await other?.()]).toEqual([
      1,
      1,
      ServingStatus.SERVICE_UNKNOWN,
    ]);
    health.setServing(true);
    health.setServing(false);
    expect([await whole?.(), await service?.()]).toEqual([2, 2]);
    health.setServing(true);
    expect([await whole?.(), await service?.()]).toEqual([1, 1]);
  });

  it('is NOT_SERVING for good once drained, and takes no more watches', async () => {
    const { health, client, check } = await openHealth();
    health.drain();
    health.setServing(true);
    expect(health.serving).toBe(false);
    expect(await check('')).toBe(ServingStatus.NOT_SERVING);
    const code = await new Promise((resolve) => {
      const refused = client.watch({ service: '' });
      refused.on('error', (error: ServiceError) => resolve(error.code));
      refused.on('data', () => undefined);
    });
    expect(code).toBe(status.UNAVAILABLE);
  });

  it('takes a bounded number of watches of one connection, and others still', async () => {
    const { client } = await openHealth();
    await Promise.all(Array.from({ length: 8 }, () => opened(client)));
    expect(await attempt(client)).toBe(-status.RESOURCE_EXHAUSTED);
    expect(await attempt(another(client))).toBe(ServingStatus.SERVING);
  });

  it('takes a bounded number of watches in all, and forgets those that have left', async () => {
    const { client } = await openHealth();
    const clients = Array.from({ length: 32 }, () => another(client));
    const open = await Promise.all(
      clients.flatMap((each) => Array.from({ length: 8 }, () => opened(each))),
    );
    expect(await attempt(client)).toBe(-status.RESOURCE_EXHAUSTED);
    const gone = open.map((stream) => new Promise((resolve) => stream.once('end', resolve)));
    for (const stream of open) stream.cancel();
    await Promise.all(gone);
    await expect.poll(() => attempt(client)).toBe(ServingStatus.SERVING);
  });

  it('ends a watch that reads none of its statuses, instead of keeping them', async () => {
    const { health, address } = await openHealth();
    const greeting = Buffer.concat([h2.PREFACE, h2.settings([h2.INITIAL_WINDOW_SIZE, 0])]);
    let ended = false;
    const on = await attacker(address, {
      greeting,
      onFrame: (type, _, flags) => {
        if (type === h2.HEADERS && (flags & h2.END_STREAM) !== 0) ended = true;
      },
    });
    onTestFinished(() => on.leave());
    await on.send(h2.beginCall(1, 'grpc.health.v1.Health/Watch'));
    await on.send(h2.body(1, frame(Buffer.alloc(0)), { end: true }));
    await expect.poll(() => on.frames.get(h2.HEADERS)).toBe(1);
    const CHANGES = 100;
    for (let change = 0; change < CHANGES; change += 1) health.setServing(change % 2 === 1);
    await on.send(h2.windowUpdate(1, 0xffff));
    await expect.poll(() => ended).toBe(true);
    expect(on.frames.get(h2.DATA)).toBeLessThan(CHANGES / 4);
  });

  it('lists every service', async () => {
    const { client } = await openHealth();
    const answer = await new Promise((resolve) => client.list({}, (_, listed) => resolve(listed)));
    expect(answer).toEqual({ statuses: { '': { status: 1 }, [SERVICE]: { status: 1 } } });
  });
});
