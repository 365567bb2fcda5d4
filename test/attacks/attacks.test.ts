import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describePostgres } from '../support/databases.js';
import { frame, sendRaw } from '../support/raw-frames.js';
import { type Arena, openArena } from './arena.js';
import { BODIES } from './bodies.js';
import { type Attack, FLOODS, HEADER_BOMBS, SLOW_PEERS } from './floods.js';
import * as h2 from './frames.js';
import { ANSWERED, INTROSPECT, ODD_BODIES, REFUSED, UNKNOWN } from './odd-requests.js';

/**
 * Of the honest client's slowest call. Nothing in HTTP/2 keeps one connection from using the time of
 * the process for as long as it sends, so others are slower meanwhile: on two cores that every test
 * shares, by some hundred milliseconds.
 */
const SLOWEST_MS = 5_000;
/** Above the memory at rest, garbage included, which V8 collects when it likes to. */
const PEAK_MIB = 256;
/** The same without garbage, all attacks so far together. */
const HELD_MIB = 80;

describePostgres('a server under attack (rule 20)', (database) => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await openArena(database().url);
  });
  afterAll(() => arena[Symbol.asyncDispose]());

  describe.each<readonly [string, readonly Attack[]]>([
    ['floods', FLOODS],
    ['headers', HEADER_BOMBS],
    ['peers that are slow', SLOW_PEERS],
    ['bodies', BODIES],
  ])('serves others through %s', (_, attacks) => {
    it.each(attacks)('%s (%s)', async (__, ending, attack) => {
      const { alive, ended, served, failed, slowestMs, peakMiB, heldMiB } = await arena.withstand(
        attack,
        ending,
      );
      expect({ alive, failed }).toEqual({ alive: true, failed: [] });
      if (ending === 'ended') expect(ended).toBe(true);
      expect(served).toBeGreaterThan(0);
      expect(slowestMs).toBeLessThan(SLOWEST_MS);
      expect(peakMiB).toBeLessThan(PEAK_MIB);
      expect(heldMiB).toBeLessThan(HELD_MIB);
    });
  });

  describe('what is no call of the contract', () => {
    it.each(UNKNOWN)('is unknown, with details: /%s', async (method) => {
      const { status, message, headers } = await sendRaw({
        address: arena.address,
        method,
        chunks: [frame(Buffer.alloc(0))],
      });
      expect([status, message]).toEqual([12, 'no method of this name']);
      expect(headers['grpc-status-details-bin']).toBeTypeOf('string');
      expect(headers['countersign-request-id']).toBeTypeOf('string');
    });

    it.each(REFUSED)('is refused: %s', async (_, headers, expected) => {
      const answer = await sendRaw({
        address: arena.address,
        method: INTROSPECT,
        chunks: [frame(Buffer.alloc(0))],
        headers,
      });
      expect({ http: answer.headers[':status'], status: answer.status }).toEqual(expected);
    });

    it.each(ANSWERED)('is served all the same: %s', async (_, headers) => {
      const { status } = await sendRaw({
        address: arena.address,
        method: INTROSPECT,
        chunks: [frame(Buffer.alloc(0))],
        headers,
      });
      expect(status).toBe(0);
    });

    it('is refused: headers that end the request', async () => {
      const { address } = arena;
      const { status, headers } = await sendRaw({ address, method: INTROSPECT, chunks: [] });
      expect(status).toBe(3);
      expect(headers['grpc-status-details-bin']).toBeTypeOf('string');
    });

    it.each(ODD_BODIES)('is read or refused: %s', async (_, bytes, expected) => {
      const { status } = await sendRaw({
        address: arena.address,
        method: INTROSPECT,
        chunks: [frame(bytes)],
      });
      expect(status).toBe(expected);
    });
  });

  it('ends the stream with the call, where the client would not', async () => {
    await arena.withstand(async ({ open }) => {
      const ended = new Set<number>();
      const on = await open({
        onFrame: (type, payload) => type === h2.RST_STREAM && ended.add(payload.readUInt32BE()),
      });
      for (let stream = 1; stream < 20; stream += 2) {
        await on.send(h2.beginCall(stream, 'no.such/Method'));
      }
      for (let turn = 0; turn < 100 && (on.frames.get(h2.RST_STREAM) ?? 0) < 10; turn += 1) {
        await delay(10);
      }
      expect(on.frames.get(h2.HEADERS)).toBe(10);
      expect(on.frames.get(h2.RST_STREAM)).toBe(10);
      const NO_ERROR = 0;
      expect([...ended]).toEqual([NO_ERROR]);
    });
  });
});
