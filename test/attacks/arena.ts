import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { createCountersignClient } from '../../src/client/index.js';
import { GENEROUS } from '../resilience/crash-rounds.js';
import { type ServerProcess, startServer, temporaryFolder } from '../resilience/process.js';
import { PASSWORD, unique } from '../support/people.js';
import { type Attacker, type AttackerOptions, attacker } from './attacker.js';

/** `ended`: the server must hang up by itself; else it may go on, within the bounds. */
export type Ending = 'ended' | 'bounded';

/** What an attack sees of the server. */
export interface Target {
  readonly address: string;
  /** Connections are left when the attack is over. */
  open(options?: AttackerOptions): Promise<Attacker>;
}

export interface Outcome {
  readonly alive: boolean;
  /** Whether the server has hung up on every connection of the attack, or said goodbye to it. */
  readonly ended: boolean;
  /** Calls of the honest client while the attack ran. */
  readonly served: number;
  readonly failed: readonly string[];
  readonly slowestMs: number;
  /** Resident memory of the server, against what it had before the first attack. Most is garbage. */
  readonly peakMiB: number;
  /** What the server holds for the attackers in the end, and for those before them. */
  readonly heldMiB: number;
  /** Of one core, the server's own use while the attack ran. */
  readonly cpu: number;
  readonly seconds: number;
}

export interface Arena extends AsyncDisposable {
  readonly address: string;
  withstand(attack: (target: Target) => Promise<void>, ending?: Ending): Promise<Outcome>;
}

/** After an attack: to hear that it is over. */
const GOODBYE_MS = 5_000;
const PACE_MS = 10;
/** A server that has stopped to read an attacker holds the attack up as long as it likes. */
const LONGEST_MS = 1_000;

/**
 * Runs in the server and tells, when asked by a signal, what its memory holds once the garbage is out:
 * objects, buffers and what HTTP/2 has allocated. The resident memory says little, since V8 collects
 * when it likes to and what is free stays resident.
 */
const TELL_MEMORY = `
  import { setFlagsFromString } from 'node:v8';
  import { runInNewContext } from 'node:vm';
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  let asked = 0;
  process.on('SIGUSR2', () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    console.log('memory ' + ++asked + ': ' + (heapUsed + external));
  });`;
const MIB = 1024 * 1024;

/**
 * A real server on a database of its own, and somebody who uses it honestly all the while. Not the
 * embedded database: its memory would be the server's.
 */
export async function openArena(url: string): Promise<Arena> {
  const folder = await temporaryFolder();
  const server = await startServer({
    ...GENEROUS,
    DATABASE_URL: url,
    DATA_DIR: folder.path,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(TELL_MEMORY)}`,
  });
  let asked = 0;
  const heldMiB = async (): Promise<number> => {
    asked += 1;
    server.kill('SIGUSR2');
    const [, bytes] = await server.printed(new RegExp(`^memory ${asked}: (\\d+)$`, 'm'));
    return Number(bytes) / MIB;
  };
  const client = createCountersignClient({ address: server.address, deadlineMs: 10_000 });
  const person = await client.auth.signUp({ username: unique.username(), password: PASSWORD });
  const accessToken = person.tokens?.accessToken ?? '';
  const introspect = () => client.auth.introspectToken({ accessToken });
  // What the first calls compile and allocate is not an attack's doing.
  for (let call = 0; call < 500; call += 1) await introspect();
  const rest = { residentMiB: await residentMiB(server.pid), heldMiB: await heldMiB() };

  return {
    address: server.address,
    async withstand(attack, ending = 'bounded') {
      const opened: Attacker[] = [];
      const over = new AbortController();
      const honest = callSteadily(introspect, over.signal);
      const memory = watchMemory(server.pid, over.signal);
      const startedAt = performance.now();
      const cpuBefore = await cpuSeconds(server.pid);
      const target = {
        address: server.address,
        async open(options: AttackerOptions = {}) {
          const made = await attacker(server.address, options);
          opened.push(made);
          return made;
        },
      };
      await Promise.race([attack(target), delay(LONGEST_MS)]);
      const seconds = (performance.now() - startedAt) / 1_000;
      const cpu = ((await cpuSeconds(server.pid)) - cpuBefore) / seconds;
      over.abort();
      const patience = ending === 'ended' ? GOODBYE_MS : 0;
      const held = await heldMiB();
      const goodbyes = await Promise.all(opened.map((one) => one.endedWithin(patience)));
      for (const one of opened) one.leave();
      const calls = await honest;
      const peak = await memory;
      await serveNewClient(server.address);
      return {
        alive: await isAlive(server),
        ended: goodbyes.every(Boolean),
        ...calls,
        peakMiB: peak - rest.residentMiB,
        heldMiB: held - rest.heldMiB,
        cpu,
        seconds,
      };
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await server[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function callSteadily(call: () => Promise<unknown>, over: AbortSignal) {
  const failed: string[] = [];
  let served = 0;
  let slowestMs = 0;
  while (!over.aborted) {
    const startedAt = performance.now();
    await call().then(
      () => {
        served += 1;
      },
      (error: unknown) => failed.push(String(error)),
    );
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    await delay(PACE_MS);
  }
  return { served, failed, slowestMs };
}

async function serveNewClient(address: string): Promise<void> {
  await using client = createCountersignClient({ address, deadlineMs: 5_000 });
  await client.auth.getJsonWebKeySet({});
}

async function isAlive(server: ServerProcess): Promise<boolean> {
  return Promise.race([server.exited.then(() => false), delay(0, true)]);
}

async function watchMemory(pid: number, over: AbortSignal): Promise<number> {
  let peak = 0;
  while (!over.aborted) {
    peak = Math.max(peak, await residentMiB(pid));
    await delay(20);
  }
  return peak;
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** In user and system mode, all threads. */
async function cpuSeconds(pid: number): Promise<number> {
  const TICKS_PER_SECOND = 100;
  const [, after = ''] = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ');
  const fields = after.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
