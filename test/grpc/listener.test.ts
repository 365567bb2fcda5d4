import { lookup } from 'node:dns/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { authRpc } from '../../src/grpc/index.js';
import { onSession } from '../../src/grpc/library-internals.js';
import { eventually } from '../resilience/eventually.js';
import { LOCAL_NAMES, makeAuthority, type Pair } from '../support/certificates.js';
import { ended, openEdge, openRaw, rawCall } from './edge-server.js';
import { defer } from './toy-edge.js';

let ca: Buffer;
let pair: Pair;

beforeAll(async () => {
  const authority = await makeAuthority();
  ca = authority.certificate;
  pair = await authority.issue({ names: LOCAL_NAMES, use: 'serverAuth' });
});

/** A connection that says what it is told and nothing by itself. */
function open(address: string, said = '', localAddress = '127.0.0.1'): Promise<Socket> {
  const port = Number(address.split(':').at(-1));
  const socket = connectTcp({ host: '127.0.0.1', port, localAddress });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined).resume();
  return new Promise((resolve) => {
    socket.once('connect', () => {
      socket.write(said);
      resolve(socket);
    });
  });
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => (socket.closed ? resolve() : socket.once('close', () => resolve())));

/** A SignIn that is under way until it is let go. */
function held() {
  const begun = defer<void>();
  const go = defer<void>();
  const signIn = authRpc('signIn', {
    parse: () => undefined,
    run: () => {
      begun.resolve();
      return go.promise;
    },
    toResponse: () => ({ tokens: undefined, accountId: 'done' }),
  });
  return { signIn, begun: begun.promise, go: () => go.resolve() };
}

