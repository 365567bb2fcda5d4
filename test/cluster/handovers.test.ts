import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { closeUntaken } from '../../src/cluster/handovers.js';

/** A worker as far as handing over goes. */
function aChild(connected: boolean) {
  const sent: unknown[] = [];
  const send = (message: unknown): boolean => sent.push(message) > 0;
  const child = Object.assign(new EventEmitter(), { connected, ...(connected ? { send } : {}) });
  return { child: child as unknown as ChildProcess & { send: typeof handOver }, sent };
}

declare function handOver(message: object, handle?: { close(): void }): boolean;

it('closes what a worker had not taken when it died, and nothing else', () => {
  const { child, sent } = aChild(true);
  closeUntaken(child);
  const closed: string[] = [];
  const connection = (name: string) => ({ close: () => void closed.push(name) });
  child.send({ cmd: 'NODE_CLUSTER', act: 'newconn', seq: 1 }, connection('taken'));
  child.send({ cmd: 'NODE_CLUSTER', act: 'newconn', seq: 2 }, connection('untaken'));
  child.send({ say: 'drain' });
  child.emit('internalMessage', { cmd: 'NODE_CLUSTER', ack: 1, accepted: true });
  expect(sent).toHaveLength(3);
  child.emit('exit', null, 'SIGKILL');
  expect(closed).toEqual(['untaken']);
});

it('leaves a worker alone that could not be started for want of a file descriptor', () => {
  expect(() => closeUntaken(aChild(false).child)).not.toThrow();
});
