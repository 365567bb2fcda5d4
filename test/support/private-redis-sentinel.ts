import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, killed, launched, launchRedis, untilRedis } from './private-redis.js';

/** A primary, its replica, and one sentinel that alone decides. */
export interface PrivateSentinel {
  readonly url: string;
  killPrimary(): Promise<void>;
  /** Waits until the replica is the primary, and the sentinel says so. */
  failedOver(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const NAME = 'mymaster';

export async function startPrivateSentinel(): Promise<PrivateSentinel> {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-redis-'));
  const [primaryPort, replicaPort, port] = [await freePort(), await freePort(), await freePort()];
  const quick = ['--repl-diskless-sync-delay', '0', '--dir', dir];
  const primary = await launchRedis(primaryPort, quick);
  const replicaOf = ['--replicaof', `127.0.0.1 ${primaryPort}`];
  const replica = await launchRedis(replicaPort, [...quick, ...replicaOf]);
  await untilRedis(replicaPort, 'INFO replication', 'master_link_status:up');
  const file = join(dir, 'sentinel.conf');
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 1`,
    `sentinel down-after-milliseconds ${NAME} 300`,
    `sentinel failover-timeout ${NAME} 3000`,
  ];
  await writeFile(file, `${settings.join('\n')}\n`);
  const sentinel = await launched([file, '--sentinel'], '+monitor');
  await untilRedis(port, `SENTINEL REPLICAS ${NAME}`, String(replicaPort));
  return {
    url: `redis+sentinel://127.0.0.1:${port}/${NAME}`,
    killPrimary: () => killed(primary),
    failedOver: async () => {
      await untilRedis(replicaPort, 'ROLE', 'master');
      await untilRedis(port, `SENTINEL GET-MASTER-ADDR-BY-NAME ${NAME}`, String(replicaPort));
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([sentinel, replica, primary].map(killed));
      await rm(dir, { recursive: true, force: true });
    },
  };
}
