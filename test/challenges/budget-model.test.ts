import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { sql } from 'kysely';
import { expect, it } from 'vitest';
import {
  budgetsOfSend,
  chargeGuess,
  clearBudgets,
  codeMatches,
  drawCode,
  type GuessKey,
  type GuessTarget,
  LONG_CODE_LENGTH,
  lockBudgets,
  mayCompare,
  openSlot,
  redeemChallenge,
  wrongGuess,
} from '../../src/challenges/index.js';
import { DomainError } from '../../src/core/errors.js';
import { systemRandom } from '../../src/core/ids.js';
import { keyRing } from '../../src/core/keys.js';
import { type Db, sqlNow } from '../../src/db/index.js';
import { eachDatabase } from '../support/databases.js';
import { createTestClock } from '../support/test-clock.js';
import { type Answer, createBudgetModel, type Lane, MODEL } from './budget-model.js';

const ring = keyRing([randomBytes(32)]);
const budgetPolicy = {
  maxFailures: MODEL.maxFailures,
  lockoutSeconds: MODEL.lockout,
  growingWaits: false,
  window: 'last' as const,
};
const codePolicy = { length: 6, ttlSeconds: MODEL.codeLife, cooldownSeconds: 0 };
const now = sql<Date>`(select now from t)`;

