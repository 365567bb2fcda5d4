import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/core/errors.js';
import { authRpc } from '../../src/grpc/index.js';
import { ended, openEdge, openRaw, rawCall } from './edge-server.js';
import { call, detailsOf, openToyEdge } from './toy-edge.js';

const request = { identifier: 'ada', password: 'secret', scope: undefined, region: undefined };
const METHOD = 'countersign.v1.AuthService/SignIn';
const full = new DomainError('OVERLOADED', 'too many at 100 %', { retryAfterSeconds: 7 });

/** SignIn behind a door that the test opens and shuts. */
function guarded() {
  const seen = { leftMs: [] as number[], parsed: 0 };
  const door = { shut: true };
  const signIn = authRpc('signIn', {
    refuses: (leftMs) => {
      seen.leftMs.push(leftMs);
      return door.shut ? full : undefined;
    },
    parse: ({ identifier }) => {
      seen.parsed += 1;
      return identifier;
    },
    run: async () => undefined,
    toResponse: () => ({ tokens: undefined, accountId: 'account-1' }),
  });
  return { signIn, door, seen };
}

describe('a call that is refused on its headers', () => {
  it('is told all that any refused call is told, and costs nothing that a call costs', async () => {
    const { signIn, seen } = guarded();
    const edge = await openToyEdge({ signIn });
    const metadata = { 'countersign-request-id': 'mine-1' };
    for (let i = 0; i < 2; i += 1) {
      const outcome = await call(edge.client, edge.client.signIn, request, { metadata });
      expect(outcome.error?.code).toBe(status.RESOURCE_EXHAUSTED);
      expect(outcome.error?.details).toBe('too many at 100 %');
      const { info, retryInfo } = detailsOf(outcome);
      expect(info).toMatchObject({ reason: 'OVERLOADED', domain: 'countersign.v1' });
      expect(retryInfo?.retryDelay?.seconds).toBe(7n);
      const trailers = outcome.error?.metadata;
      expect(trailers?.get('retry-after')).toEqual(['7']);
      expect(trailers?.get('countersign-request-id')).toEqual(['mine-1']);
    }
    expect(seen.parsed).toBe(0);
    expect(edge.seen.audit).toEqual([]);
    expect([edge.seen.admitted, edge.seen.admittedLocally]).toEqual([[], []]);
    expect(edge.seen.logged).toEqual([
      ...Array.from({ length: 2 }, () => ({
        level: 'info',
        fields: { method: METHOD, outcome: 'OVERLOADED', requestId: 'mine-1' },
        message: 'a call was refused',
      })),
    ]);
  });

  it('comes in when the door opens, as if there were none', async () => {
    const { signIn, door, seen } = guarded();
    const edge = await openToyEdge({ signIn });
    await call(edge.client, edge.client.signIn, request);
    door.shut = false;
    const { error } = await call(edge.client, edge.client.signIn, request);
    expect(error).toBeNull();
    expect(seen.parsed).toBe(1);
    expect(edge.seen.audit).toMatchObject([{ outcome: 'OK' }]);
  });

  it('is judged by the time it has: its own, at most ours', async () => {
    const { signIn, seen } = guarded();
    const { address } = await openToyEdge({ signIn });
    const session = await openRaw(address);
    for (const timeout of ['250m', '2S', '1H', '900u', '0m', 'soon']) {
      await rawCall(session, METHOD, { 'grpc-timeout': timeout });
    }
    // What leaves no time, or is no duration, is the library's to refuse.
    expect(seen.leftMs).toEqual([250, 2_000, 5_000, 0.9]);
  });

  it('leaves every other RPC, and what is no gRPC, alone', async () => {
    const { signIn, seen } = guarded();
    const { address, client } = await openToyEdge({ signIn });
    expect((await call(client, client.getJsonWebKeySet, {})).error).toBeNull();
    const session = await openRaw(address);
    await rawCall(session, METHOD, { 'content-type': 'text/plain' });
    expect(seen.leftMs).toEqual([]);
  });

  it('ends its stream, whatever the client does with the rest of its request', async () => {
    const { signIn } = guarded();
    const server = await openEdge({}, { rpcs: { signIn } });
    const session = await openRaw(server.address);
    const open = Array.from({ length: 200 }, () => {
      const stream = session.request({
        ':method': 'POST',
        ':path': `/${METHOD}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => undefined);
      stream.resume();
      // Begun, and never finished.
      stream.write(Buffer.alloc(1_000));
      return new Promise((resolve) => stream.once('close', resolve));
    });
    await Promise.all(open);
    // Neither a place among the streams nor the connection's window is used up by what was not read.
    expect(await rawCall(session)).toBe('8');
    session.close();
    expect(await ended(session)).toBe(true);
  });
});
