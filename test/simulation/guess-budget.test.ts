import { readFile } from 'node:fs/promises';
import { describe, expect, it, vi } from 'vitest';
import { codeMatches } from '../../src/challenges/code.js';
import { failuresOf } from '../accounts/house.js';
import { attackOnce, claims, claimsAfterProofs, phoneSignIn, reset, type Way } from './attacker.js';
import { type Judged, type Laboratory, openLaboratory, worstThirtyDays } from './laboratory.js';
import { type Errand, errands } from './owner.js';
import { chanceOf, type Odds, onPaper, paperRules } from './paper-rules.js';

// Watched, not replaced: what is compared with a code is what counts as judged.
vi.mock('../../src/challenges/code.js', { spy: true });

const SEED = 20_261_121;
const open = (env: Readonly<Record<string, string>> = {}) =>
  openLaboratory(vi.mocked(codeMatches), SEED, env);

interface Campaign {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  readonly ways: readonly Way[];
  /** What the owner does meanwhile. */
  readonly errands: readonly Errand[];
  /** Between the first attack and all others. */
  readonly pauseDays?: number;
  readonly days: number;
}

const doors = [phoneSignIn, phoneSignIn, reset('phone'), reset('email')];
const campaigns: readonly Campaign[] = [
  {
    name: 'every purpose, by typed recovery',
    env: {},
    ways: [claims, claimsAfterProofs, phoneSignIn, reset('phone'), reset('email')],
    errands: [],
    days: 30,
  },
  {
    name: 'what opens the account, by typed recovery',
    env: {},
    ways: doors,
    errands: errands('typed'),
    days: 30,
  },
  // Begins a window with a few guesses and comes back at its end: no 30 days may see what two windows have.
  {
    name: 'the same, patiently, across the end of a window',
    env: {},
    ways: doors,
    errands: [],
    pauseDays: 29,
    days: 40,
  },
  {
    name: 'what opens the account, by registered recovery',
    env: { RECOVERY_DELIVERY: 'registered' },
    ways: [
      phoneSignIn,
      reset('username', 'phone'),
      reset('email', 'phone'),
      reset('phone', 'phone'),
    ],
    errands: errands('registered'),
    days: 30,
  },
];

/** Of a code of 20 digits any number may be judged: nobody lives to see one guessed. */
const short = (judged: readonly Judged[]) => judged.filter(({ digits }) => digits === 6);
const ofAccount = ({ judged, owner }: Laboratory) =>
  judged.filter(({ accountId }) => accountId === owner.accountId);

/**
 * Attacks whenever there is something to be had: at each lock's end, after each of the owner's errands, and
 * every ten days once that is no use. Between those moments nothing is judged, so that they are all.
 */
async function run(lab: Laboratory, campaign: Campaign): Promise<void> {
  const { ways, days, pauseDays } = campaign;
  const waiting = [...campaign.errands];
  if (pauseDays !== undefined) {
    await attackOnce(lab, ways);
    lab.advance({ days: pauseDays });
  }
  while (lab.today() < days) {
    const before = short(lab.judged).length;
    await attackOnce(lab, ways);
    const errand = waiting[0];
    if (short(lab.judged).length > before) lab.advance({ minutes: 15, seconds: 1 });
    else if (errand === undefined) lab.advance({ days: 10 });
    else {
      waiting.shift();
      lab.advance({ days: 1 });
      await lab.uncounted(() => errand(lab));
    }
  }
}

const results: string[][] = [];
const tell = (name: string, { judged, chance }: Odds, more: readonly number[] = []) => {
  const figures = [judged, ...more].map((figure) => figure.toLocaleString('en'));
  while (figures.length < 4) figures.push('');
  results.push([name, ...figures, `${(chance * 100).toPrecision(3)} %`]);
};

describe('an attacker of one account for 30 days, with every soft limit off (rule 3)', () => {
  it.each(campaigns)('$name: no more than is promised', { timeout: 180_000 }, async (campaign) => {
    await using lab = await open(campaign.env);
    await run(lab, campaign);
    const worst = worstThirtyDays(short(ofAccount(lab)));
    const chance = chanceOf(worstThirtyDays(ofAccount(lab)));
    const by = (channel: string) => worst.filter((guess) => guess.channel === channel).length;
    expect(by('sms')).toBeLessThanOrEqual(50);
    expect(by('email')).toBeLessThanOrEqual(50);
    expect(chance).toBeLessThanOrEqual(1e-4);
    // Of an address, whoever's account it is guessed for: 50 in each lane.
    const rows = new Map<string, Judged[]>();
    for (const guess of short(lab.judged)) {
      const row = `${guess.channel} ${guess.destination} ${guess.lane}`;
      rows.set(row, [...(rows.get(row) ?? []), guess]);
    }
    const perAddress = [...rows.values()].map((guesses) => worstThirtyDays(guesses).length);
    expect(Math.max(...perAddress)).toBeLessThanOrEqual(50);
    const everywhere = worstThirtyDays(short(lab.judged)).length;
    tell(`Countersign: ${campaign.name}`, { judged: worst.length, chance }, [
      by('sms'),
      by('email'),
      everywhere,
    ]);
  });

  it.each(paperRules)('beside it, "$name": hundreds of thousands', (rule) => {
    const attack = { days: 30, flowsAtOnce: doors.length, cooldownSeconds: 60 };
    const odds = onPaper(rule, attack);
    expect(odds.chance).toBeGreaterThan(0.4);
    tell(`"${rule.name}"`, odds);
  });

  it('is what docs/guess-budget.md tells', async () => {
    const page = await readFile(new URL('../../docs/guess-budget.md', import.meta.url), 'utf8');
    const table = results.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
    console.log(table);
    expect(page).toContain(table);
  });
});

it('observes as judged what the rows count and what the answers tell, and misses nothing by leaping', async () => {
  await using lab = await open();
  const answers = await attackOnce(lab, doors);
  const count = async (channel: 'email' | 'sms') =>
    (await failuresOf(lab.app, lab.owner.accountId, { channel, lane: 'anonymous' }))
      ?.window_failures;
  const by = (channel: string) =>
    short(ofAccount(lab)).filter((guess) => guess.channel === channel).length;
  expect([by('sms'), by('email')]).toEqual([5, 5]);
  expect([await count('sms'), await count('email')]).toEqual([5, 5]);
  expect(answers['CODE_INVALID']).toBe(10);
  // To the end of the lock and a little on, in small steps: an attack takes another minute.
  for (let minutes = 0; minutes <= 15; minutes += 3) {
    await attackOnce(lab, [phoneSignIn]);
    lab.advance({ minutes: 2 });
  }
  expect(by('sms')).toBe(10);
  expect(await count('sms')).toBe(10);
});
