/**
 * Where password hashes run, compared: `npx tsx bench/hash-hosts.ts --help`. Each host gets a fresh
 * process, in turns, and is measured against itself unloaded. Why it matters: docs/decisions/0020.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { ARGON2_FLOOR, type Argon2 } from '../src/passwords/argon2.js';
import { startArgon2Threads } from '../src/passwords/argon2-threads.js';
import { poolArgon2 } from './support/pool-argon2.js';

const SELF = fileURLToPath(import.meta.url);
const CORES = availableParallelism();
const DEFAULT_HOSTS =
  'pool,process:0,process:10,process:19,threads:0,threads:5,threads:10,threads:19';
const HELP = `Usage: npx tsx bench/hash-hosts.ts [options]

  --hosts LIST     default ${DEFAULT_HOSTS}
  --seconds N      of each measurement, unloaded and saturated (3)
  --rounds N       every host once a round; figures are medians, with lowest and highest (3)
  --database URL   adds a statement on PostgreSQL to the other work

Hosts: pool (the library on libuv's thread pool), threads:N (at nice N), process:N (such threads in another).
start: until the first hash is done. hashes: per second, one at a time per core. cpu: of a hash.
Then what other work in the process takes while hashes saturate the cores, p99 in ms: lateness of a
timer, a WebCrypto signature, a file look-up, a statement; ÷ is the same over its p99 unloaded.`;

interface Host extends Argon2 {
  /** CPU time used outside of this process so far, in ms, and memory there, in MiB. */
  outside(): Promise<{ cpuMs: number; rssMib: number }>;
  close(): Promise<unknown>;
}

const inside = async () => ({ cpuMs: 0, rssMib: 0 });

const nothing = () => {};
const silent = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };

function openHost(name: string): Host {
  const [kind = '', nice = '0'] = name.split(':');
  if (kind === 'pool') return { ...poolArgon2, outside: inside, close: inside };
  if (kind === 'process') return processHost(Number(nice));
  const threads = startArgon2Threads({ count: CORES, niceness: Number(nice), log: silent });
  return { ...threads, outside: inside, close: async () => threads[Symbol.asyncDispose]() };
}