/** Two accounts, two addresses, and the statements of the house on them; the clock is moved by hand. */
async function openBank(db: Db) {
  const clock = createTestClock();
  const accounts = [systemRandom.id(), systemRandom.id()];
  const addresses = [randomBytes(32), randomBytes(32)];
  const codes = new Map<number, { code: string; address: number }>();
  await sql`insert into accounts (account_id, status, created_at, updated_at)
    select id, 'active', now(), now() from unnest(${accounts}::uuid[]) id`.execute(db);
  const accountOf = (index: number) => accounts[index] ?? '';
  const addressOf = (index: number) => addresses[index] ?? Buffer.alloc(0);
  const bindingOf = (account: number, address: number) => ({
    purpose: 'verify' as const,
    subject: accountOf(account),
    channel: 'sms' as const,
    destination: `address ${address}`,
  });

  return {
    clock,

    async wear(row: { kind: 'account' | 'address'; index: number; lane: Lane }, wrong: number) {
      const subject =
        row.kind === 'account'
          ? sql`uuid_send(${accountOf(row.index)}::uuid)`
          : sql`${addressOf(row.index)}::bytea`;
      await sql`insert into guess_budgets
          (subject, channel, lane, failures, locks, window_failures, window_started_at)
        values (${subject}, 'sms', ${row.lane}, 0, 0, ${wrong}, ${sqlNow(clock)})`.execute(db);
    },

    async send(account: number, address: number, how: Lane) {
      const binding = bindingOf(account, address);
      const [short, long] = [6, LONG_CODE_LENGTH].map((length) =>
        drawCode(systemRandom, ring, binding, length),
      );
      if (short === undefined || long === undefined) throw new Error('both are drawn');
      const slot = {
        candidateId: systemRandom.handle(),
        purpose: binding.purpose,
        channel: binding.channel,
        caller: '',
        addressSubject: addressOf(address),
        destinationSealed: Buffer.from('sealed'),
        short,
        long,
      };
      const own = sql`uuid_send(${accountOf(account)}::uuid)`;
      const { rows } = await sql<{ long_code: boolean }>`
        with t as materialized (select ${sqlNow(clock)} as now),
        budgets as materialized (${budgetsOfSend(now, 'sms', {
          account: how === 'session' ? own : undefined,
          address: addressOf(address),
        })}),
        gate as materialized (
          select a.account_id, a.proof_epoch, b.needs_long_code as long_code from accounts a, budgets b
          where a.account_id = ${accountOf(account)}::uuid and b.account_wait is null
        ),
        slot as (${openSlot(now, slot, codePolicy, sql`gate`)})
        select long_code from slot`.execute(db);
      const [sent] = rows;
      if (sent === undefined) return 'VERIFICATION_LOCKED';
      codes.set(account, { code: (sent.long_code ? long : short).code, address });
      return sent.long_code ? 'long' : 'short';
    },

    /** As a confirmation does it: charge, judge, and for the right code redeem and clear. */
    async guess(
      account: number,
      lane: Lane,
      right: boolean,
    ): Promise<{ answer: Answer; judged: boolean }> {
      const { rows: slots } = await sql<{ challenge_id: string }>`
        select challenge_id from challenges where account_id = ${accountOf(account)}::uuid`.execute(
        db,
      );
      const target: GuessTarget = {
        challengeId: slots[0]?.challenge_id ?? systemRandom.handle(),
        accountId: lane === 'session' ? accountOf(account) : undefined,
        purpose: 'verify',
        channel: 'sms',
        caller: '',
      };
      const guess = await chargeGuess(db, clock, target, budgetPolicy, {
        epoch: sql<number>`(select proof_epoch from accounts a where a.account_id = c.account_id)`,
        context: sql<null>`null::text`,
      });
      if (guess === undefined) return { answer: { name: 'CODE_EXPIRED' }, judged: false };
      const sent = codes.get(account);
      const code = right
        ? (sent?.code ?? '')
        : [...(sent?.code ?? '')].reverse().join('').replace(/^./, 'x');
      let judged = false;
      try {
        judged = mayCompare(guess, lane, budgetPolicy);
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        return { answer: { name: error.reason } as Answer, judged };
      }
      const binding = bindingOf(account, sent?.address ?? 0);
      if (!judged || !codeMatches(ring, binding, guess.challengeId, code, guess.codeHash)) {
        const wrong = wrongGuess('code', guess, lane, budgetPolicy);
        return {
          answer: { name: 'CODE_INVALID', left: Number(wrong.metadata['attempts_left']) },
          judged,
        };
      }
      const key: GuessKey = { channel: 'sms', lane };
      const { rows } = await sql`
        with t as materialized (select ${sqlNow(clock)} as now),
        account as materialized (
          select account_id, proof_epoch from accounts where account_id = ${guess.accountId}::uuid for no key update
        ),
        locked as materialized (${lockBudgets(
          key,
          sql`select uuid_send(account_id) as subject, ${guess.account.charged}::boolean as charged from account
            union all select ${guess.addressSubject}::bytea, ${guess.address.charged}::boolean`,
        )}),
        redeemed as (${redeemChallenge(clock, guess, target, { account: sql`account`, after: sql`locked` })}),
        cleared as (${clearBudgets(key, { locked: sql`locked`, when: sql`select from redeemed` })})
        select from redeemed`.execute(db);
      expect(rows).toHaveLength(1);
      return { answer: { name: 'right' }, judged };
    },

    async rows() {
      const { rows } = await sql<{ subject: Buffer; lane: Lane; failures: number; window: number }>`
        select subject, lane, failures, window_failures as window from guess_budgets
        where subject in (${sql.join([
          ...accounts.map((id) => sql`uuid_send(${id}::uuid)`),
          ...addresses.map((subject) => sql`${subject}::bytea`),
        ])})`.execute(db);
      return Object.fromEntries(
        rows.map(({ subject, lane, failures, window }) => {
          const address = addresses.findIndex((candidate) => candidate.equals(subject));
          const id = accounts.findIndex(
            (candidate) => candidate.replaceAll('-', '') === subject.toString('hex'),
          );
          const name = address === -1 ? `account ${id}` : `address ${address}`;
          return [`${name} ${lane}`, { failures, window }];
        }),
      );
    },
  };
}