describe('a connection that does not arrive', () => {
  it.each([
    ['says nothing', ''],
    ['says half a preface', 'PRI * HTTP/2.0\r\n'],
    ['says the preface and no settings', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('is ended when it %s', async (_, said) => {
    for (const tls of [undefined, pair]) {
      const edge = await openEdge({ tls, connections: { arrivalMs: 150 } });
      await closed(await open(edge.address, tls === undefined ? said : said.slice(0, 3)));
      await eventually('it was forgotten', async () => edge.connections === 0);
    }
  });

  it('is ended when it stops after the TLS handshake', async () => {
    const edge = await openEdge({ tls: pair, connections: { arrivalMs: 300 } });
    const socket = connectTls({
      host: '127.0.0.1',
      port: Number(edge.address.split(':')[1]),
      ca,
      servername: 'localhost',
      ALPNProtocols: ['h2'],
    });
    socket.on('error', () => undefined).resume();
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    await new Promise((resolve) => socket.once('close', resolve));
  });

  it('and one that does is left alone', async () => {
    const edge = await openEdge({ connections: { arrivalMs: 100 } });
    const session = await openRaw(edge.address);
    expect(await ended(session, 400)).toBe(false);
    expect(await rawCall(session)).toBe('0');
  });
});

describe('too many connections', () => {
  it('of one address cost it the one of least use, and never a call', async () => {
    const call = held();
    const edge = await openEdge(
      { connections: { maxPerAddress: 3 } },
      { rpcs: { signIn: call.signIn } },
    );
    const silent = await open(edge.address);
    const busy = await openRaw(edge.address);
    const answer = rawCall(busy);
    await call.begun;
    const idle = await openRaw(edge.address);
    const third = await openRaw(edge.address);
    await closed(silent);
    const fourth = await openRaw(edge.address);
    expect(await ended(idle)).toBe(true);
    expect([busy.destroyed, third.destroyed, fourth.destroyed]).toEqual([false, false, false]);
    expect(edge.connections).toBe(3);
    call.go();
    expect(await answer).toBe('0');
  });

  it('are refused where each has a call under way', async () => {
    const call = held();
    const edge = await openEdge({ connections: { max: 1 } }, { rpcs: { signIn: call.signIn } });
    const busy = await openRaw(edge.address);
    const answer = rawCall(busy);
    await call.begun;
    await expect(openRaw(edge.address)).rejects.toThrow('closed');
    call.go();
    expect(await answer).toBe('0');
  });

  it('in all cost the address that has most of them', async () => {
    const edge = await openEdge({ connections: { max: 4 } });
    const modest = await open(edge.address, '', '127.0.0.2');
    const greedy = [1, 2, 3].map(() => open(edge.address, '', '127.0.0.3'));
    const [first] = await Promise.all(greedy);
    await eventually('all were counted', async () => edge.connections === 4);
    const newcomer = await open(edge.address, '', '127.0.0.4');
    await Promise.race((await Promise.all(greedy)).map(closed));
    expect(first?.closed || edge.connections === 4).toBe(true);
    expect([modest.closed, newcomer.closed]).toEqual([false, false]);
  });
});

describe('a goodbye', () => {
  it('loses no call that was written before it was heard', async () => {
    const edge = await openEdge();
    const sessions = await Promise.all(Array.from({ length: 10 }, () => openRaw(edge.address)));
    // One call at each answer, up to the moment in which the client hears of it. What it has not written
    // by then it refuses by itself, and at an answer Node writes before it reads again.
    const writing = sessions.map(async (session) => {
      const answers: string[] = [];
      while (!session.closed && answers.length < 2_000) answers.push(await rawCall(session));
      return answers;
    });
    // On a session without any call, too, which Node would not read from any more.
    const idle = await openRaw(edge.address);
    const drained = edge[Symbol.asyncDispose]();
    const late = rawCall(idle);
    const answers = [...(await Promise.all(writing)).flat(), await late];
    expect(answers.filter((answer) => answer !== '0')).toEqual([]);
    expect(answers.length).toBeGreaterThan(sessions.length);
    await drained;
  });

  it('over TLS finishes the calls that were heard, and says of others that they were not', async () => {
    const call = held();
    const edge = await openEdge({ tls: pair }, { rpcs: { signIn: call.signIn } });
    const session = await openRaw(edge.target, { ca });
    const answer = rawCall(session);
    await call.begun;
    const drained = edge[Symbol.asyncDispose]();
    const late = rawCall(session);
    call.go();
    expect(await answer).toBe('0');
    expect(await late).toMatch(/REFUSED_STREAM|GOAWAY/);
    await drained;
  });

  it('is said at the end of idleness and of age, between calls', async () => {
    for (const connections of [{ idleMs: 60 }, { ageMs: 60 }]) {
      const edge = await openEdge({ connections });
      const session = await openRaw(edge.address);
      const heard: number[] = [];
      session.on('goaway', (code, last) => heard.push(code, last ?? 0));
      expect(await ended(session)).toBe(true);
      expect(heard.slice(0, 2)).toEqual([0, 2 ** 31 - 1]);
    }
  });

  it('waits for calls at the end of age, for as long as the grace', async () => {
    const call = held();
    const edge = await openEdge(
      { connections: { ageMs: 50, ageGraceMs: 2_000 } },
      { rpcs: { signIn: call.signIn } },
    );
    const session = await openRaw(edge.address);
    const answer = rawCall(session);
    await new Promise((resolve) => session.once('goaway', resolve));
    call.go();
    expect(await answer).toBe('0');
  });

  it('is not waited for where a client does not listen', async () => {
    const edge = await openEdge({ connections: { goodbyeMs: 50, lingerMs: 50 }, drainMs: 10_000 });
    // The preface, empty settings, and then silence: no ping of ours is ever answered.
    const deaf = await open(
      edge.address,
      `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\0\0\0\x04\0\0\0\0\0'}`,
    );
    await eventually('it was there', async () => edge.connections === 1);
    const startedAt = performance.now();
    await edge[Symbol.asyncDispose]();
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await closed(deaf);
    expect(edge.seen.logged.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('comes after a notice in which everything is still served', async () => {
    const edge = await openEdge({ drainNoticeMs: 300 });
    const drained = edge[Symbol.asyncDispose]();
    const late = await openRaw(edge.address);
    expect(await rawCall(late)).toBe('0');
    expect(await rawCall(late, 'grpc.health.v1.Health/Check')).toBe('0');
    await drained;
    await expect(openRaw(edge.address)).rejects.toThrow('closed');
  });
});

describe('the listener', () => {
  it('tells calls their peer over IPv6', async () => {
    const edge = await openEdge({ listenAddress: '[::1]:0', tls: pair });
    const session = await openRaw(edge.address, { ca });
    expect(await rawCall(session)).toBe('0');
    expect(edge.seen.audit).toMatchObject([{ source: '::1' }]);
  });

  it('answers on every address of its host', async () => {
    const edge = await openEdge({ listenAddress: 'localhost:0' });
    const port = edge.address.split(':').at(-1);
    for (const { address, family } of await lookup('localhost', { all: true })) {
      const host = family === 6 ? `[${address}]` : address;
      expect(await rawCall(await openRaw(`${host}:${port}`))).toBe('0');
    }
  });

  it('refuses to start where grpc-js keeps its sessions elsewhere', () => {
    const server = new Server();
    expect(() => onSession(server, () => undefined)).toThrow('http2Servers');
    server.createConnectionInjector(ServerCredentials.createInsecure());
    onSession(server, () => undefined);
  });
});
