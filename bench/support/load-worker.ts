/** A process that makes calls: forked by `startGenerator`, one scenario each. */
import { setTimeout as delay } from 'node:timers/promises';
import type {
  GeneratorMessage,
  GeneratorReply,
  LoadPlan,
  RawLoad,
  ScenarioCall,
  ScenarioModule,
} from './load.js';
import { Histogram, seeded } from './statistics.js';

type Outcomes = Map<string, Histogram>;

/** Counts on across runs, so that a scenario never sees a number twice. */
const calls = { made: 0 };

async function closedLoop(
  call: ScenarioCall,
  plan: LoadPlan & { readonly mode: 'closed' },
  outcomes: Outcomes,
): Promise<void> {
  const until = performance.now() + plan.seconds * 1_000;
  const loop = async (slot: number): Promise<void> => {
    while (performance.now() < until) await timed(call, slot, performance.now(), outcomes);
  };
  await Promise.all(Array.from({ length: plan.concurrency }, (_, slot) => loop(slot)));
}

async function openLoop(
  call: ScenarioCall,
  plan: LoadPlan & { readonly mode: 'open' },
  outcomes: Outcomes,
): Promise<void> {
  const random = seeded(plan.seed);
  const free = Array.from({ length: plan.maxInFlight }, (_, slot) => slot);
  const running = new Set<Promise<void>>();
  const begun = performance.now();
  const until = begun + plan.seconds * 1_000;
  for (let due = begun; ; ) {
    due += (-Math.log(1 - random()) / plan.rate) * 1_000;
    if (due >= until) break;
    const wait = due - performance.now();
    // Timers are a millisecond coarse: what is due within it goes out together, and is late by less.
    if (wait > 0.5) await delay(wait);
    const slot = free.pop();
    if (slot === undefined) {
      count(outcomes, 'NOT_SENT', 0);
      continue;
    }
    const one = timed(call, slot, due, outcomes).finally(() => {
      free.push(slot);
      running.delete(one);
    });
    running.add(one);
  }
  await Promise.all(running);
}

async function timed(
  call: ScenarioCall,
  slot: number,
  since: number,
  outcomes: Outcomes,
): Promise<void> {
  calls.made += 1;
  const outcome = await call(slot, calls.made);
  count(outcomes, outcome, performance.now() - since);
}

function count(outcomes: Outcomes, outcome: string, milliseconds: number): void {
  const histogram = outcomes.get(outcome) ?? new Histogram();
  outcomes.set(outcome, histogram);
  histogram.record(milliseconds);
}

async function run(call: ScenarioCall, plan: LoadPlan): Promise<RawLoad> {
  const outcomes: Outcomes = new Map();
  const begun = performance.now();
  await (plan.mode === 'closed'
    ? closedLoop(call, plan, outcomes)
    : openLoop(call, plan, outcomes));
  const counts = [...outcomes].map(([name, histogram]) => [name, histogram.counts()] as const);
  return { elapsedMs: performance.now() - begun, outcomes: Object.fromEntries(counts) };
}

let scenario: ScenarioCall | undefined;

async function answer(message: GeneratorMessage): Promise<GeneratorReply> {
  if ('open' in message) {
    const { scenario: name, data } = message.open;
    const module: ScenarioModule = await import(`../scenarios/${name}.ts`);
    scenario = await module.open(data as never);
    return { ready: true };
  }
  if (scenario === undefined) return { failed: 'no scenario was opened' };
  return { done: await run(scenario, message.run) };
}

process.on('message', (message: GeneratorMessage) => {
  answer(message)
    .catch(
      (error: unknown): GeneratorReply => ({
        failed: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    )
    .then(
      (reply) => process.send?.(reply),
      () => process.exit(1),
    );
});
process.once('disconnect', () => process.exit(0));