/** The rejected one: another process, asked over its IPC channel. */
function processHost(nice: number): Host {
  const child: ChildProcess = fork(SELF, ['--hash-process', String(nice)], {
    serialization: 'advanced',
  });
  const waiting = new Map<number, (answer: never) => void>();
  let last = 0;
  child.on('message', ({ id, answer }: { id: number; answer: never }) => {
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  const ask = <T>(method: string, ...args: unknown[]) =>
    new Promise<T>((resolve) => {
      last += 1;
      waiting.set(last, resolve);
      child.send({ id: last, method, args });
    });
  return {
    hash: (...args) => ask('hash', ...args),
    verify: (...args) => ask('verify', ...args),
    outside: () => ask('usage'),
    close: async () => {
      child.kill();
      await once(child, 'exit');
    },
  };
}

function runHashProcess(niceness: number): void {
  // Not the pool: its threads may have started, at the old priority, before this process could lower its own.
  const threads = startArgon2Threads({ count: CORES, niceness, log: silent });
  process.on('message', async ({ id, method, args }) => {
    const answer =
      method === 'usage'
        ? { cpuMs: cpuMs(), rssMib: process.memoryUsage().rss / 2 ** 20 }
        : await threads[method as 'verify'](...(args as Parameters<Argon2['verify']>));
    process.send?.({ id, answer });
  });
  process.on('disconnect', () => process.exit());
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

type Probe = () => Promise<unknown>;

async function probesOf(database: string | undefined): Promise<Record<string, Probe>> {
  const key = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
  if (!('privateKey' in key)) throw new Error('a pair of keys was expected');
  const text = Buffer.alloc(300, 7);
  const probes: Record<string, Probe> = {
    signature: () => crypto.subtle.sign('Ed25519', key.privateKey, text),
    file: () => stat(SELF),
  };
  if (database === undefined) return probes;
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  return { ...probes, statement: () => client.query('select 1') };
}

/** Milliseconds that each probe took, one round of all of them every 5 ms. */
async function probe(probes: Record<string, Probe>, seconds: number) {
  const taken: Record<string, number[]> = { timer: [] };
  const until = performance.now() + seconds * 1_000;
  while (performance.now() < until) {
    const dueAt = performance.now() + 5;
    await delay(5);
    taken['timer']?.push(Math.max(0, performance.now() - dueAt));
    for (const [name, run] of Object.entries(probes)) {
      const startedAt = performance.now();
      await run();
      taken[name] ??= [];
      taken[name].push(performance.now() - startedAt);
    }
  }
  return taken;
}

const SALT = Buffer.alloc(16, 1);
const PASSWORD = 'correct horse battery staple';

async function measure(name: string, seconds: number, database: string | undefined) {
  const probes = await probesOf(database);
  await probe(probes, 0.5);
  const startedAt = performance.now();
  const host = openHost(name);
  const encoded = await host.hash(PASSWORD, SALT, ARGON2_FLOOR, undefined);
  const startMs = performance.now() - startedAt;
  const calm = await probe(probes, seconds);
  let hashes = 0;
  let stop = false;
  const hashing = async () => {
    for (; !stop; hashes += 1) await host.verify(encoded, PASSWORD, undefined);
  };
  const before = { cpu: cpuMs() + (await host.outside()).cpuMs, at: performance.now() };
  const lanes = Array.from({ length: CORES }, hashing);
  const loaded = await probe(probes, seconds);
  stop = true;
  await Promise.all(lanes);
  const after = await host.outside();
  const spentMs = cpuMs() + after.cpuMs - before.cpu;
  await host.close();
  return {
    startMs,
    hashes: (hashes * 1_000) / (performance.now() - before.at),
    cpuMs: spentMs / hashes,
    rssMib: process.memoryUsage().rss / 2 ** 20 + after.rssMib,
    ...Object.fromEntries(
      Object.entries(loaded).flatMap(([probed, taken]) => [
        [probed, quantile(taken, 0.99)],
        [`${probed} ÷`, quantile(taken, 0.99) / quantile(calm[probed] ?? [], 0.99)],
      ]),
    ),
  };
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

async function inFreshProcess(args: readonly string[]): Promise<Record<string, number>> {
  const child = fork(SELF, args, {
    env: { ...process.env, UV_THREADPOOL_SIZE: String(CORES + 4) },
  });
  const [figures] = await once(child, 'message');
  await once(child, 'exit');
  return figures;
}

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: DEFAULT_HOSTS },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    database: { type: 'string' },
    help: { type: 'boolean', default: false },
    one: { type: 'string' },
    'hash-process': { type: 'string' },
  },
});

if (values.help) process.stdout.write(`${HELP}\n`);
else if (values['hash-process'] !== undefined) runHashProcess(Number(values['hash-process']));
else if (values.one !== undefined) {
  process.send?.(await measure(values.one, Number(values.seconds), values.database));
  process.exit();
} else await compare();

async function compare(): Promise<void> {
  const hosts = values.hosts.split(',');
  const runs = new Map<string, Record<string, number>[]>(hosts.map((host) => [host, []]));
  const shared = ['--seconds', values.seconds];
  if (values.database !== undefined) shared.push('--database', values.database);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const host of hosts) {
      runs.get(host)?.push(await inFreshProcess(['--one', host, ...shared]));
    }
  }
  const columns = Object.keys([...runs.values()][0]?.[0] ?? {});
  const lines = [['host', ...columns]];
  for (const [host, figures] of runs) {
    lines.push([host, ...columns.map((column) => spread(figures.map((f) => f[column] ?? 0)))]);
  }
  for (const line of lines) process.stdout.write(`| ${line.join(' | ')} |\n`);
}

function spread(figures: readonly number[]): string {
  const [low, middle, high] = [0, 0.5, 1].map((q) => round(quantile(figures, q)));
  return low === high ? `${middle}` : `${middle} (${low}–${high})`;
}

function round(figure: number): string {
  return figure >= 100 ? figure.toFixed(0) : figure.toPrecision(2);
}
