/** One pass of the overload suite: calm, full, then every level, then how long it takes to recover. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Generator, type Load, startGenerator } from '../support/load.js';
import { cpuOfNamed, memoryOf, threadsOf } from '../support/processes.js';
import type { Subject } from '../support/subject.js';
import type { OverloadData } from './overload-setup.js';

/** Times the capacity measured in the same pass; the last by clients that send no deadline. */
export const LEVELS: readonly { readonly times: number; readonly patient: boolean }[] = [
  { times: 1, patient: false },
  { times: 2, patient: false },
  { times: 4, patient: false },
  { times: 10, patient: false },
  { times: 10, patient: true },
];
/** Calls a second beside sign-in: health and three RPCs, in turns. */
export const ASIDE_RATE = 100;
/** Sign-ins a second that stand for a calm hour. */
export const CALM_RATE = 20;
export const DEADLINE_MS = 2_000;
/** Enough to keep the hash queue from running empty, and far from full. */
const CLOSED_LOOPS = 16;
const WARM_UP_SECONDS = 2;
const SETTLE_MS = 1_000;
const MAX_IN_FLIGHT = 4_000;
const WINDOW_SECONDS = 0.5;
const RECOVERY_LIMIT_SECONDS = 15;

/** Codes that a pass may use up; arrivals come by chance. */
export function codesOfPass(seconds: number): number {
  return Math.ceil((ASIDE_RATE / 4) * (WARM_UP_SECONDS + seconds * (LEVELS.length + 2)) * 1.3);
}

/** A level as it was measured. */
export interface Measured {
  readonly seconds: number;
  readonly signIns: Load;
  readonly aside: Load;
  /** CPU in ms. */
  readonly serverCpuMs: number;
  readonly eventLoopCpuMs: number;
  readonly postgresCpuMs: number;
  readonly rssMib: number;
}

export interface Pass {
  /** Sign-ins a second in a closed loop. */
  readonly capacity: number;
  readonly calm: Measured;
  /** In the order of `LEVELS`. */
  readonly levels: readonly Measured[];
  /** From the last arrival of the heaviest load; as long as was waited where it did not recover. */
  readonly recoverySeconds: number;
}

interface Rig {
  readonly subject: Subject;
  readonly signIns: Generator;
  readonly aside: Generator;
  /** Sends no deadline. */
  readonly patient: Generator;
  readonly seconds: number;
  readonly seed: number;
}

export async function overloadPass(
  subject: Subject,
  data: OverloadData,
  pass: number,
  options: { readonly seconds: number; readonly seed: number },
): Promise<Pass> {
  const seed = options.seed * 1_000 + pass * 100;
  const signIn = { ...data.signIn, deadlineMs: DEADLINE_MS };
  await using signIns = await startGenerator('overload-sign-in', { ...signIn, seed });
  await using patient = await startGenerator('overload-sign-in', { ...data.signIn, seed });
  await using aside = await startGenerator('overload-aside', await data.aside[pass]?.());
  const rig: Rig = { subject, signIns, aside, patient, seconds: options.seconds, seed };
  await Promise.all([full(rig, WARM_UP_SECONDS), besides(rig, WARM_UP_SECONDS)]);
  const calm = await level(rig, signIns, CALM_RATE);
  const [{ okPerSecond: capacity }] = await Promise.all([
    full(rig, rig.seconds),
    besides(rig, rig.seconds),
  ]);
  const levels: Measured[] = [];
  for (const { times, patient: waits } of LEVELS) {
    levels.push(await level(rig, waits ? patient : signIns, times * capacity));
  }
  const calmP99 = calm.signIns.outcomes.get('ok')?.percentile(0.99) ?? 0;
  const heaviest = Math.max(...LEVELS.map(({ times }) => times)) * capacity;
  return { capacity, calm, levels, recoverySeconds: await recovery(rig, heaviest, calmP99) };
}

function full(rig: Rig, seconds: number): Promise<Load> {
  return rig.signIns.run({ mode: 'closed', concurrency: CLOSED_LOOPS, seconds });
}

function besides({ aside, seed }: Rig, seconds: number): Promise<Load> {
  return aside.run({ mode: 'open', rate: ASIDE_RATE, seconds, maxInFlight: MAX_IN_FLIGHT, seed });
}

function arrivals({ seconds, seed }: Rig, generator: Generator, rate: number): Promise<Load> {
  return generator.run({ mode: 'open', rate, seconds, maxInFlight: MAX_IN_FLIGHT, seed });
}

async function level(rig: Rig, generator: Generator, rate: number): Promise<Measured> {
  await delay(SETTLE_MS);
  const { pid } = rig.subject;
  const before = threadsOf(pid);
  const postgres = cpuOfNamed('postgres');
  const [signIns, aside] = await Promise.all([
    arrivals(rig, generator, rate),
    besides(rig, rig.seconds),
  ]);
  const after = threadsOf(pid);
  return {
    seconds: rig.seconds,
    signIns,
    aside,
    serverCpuMs: after.all - before.all,
    eventLoopCpuMs: after.main - before.main,
    postgresCpuMs: cpuOfNamed('postgres') - postgres,
    rssMib: memoryOf(pid).rssMib,
  };
}

/** Light sign-ins in short windows from when the load stops, until they are answered as in a calm hour. */
async function recovery(rig: Rig, rate: number, calmP99: number): Promise<number> {
  const flooded = arrivals(rig, rig.signIns, rate);
  await delay(rig.seconds * 1_000);
  const since = performance.now();
  const elapsed = (): number => (performance.now() - since) / 1_000;
  let begun = elapsed();
  for (let nth = 0; begun < RECOVERY_LIMIT_SECONDS; nth += 1, begun = elapsed()) {
    const { outcomes } = await rig.patient.run({
      mode: 'open',
      rate: CALM_RATE * 2,
      seconds: WINDOW_SECONDS,
      maxInFlight: MAX_IN_FLIGHT,
      seed: rig.seed + nth,
    });
    const good = outcomes.get('ok');
    const onlyGood = outcomes.size === 1 && good !== undefined;
    if (onlyGood && good.percentile(0.99) <= 2 * calmP99) break;
  }
  await flooded;
  return begun;
}
