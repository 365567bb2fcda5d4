import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, killed, launchRedis, tellRedis, untilRedis } from './private-redis.js';

/** Three primaries of the test's own that share the slots, and a replica of the first. */
export interface PrivateCluster {
  readonly url: string;
  /** Kills the first primary, as a crash would; its replica takes over in a second or two. */
  killFirst(): Promise<void>;
  /** Waits until every slot is served again. */
  healed(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const RANGES = ['0 5460', '5461 10922', '10923 16383'];

export async function startPrivateCluster(): Promise<PrivateCluster> {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-redis-'));
  const nodes: { port: number; bus: number; server: ChildProcess }[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(nodes.map(({ server }) => killed(server)));
    await rm(dir, { recursive: true, force: true });
  };
  try {
    for (let i = 0; i < RANGES.length + 1; i += 1) {
      const [port, bus] = [await freePort(), await freePort()];
      const own = `--dir ${dir} --cluster-config-file ${port}.conf --cluster-port ${bus}`;
      const quick = '--cluster-node-timeout 1000 --repl-diskless-sync-delay 0';
      const settings = `--cluster-enabled yes ${own} ${quick}`.split(' ');
      nodes.push({ port, bus, server: await launchRedis(port, settings) });
    }
    await form(nodes);
  } catch (error) {
    await dispose();
    throw error;
  }
  const [first, ...others] = nodes;
  if (first === undefined) throw new Error('no node');
  return {
    url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    killFirst: () => killed(first.server),
    healed: async () => {
      const replica = others.at(-1);
      if (replica === undefined) throw new Error('no replica');
      await untilRedis(replica.port, 'ROLE', 'master');
      for (const { port } of others) await untilRedis(port, 'CLUSTER INFO', 'cluster_state:ok');
    },
    [Symbol.asyncDispose]: dispose,
  };
}

async function form(nodes: readonly { port: number; bus: number }[]): Promise<void> {
  const [first, , , replica] = nodes;
  if (first === undefined || replica === undefined) throw new Error('four nodes are needed');
  for (const [i, { port }] of nodes.entries()) {
    await tellRedis(port, `CLUSTER SET-CONFIG-EPOCH ${i + 1}`);
    const range = RANGES[i];
    if (range !== undefined) await tellRedis(port, `CLUSTER ADDSLOTSRANGE ${range}`);
    await tellRedis(port, `CLUSTER MEET 127.0.0.1 ${first.port} ${first.bus}`);
  }
  for (const { port } of nodes) {
    await untilRedis(port, 'CLUSTER INFO', 'cluster_known_nodes:4');
    await untilRedis(port, 'CLUSTER INFO', 'cluster_state:ok');
  }
  const reply = await tellRedis(first.port, 'CLUSTER MYID');
  await tellRedis(replica.port, `CLUSTER REPLICATE ${reply.split('\r\n')[1] ?? ''}`);
  await untilRedis(replica.port, 'INFO replication', 'master_link_status:up');
  // The first must know of its replica's state, else nobody would take over.
  for (const { port } of nodes) await untilRedis(port, 'CLUSTER NODES', 'slave');
}
