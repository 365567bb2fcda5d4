import fc from 'fast-check';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { createComparisonLedger } from './budgets.js';
import { createModel, type Rules } from './model.js';
import { type Play, play } from './play.js';
import { beginningOf, beginnings, type Step, sequences } from './steps.js';
import { newCast, openWorld, type World } from './world.js';

vi.mock('../../src/challenges/code.js', async (original) => {
  const code = await original<typeof import('../../src/challenges/code.js')>();
  const { comparisons } = await import('./comparisons.js');
  const codeMatches: typeof code.codeMatches = (...args) => {
    comparisons.made += 1;
    return code.codeMatches(...args);
  };
  return { ...code, codeMatches };
});

const USUAL: Rules = {
  collision: 'refuse',
  delivery: 'typed',
  promote: { email: 'automatic', phone: 'automatic' },
  phoneSignIn: 'on',
};
const OTHER: Rules = {
  collision: 'contact',
  delivery: 'registered',
  promote: { email: 'manual', phone: 'automatic' },
  phoneSignIn: 'existing',
};

/**
 * How many sequences: PROPERTY_RUNS makes longer runs, PROPERTY_SEED the same again, PROPERTY_SHRINK=off the first
 * failure as it was found.
 */
const RUNS = Number(process.env['PROPERTY_RUNS'] ?? '12');
const SEED = Number(process.env['PROPERTY_SEED'] ?? Date.now() % 1_000_000);
const SCENES = 48;
/** For the runs and, after a failure, for shrinking it: the smallest found by then is told. */
const LIMIT_MS = 120_000 + RUNS * 5_000;

let runs = 0;
/** What the latest sequence has done so far: all there is to tell of one that never ends. */
let latest: readonly string[] = [];

async function playThrough(world: World, begin: readonly number[], sequence: readonly Step[]) {
  runs += 1;
  // Of a sequence that failed, something may still have been on its way.
  await world.arrivals();
  const stage: Play = {
    world,
    model: createModel(world.rules),
    cast: newCast(),
    suffix: `${Date.now().toString(36)}${runs}`,
    next: (
      (count) => () =>
        ++count
    )(0),
    ledger: createComparisonLedger(),
    script: [],
    tally: tallies,
    rows: [],
  };
  latest = stage.script;
  try {
    for (const [who, kind] of begin.entries())
      for (const step of beginningOf(who, kind)) await play(stage, step);
    for (const step of sequence) await play(stage, step);
  } catch (error) {
    throw new Error(`${stage.script.join('\n')}\n${String(error)}`, { cause: error });
  }
}

const tallies = new Map<string, number>();

for (const rules of [USUAL, OTHER]) {
  const name = `the house against its model: ${rules.collision}, ${rules.delivery}`;
  eachDatabase(name, (database) => {
    let world: World;
    beforeAll(async () => {
      world = await openWorld(database(), rules);
    });
    afterAll(async () => {
      await world[Symbol.asyncDispose]();
    });

    it('holds its invariants through whatever happens', { timeout: 2 * LIMIT_MS }, async () => {
      const before = runs;
      console.log(`PROPERTY_SEED=${SEED} PROPERTY_RUNS=${RUNS}`);
      await fc
        .assert(
          fc.asyncProperty(beginnings, sequences(SCENES), (begin, scenes) =>
            playThrough(world, begin, scenes.flat()),
          ),
          {
            numRuns: RUNS,
            seed: SEED,
            endOnFailure: process.env['PROPERTY_SHRINK'] === 'off',
            interruptAfterTimeLimit: LIMIT_MS,
            markInterruptAsFailure: true,
          },
        )
        .catch((error: unknown) => {
          throw new Error(`the latest steps:\n${latest.slice(-20).join('\n')}`, { cause: error });
        });
      expect(runs - before).toBe(RUNS);
    });
  });
}

afterAll(() => {
  if (process.env['PROPERTY_TALLY'] === undefined) return;
  const lines = [...tallies].sort().map(([what, count]) => `${count}\t${what}`);
  console.log(lines.join('\n'));
});
