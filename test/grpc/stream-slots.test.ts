import { expect, it } from 'vitest';
import { createStreamSlots } from '../../src/grpc/stream-slots.js';

const LIMITS = { inAll: 5, perAddress: 3, perConnection: 2 };

/** Whether each of these peers, one after the other, gets a slot. */
function takeAll(peers: readonly string[]): readonly boolean[] {
  const slots = createStreamSlots(LIMITS);
  return peers.map((peer) => slots.take(peer) !== undefined);
}

it('gives a connection so many', () => {
  const peers = ['192.0.2.1:1', '192.0.2.1:1', '192.0.2.1:1', '192.0.2.1:2'];
  expect(takeAll(peers)).toEqual([true, true, false, true]);
});

it('gives an address so many, whatever its connections, and counts IPv6 by /64', () => {
  const peers = [
    '2001:db8::1:1',
    '2001:db8::2:1',
    '2001:db8::3:1',
    '2001:db8::4:1',
    '2001:db8:1::1:1',
  ];
  expect(takeAll(peers)).toEqual([true, true, true, false, true]);
  const folded = ['192.0.2.1:1', '::ffff:192.0.2.1:2', '192.0.2.1:3', '192.0.2.1:4'];
  expect(takeAll(folded)).toEqual([true, true, true, false]);
});

it('gives so many in all', () => {
  const peers = [1, 2, 3, 4, 5, 6].map((host) => `192.0.2.${host}:1`);
  expect(takeAll(peers)).toEqual([true, true, true, true, true, false]);
});

it('gives again what was given back, once', () => {
  const slots = createStreamSlots({ inAll: 2, perAddress: 2, perConnection: 2 });
  const giveBack = slots.take('192.0.2.1:1');
  slots.take('192.0.2.2:1');
  giveBack?.();
  giveBack?.();
  expect(slots.take('192.0.2.3:1')).toBeDefined();
  expect(slots.take('192.0.2.4:1')).toBeUndefined();
});
