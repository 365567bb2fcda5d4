import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openSideServer, type SideServerOptions } from '../../src/http/index.js';

async function open(overrides: Partial<SideServerOptions> = {}) {
  const server = await openSideServer({
    address: '127.0.0.1:0',
    jwks: () => '{"keys":[]}',
    ready: () => true,
    metrics: async () => 'countersign_toy 1\n',
    ...overrides,
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return {
    server,
    get: (path: string, init?: RequestInit) => fetch(`http://${server.address}${path}`, init),
  };
}

/** Sends text as it is and returns all that comes back. */
async function raw(address: string, text: string): Promise<string> {
  const [host = '', port = ''] = address.split(':');
  const socket = connect(Number(port), host);
  socket.on('error', () => undefined);
  let answer = '';
  socket.on('data', (data) => {
    answer += data.toString();
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

describe('the HTTP port', () => {
  it('publishes the key set, to be kept for five minutes (A6)', async () => {
    const { get } = await open();
    const answer = await get('/.well-known/jwks.json?x=1');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/jwk-set+json');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300');
    expect(await answer.json()).toEqual({ keys: [] });
  });

  it('says so while there are no keys, and tells no more', async () => {
    const { get } = await open({
      jwks: () => {
        throw new Error('secret');
      },
    });
    const answer = await get('/.well-known/jwks.json');
    expect([answer.status, await answer.text()]).toEqual([503, 'no keys yet\n']);
  });

  it('tells probes that the process is up, and whether it can serve (O6)', async () => {
    let ready = true;
    const { get } = await open({ ready: () => ready });
    expect((await get('/readyz')).status).toBe(200);
    ready = false;
    expect((await get('/readyz')).status).toBe(503);
    expect((await get('/healthz')).status).toBe(200);
    expect((await get('/healthz')).headers.get('cache-control')).toBe('no-store');
  });

  it('shows the metrics, made once for all who ask within a moment', async () => {
    let made = 0;
    const { get } = await open({
      metrics: async () => {
        made += 1;
        return `countersign_toy ${made}\n`;
      },
    });
    const answers = await Promise.all(Array.from({ length: 20 }, () => get('/metrics')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(answers[0]?.headers.get('content-type')).toBe(
      'text/plain; version=0.0.4; charset=utf-8',
    );
    expect(answers[0]?.headers.get('cache-control')).toBe('no-store');
    expect(await answers[0]?.text()).toBe('countersign_toy 1\n');
    expect(made).toBe(1);
    const again = async () => (await get('/metrics')).text();
    await expect.poll(again, { timeout: 5_000 }).toBe('countersign_toy 2\n');
  });

  it('says so where the metrics cannot be had, tells no more, and tries again', async () => {
    let fails = true;
    const { get } = await open({
      metrics: () => (fails ? Promise.reject(new Error('secret')) : Promise.resolve('x 1\n')),
    });
    const answer = await get('/metrics');
    expect([answer.status, await answer.text()]).toEqual([503, 'no metrics now\n']);
    fails = false;
    const again = async () => (await get('/metrics')).status;
    await expect.poll(again, { timeout: 5_000 }).toBe(200);
  });

  it.each(['/', '/metrics/', '/.well-known/jwks.json/', '//healthz', '/healthz/../readyz/x'])(
    'has nothing at %s',
    async (path) => {
      const { server } = await open();
      const answer = await raw(
        server.address,
        `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 404 /);
    },
  );

  it('answers HEAD without a body', async () => {
    const { get } = await open();
    const answer = await get('/.well-known/jwks.json', { method: 'HEAD' });
    expect([answer.status, answer.headers.get('content-length'), await answer.text()]).toEqual([
      200,
      '11',
      '',
    ]);
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('refuses %s', async (method) => {
    const { get } = await open();
    const answer = await get('/healthz', { method });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it('refuses headers beyond 8 KiB, and what is no HTTP', async () => {
    const { server, get } = await open();
    const long = `GET /healthz HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(9_000)}\r\n\r\n`;
    expect(await raw(server.address, long)).toMatch(/^HTTP\/1\.1 431 /);
    expect(await raw(server.address, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect((await get('/healthz')).status).toBe(200);
  });

  it('serves probes while one address, or many, hold slow connections', async () => {
    const { server, get } = await open();
    const port = Number(server.address.split(':')[1]);
    const slow = async (localAddress: string): Promise<Socket> => {
      const socket = connect({ port, host: '127.0.0.1', localAddress });
      onTestFinished(() => void socket.destroy());
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ');
      return socket;
    };
    const first = await slow('127.0.0.2');
    const cutOff = once(first, 'close');
    for (let n = 0; n < 400; n += 1) await slow('127.0.0.2');
    await cutOff;
    expect((await get('/healthz')).status).toBe(200);
    for (let n = 0; n < 400; n += 1) await slow(`127.0.1.${1 + (n % 20)}`);
    expect((await get('/healthz')).status).toBe(200);
  });

  it('closes at once, also with a connection kept open', async () => {
    const { server, get } = await open();
    await (await get('/healthz')).text();
    await server[Symbol.asyncDispose]();
    await expect(get('/healthz')).rejects.toThrow();
  });

  it('rejects with the address when the port is taken', async () => {
    const { server } = await open();
    await expect(open({ address: server.address })).rejects.toThrow(
      `cannot listen on ${server.address}`,
    );
  });

  it('listens on IPv6', async () => {
    const { server, get } = await open({ address: '[::1]:0' });
    expect(server.address).toMatch(/^\[::1\]:[1-9]\d*$/);
    expect((await get('/healthz')).status).toBe(200);
  });
});
