/**
 * Countersign beside better-auth, on the same PostgreSQL, in the same run: each as it comes, then the peer
 * with our hash parameters. `bench/peers` holds the peer's server and is installed by itself.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PEER_TASKS, type PeerTask } from '../scenarios/peer-tasks.js';
import { Cleanup } from '../support/cleanup.js';
import { startGenerator } from '../support/load.js';
import { table } from '../support/markdown.js';
import { seedPeople } from '../support/people.js';
import { ROOT, startProgram, temporaryFolder } from '../support/program.js';
import { figures, type Measured, measure, type Side, type SideFigures } from '../support/rounds.js';
import { createDatabase } from '../support/services.js';
import { ratio, round, type Spread } from '../support/statistics.js';
import { startSubject } from '../support/subject.js';
import type { Suite, SuiteOptions } from '../support/suite.js';
import { within } from './compared.js';

const PEERS = join(ROOT, 'bench', 'peers');

/** Whoever takes part, and how the peer hashes: as it comes (scrypt), or as we do. */
const CONTENDERS = ['Countersign', 'better-auth', 'better-auth, Argon2id'] as const;
type Contender = (typeof CONTENDERS)[number];

/** Hashing fills the processor by itself; the rest needs calls that wait for each other. */
const CONCURRENCY: Readonly<Record<PeerTask, number>> = {
  'sign-in': 8,
  'new-person': 16,
  'send-code': 32,
  'session-check': 32,
};
/** One code per person and minute: enough people for any run. */
const PEOPLE: Readonly<Record<PeerTask, number>> = {
  'sign-in': 1_000,
  'new-person': 1,
  'send-code': 30_000,
  'session-check': 1_000,
};
const WARM_UP_SECONDS = 1;
const SETTLE_MS = 300;

interface TaskFigures {
  readonly task: PeerTask;
  readonly concurrency: number;
  readonly contenders: Readonly<Record<Contender, SideFigures>>;
  /** Calls a second of ours ÷ the peer's. */
  readonly timesFaster: Readonly<Record<Exclude<Contender, 'Countersign'>, Spread>>;
}

export interface PeersData {
  readonly version: string;
  readonly seconds: number;
  readonly rounds: number;
  readonly tasks: readonly TaskFigures[];
}

export const peers: Suite<PeersData> = {
  name: 'peers',
  title: 'Peers',
  byDefault: false,
  async run(options) {
    const version = await installed();
    const tasks: TaskFigures[] = [];
    for (const task of PEER_TASKS) {
      options.say(task);
      tasks.push(await runTask(task, options));
    }
    const { seconds, rounds } = options;
    return { version, seconds, rounds, tasks };
  },
  section: ({ version, seconds, rounds, tasks }) =>
    [
      `[better-auth](https://www.better-auth.com) ${version} with its phone-number plugin behind \`node:http\`, each in a`,
      'process of its own on the same PostgreSQL, in turns:',
      `${rounds} rounds of ${seconds} s each per task. Its hash is scrypt as it comes, and Argon2id with our parameters in the`,
      'second column. Limits on calls are off on both sides; Countersign charges its own all the same, in Redis.',
      '',
      '- *sign-in*: an address and the right password, answered with a session.',
      '- *new-person*: sign-up with a password, a code to the phone, and the code back.',
      '- *send-code*: a signed-in person asks for a code to a new phone.',
      '- *session-check*: the server says whose token it was shown. The peer reads its session from the database; Countersign',
      '  verifies a signature and knows the ended sessions, at most 2 s late.',
      '',
      'They do not do the same work. Beside the answer Countersign counts guesses, keeps an audit record, queues messages in an',
      'outbox and seals what it stores; the peer speaks HTTP and JSON. The figures are for orders of magnitude.',
      '',
      table(
        ['per second', ...CONTENDERS, 'faster than the peer as it comes', 'with equal hashes'],
        tasks.map(({ task, contenders, timesFaster }) => [
          task,
          ...CONTENDERS.map((name) => within(contenders[name].okPerSecond)),
          `× ${within(timesFaster['better-auth'])}`,
          `× ${within(timesFaster['better-auth, Argon2id'])}`,
        ]),
      ),
      '',
      table(
        ["server's CPU per task, ms", ...CONTENDERS],
        tasks.map(({ task, contenders }) => [
          task,
          ...CONTENDERS.map((name) => within(contenders[name].serverCpuPerCall)),
        ]),
      ),
      '',
      table(
        ['p50 / p99, ms', ...CONTENDERS],
        tasks.map(({ task, contenders }) => [
          task,
          ...CONTENDERS.map((name) => {
            const { p50, p99 } = contenders[name].latencyMs;
            return `${p50} / ${p99}`;
          }),
        ]),
      ),
    ].join('\n'),
};

