import { availableParallelism } from 'node:os';
import { ARGON2_FLOOR } from '../../src/passwords/argon2.js';
import { hashCost } from '../support/hash-cost.js';
import { hashPassword, PASSWORD } from '../support/password.js';
import { runStatements } from '../support/services.js';
import { round, type Spread, spread } from '../support/statistics.js';
import type { Suite } from '../support/suite.js';
import {
  type Compared,
  type ComparedData,
  comparisonTable,
  runCompared,
  within,
} from './compared.js';

interface SignInData extends ComparedData {
  /** CPU of one hash, in ms, with one running on every core. */
  readonly hashCpuMs: number;
  /** That, times the sign-ins, ÷ the CPU of the server's process. */
  readonly argon2Share: Spread;
  /** CPU of all threads but the one that runs JavaScript ÷ that of the process: nothing but hashes is there. */
  readonly offMainShare: Spread;
}

const compared: Compared = {
  name: 'sign-in',
  // Four for each core: the hash queue is never empty and never full.
  concurrency: availableParallelism() * 4,
  people: 1_000,
  warmUpSeconds: 15,
  floor: {
    name: 'sign-in',
    fill: async (floor, people) => {
      const hash = await hashPassword();
      await runStatements(
        floor.databaseUrl,
        `insert into accounts (account_id, username, password_hash)
          select p.id::uuid, p.username, '${hash}' from (values ${people
            .map(({ accountId, username }) => `('${accountId}', '${username}')`)
            .join(', ')}) p (id, username)`,
        'vacuum analyze',
      );
    },
  },
  data: (people) => ({ password: PASSWORD, usernames: people.map(({ username }) => username) }),
};

export const signIn: Suite<SignInData> = {
  name: 'sign-in',
  title: 'Signing in',
  byDefault: true,
  async run(options) {
    const before = await hashCost();
    const { data, measured } = await runCompared(compared, options);
    const hashCpuMs = (before + (await hashCost())) / 2;
    const shares = measured.map(([{ load, serverCpuMs }]) => (hashCpuMs * load.ok) / serverCpuMs);
    const offMain = measured.map(([{ serverCpuMs, mainCpuMs }]) => 1 - mainCpuMs / serverCpuMs);
    return {
      ...data,
      hashCpuMs: round(hashCpuMs, 2),
      argon2Share: spread(shares),
      offMainShare: spread(offMain),
    };
  },
  section: (data) => {
    const { memoryKib, iterations, parallelism } = ARGON2_FLOOR;
    return [
      `Argon2id with ${memoryKib} KiB, ${iterations} passes, ${parallelism} lane, the default. The floor makes one`,
      'Redis call, one select, one hash, one insert and one Ed25519 signature; its hashes run one per core as ours do.',
      '',
      comparisonTable(data),
      '',
      `A hash costs ${data.hashCpuMs} ms of CPU, measured in the same run in a process that computes one on every core`,
      `and nothing else. **Argon2's CPU ÷ the server process's CPU: ${within(data.argon2Share)}**. Counted another way, by`,
      `threads, the share of those that run no JavaScript is ${within(data.offMainShare)}.`,
    ].join('\n');
  },
};