const which = fc.constantFrom(0, 1);
const lane = fc.constantFrom<Lane>('session', 'anonymous');
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('wrong' as const),
      account: which,
      lane,
      times: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('right' as const), account: which, lane }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      account: which,
      address: which,
      how: lane,
    }),
  },
  // Hundreds, and limits that are none: what real time adds between two steps decides nothing.
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      seconds: fc.constantFrom(100, 900, 1_000, 3_000, 40_000, MODEL.window),
    }),
  },
);
const worn = fc.record({
  kind: fc.constantFrom('account' as const, 'address' as const),
  index: which,
  lane,
  wrong: fc.integer({ min: 40, max: 50 }),
});
const scripts = fc.record({
  worn: fc.uniqueArray(worn, {
    maxLength: 3,
    selector: (row) => `${row.kind} ${row.index} ${row.lane}`,
  }),
  steps: fc.array(step, { minLength: 5, maxLength: 30 }),
});

type Script = typeof scripts extends fc.Arbitrary<infer T> ? T : never;

/** Goes everywhere once, so that the tour below does not depend on what is drawn. */
const tour: Script = {
  worn: [{ kind: 'account', index: 1, lane: 'session', wrong: 50 }],
  steps: [
    { do: 'wrong', account: 0, lane: 'session', times: 6 },
    { do: 'send', account: 0, address: 0, how: 'session' },
    { do: 'wait', seconds: 1_000 },
    { do: 'wrong', account: 0, lane: 'session', times: 1 },
    { do: 'send', account: 1, address: 0, how: 'session' },
    { do: 'right', account: 1, lane: 'session' },
    { do: 'right', account: 1, lane: 'session' },
    { do: 'wrong', account: 0, lane: 'anonymous', times: 4 },
    { do: 'send', account: 0, address: 1, how: 'session' },
    // The fifth shuts the account's row; the sixth finds the address's open, and is not judged.
    { do: 'wrong', account: 0, lane: 'anonymous', times: 2 },
  ],
};

eachDatabase('guess budgets against a model', (database, profile) => {
  it('judge what the model judges, answer what it answers, and count what it counts (rules 2, 3; T2, T3)', async () => {
    const met = new Set<string>();
    await fc.assert(
      fc.asyncProperty(scripts, async (script) => {
        const model = createBudgetModel();
        const bank = await openBank(database().db);
        for (const { wrong, ...row } of script.worn) {
          model.wear(row, wrong);
          await bank.wear(row, wrong);
        }
        for (const [account, address] of [
          [0, 0],
          [1, 0],
        ] as const) {
          expect(await bank.send(account, address, 'anonymous')).toBe(
            model.send(account, address, 'anonymous'),
          );
        }
        for (const one of script.steps) {
          if (one.do === 'wait') {
            model.advance(one.seconds);
            bank.clock.advance({ seconds: one.seconds });
          } else if (one.do === 'send') {
            const sent = await bank.send(one.account, one.address, one.how);
            expect(sent).toBe(model.send(one.account, one.address, one.how));
            met.add(`sent ${sent}`);
          } else {
            for (let count = 0; count < (one.do === 'wrong' ? one.times : 1); count += 1) {
              const right = one.do === 'right';
              const found = await bank.guess(one.account, one.lane, right);
              expect(found).toEqual(model.guess(one.account, one.lane, right));
              met.add(`${found.answer.name}${found.judged ? '' : ' unjudged'}`);
            }
          }
        }
        expect(await bank.rows()).toEqual(model.rows());
      }),
      { numRuns: profile === 'postgres' ? 120 : 40, examples: [[tour]] },
    );
    // The scripts have been everywhere: each answer has been given, and silence kept.
    expect([...met].sort()).toEqual([
      'CODE_ATTEMPTS_EXHAUSTED unjudged',
      'CODE_EXPIRED unjudged',
      'CODE_INVALID',
      'CODE_INVALID unjudged',
      'VERIFICATION_LOCKED unjudged',
      'right',
      'sent VERIFICATION_LOCKED',
      'sent long',
      'sent short',
    ]);
  }, 60_000);
});