/** Installs the peer where it is missing; answers its version. */
async function installed(): Promise<string> {
  if (!existsSync(join(PEERS, 'node_modules'))) {
    const { status } = spawnSync('npm', ['ci', '--prefix', PEERS], { stdio: 'inherit' });
    if (status !== 0) throw new Error(`npm ci --prefix ${PEERS} failed`);
  }
  const text = await readFile(join(PEERS, 'node_modules', 'better-auth', 'package.json'), 'utf8');
  const { version }: { readonly version: string } = JSON.parse(text);
  return version;
}

async function runTask(
  task: PeerTask,
  { seconds, rounds, program, say }: SuiteOptions,
): Promise<TaskFigures> {
  await using cleanup = new Cleanup();
  const sides: Readonly<Record<Contender, Side>> = {
    Countersign: await ours(task, program, cleanup),
    'better-auth': await theirs(task, 'own', cleanup),
    'better-auth, Argon2id': await theirs(task, 'argon2', cleanup),
  };
  const concurrency = CONCURRENCY[task];
  for (const { generator } of Object.values(sides)) {
    await generator.run({ mode: 'closed', concurrency, seconds: WARM_UP_SECONDS });
  }
  const measured = Object.fromEntries(CONTENDERS.map((name) => [name, []])) as unknown as Record<
    Contender,
    Measured[]
  >;
  for (let nth = 0; nth < rounds; nth += 1) {
    for (const name of nth % 2 === 0 ? CONTENDERS : CONTENDERS.toReversed()) {
      await delay(SETTLE_MS);
      measured[name].push(await measure(sides[name], { mode: 'closed', concurrency, seconds }));
    }
    const rates = CONTENDERS.map((name) => round(measured[name][nth]?.load.okPerSecond ?? 0, 1));
    say(`${task}, round ${nth + 1}: ${rates.join(' | ')}`);
  }
  const rates = (name: Contender): readonly number[] =>
    measured[name].map(({ load }) => load.okPerSecond);
  const faster = (name: Contender): Spread => ratio(rates('Countersign'), rates(name));
  return {
    task,
    concurrency,
    contenders: {
      Countersign: figures(measured.Countersign),
      'better-auth': figures(measured['better-auth']),
      'better-auth, Argon2id': figures(measured['better-auth, Argon2id']),
    },
    timesFaster: {
      'better-auth': faster('better-auth'),
      'better-auth, Argon2id': faster('better-auth, Argon2id'),
    },
  };
}

async function ours(task: PeerTask, program: string | undefined, cleanup: Cleanup): Promise<Side> {
  const subject = cleanup.add(await startSubject({ program }));
  const people = await seedPeople(subject, PEOPLE[task]);
  const { address, callerKey, messageFile, pid } = subject;
  const data = { address, callerKey, messageFile, task, people };
  return { pid, generator: cleanup.add(await startGenerator('peer-countersign', data)) };
}

async function theirs(task: PeerTask, hash: 'own' | 'argon2', cleanup: Cleanup): Promise<Side> {
  const database = cleanup.add(await createDatabase());
  const messageFile = join(cleanup.add(temporaryFolder()).path, 'messages.jsonl');
  const server = cleanup.add(
    await startProgram([join(PEERS, 'better-auth', 'server.mjs')], {
      env: { DATABASE_URL: database.url, HASH: hash, MESSAGE_FILE: messageFile },
    }),
  );
  const data = { address: server.address, task, messageFile };
  const generator = cleanup.add(await startGenerator('peer-better-auth', data));
  return { pid: server.pid, generator };
}
