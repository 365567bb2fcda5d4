import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GENEROUS } from './crash-rounds.js';
import { type Load, newTally, startPeople, type Tally } from './drain-load.js';
import { startRawClient } from './drain-raw-client.js';
import { openRelay, type Wire } from './drain-relay.js';
import { eventually } from './eventually.js';
import { healthOf } from './health-of.js';
import { type ServerProcess, startServer } from './process.js';

export interface RollingDrain {
  readonly people: Tally;
  readonly raw: Tally;
  /** What passed between the people and each server. */
  readonly wires: readonly Wire[];
  /** Of each drain, in order. */
  readonly exits: readonly (number | string)[];
  readonly drainMs: readonly number[];
  /** What a watch of health was told until its server was gone. */
  readonly health: readonly string[];
  /** In how many the people's connection heard that its end is near. */
  readonly noticed: number;
  /**
   * Drains with a notice in which a connection was refused before the watch had heard that health has
   * turned.
   */
  readonly refusedFirst: number;
}

const PEOPLE = 3;
/** Of the first server. The second goes on to refuse at once, so that its order cannot be seen from outside. */
const NOTICE = '1s';

/**
 * Two replicas on fixed ports, as behind a balancer: while people and a raw client keep calling both,
 * one after the other is told to stop, and started again once it has ended. The people reach them
 * through relays that read along.
 */
export async function rollingDrain(
  { url, folder }: { readonly url: string; readonly folder: string },
  drains: number,
): Promise<RollingDrain> {
  const messageFile = join(folder, 'messages.jsonl');
  const transport = `file:${messageFile}`;
  const addresses = [await freeAddress(), await freeAddress()];
  const relays = [];
  for (const address of addresses) relays.push(await openRelay(address));
  const start = (address: string): Promise<ServerProcess> =>
    startServer({
      ...GENEROUS,
      DRAIN_NOTICE: address === addresses[0] ? NOTICE : '0s',
      LISTEN_ADDRESS: address,
      DATABASE_URL: url,
      DATA_DIR: folder,
      MAIL_TRANSPORT: transport,
      SMS_TRANSPORT: transport,
    });
  const servers: ServerProcess[] = [];
  const told = {
    exits: [] as (number | string)[],
    drainMs: [] as number[],
    health: [] as string[],
  };
  let [refusedFirst, noticed] = [0, 0];
  const [people, raw] = [newTally(), newTally()];
  try {
    servers.push(...(await Promise.all(addresses.map(start))));
    const loads = [
      startPeople(
        relays.map((relay) => relay.address),
        { people: PEOPLE, messageFile, tally: people },
      ),
      startRawClient(addresses, raw),
    ];
    for (let drain = 0; drain < drains; drain += 1) {
      const [at, address] = [drain % 2, addresses[drain % 2] ?? ''];
      await useBoth(loads);
      const { notices = 0 } = relays[at]?.wire ?? {};
      const seen = await drainOne(servers[at] as ServerProcess, address);
      told.exits.push(seen.exit);
      told.drainMs.push(seen.drainMs);
      told.health.push(seen.health);
      if (at === 0 && seen.refusedFirst) refusedFirst += 1;
      servers[at] = await start(address);
      if ((relays[at]?.wire.notices ?? 0) > notices) noticed += 1;
    }
    await useBoth(loads);
    await Promise.all(loads.map((load) => load.stop()));
    await Promise.all(relays.map((relay) => relay.close()));
  } finally {
    for (const server of servers) await server[Symbol.asyncDispose]();
  }
  return { people, raw, wires: relays.map(({ wire }) => wire), ...told, refusedFirst, noticed };
}

/** Until every load has had another answer from each server: who is drained next is in use. */
async function useBoth(loads: readonly Load[]): Promise<void> {
  const counts = () =>
    loads.flatMap(({ addresses, answered }) =>
      addresses.map((address) => answered.get(address) ?? 0),
    );
  const before = counts();
  await eventually('an answer from each server', async () =>
    counts().every((count, at) => count > (before[at] ?? 0)),
  );
}

async function drainOne(server: ServerProcess, address: string) {
  const health = healthOf(address);
  const watch = health.watch();
  await eventually('a watch of health', async () => watch.seen.length > 0);
  let turnedAt = Number.POSITIVE_INFINITY;
  watch.onChange(() => {
    turnedAt = Math.min(turnedAt, performance.now());
  });
  const refusal = firstRefusal(address);
  const signalledAt = performance.now();
  server.kill('SIGTERM');
  const exit = await server.exited;
  const drainMs = performance.now() - signalledAt;
  const refusedFirst = (await refusal) < turnedAt;
  health.close();
  return { exit, drainMs, health: watch.seen.join(', '), refusedFirst };
}

/** When nobody listens any more. */
async function firstRefusal(address: string): Promise<number> {
  const [host = '', port = ''] = address.split(':');
  for (;;) {
    const socket = connect(Number(port), host);
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (!open) return performance.now();
    await delay(10);
  }
}

async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  server.close();
  await once(server, 'close');
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return `127.0.0.1:${bound.port}`;
}
