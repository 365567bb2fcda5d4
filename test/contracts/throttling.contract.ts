import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { DomainError } from '../../src/core/errors.js';
import type {
  Charge,
  LimiterName,
  LimitOverrides,
  Throttle,
  ThrottleObserver,
} from '../../src/throttling/index.js';

/** A store under test, with its own empty space. */
export interface ThrottleHarness {
  open(overrides?: LimitOverrides, observer?: ThrottleObserver): Throttle;
  /** Moves time for the clock and for the store. */
  elapse(seconds: number): Promise<void>;
  dispose(): Promise<void>;
}

export function movableClock(): Clock & { advance(seconds: number): void } {
  const start = Date.UTC(2026, 0, 1);
  let offsetMs = 0;
  return {
    get offsetMs() {
      return offsetMs;
    },
    now: () => new Date(start + offsetMs),
    advance: (seconds) => {
      offsetMs += seconds * 1000;
    },
  };
}

export async function refusalOf(call: Promise<unknown>): Promise<DomainError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof DomainError) return error;
  throw new Error(`expected a refusal, got ${String(error)}`);
}

export async function admittedOf(throttle: Throttle, charges: readonly Charge[], times: number) {
  const verdicts = await Promise.all(
    Array.from({ length: times }, () => throttle.tryConsume(charges)),
  );
  return verdicts.filter((verdict) => verdict.admitted).length;
}

const send = (key: string): Charge => ({ limiter: 'sendsPerAddressShort', key });

/** What every store of soft limits must do. */
export function throttlingContract(name: string, make: () => Promise<ThrottleHarness>): void {
  describe(`throttling contract: ${name}`, () => {
    let harness: ThrottleHarness;
    beforeEach(async () => {
      harness = await make();
    });
    afterEach(() => harness.dispose());

    it('admits exactly the points of a limiter in a window, then says how long to wait (T4)', async () => {
      const throttle = harness.open();
      for (let i = 0; i < 5; i += 1) await throttle.consume([send('+84912345678')]);
      const refusal = await refusalOf(throttle.consume([send('+84912345678')]));
      expect(refusal.reason).toBe('RATE_LIMITED');
      expect(refusal.retryAfterSeconds).toBeGreaterThan(3590);
      expect(refusal.retryAfterSeconds).toBeLessThanOrEqual(3600);
      await throttle.consume([send('+84912345679')]);
    });

    it('tells nothing about which limiter or key refused', async () => {
      const throttle = harness.open({ sendsPerAddressShort: { points: 1, windowSeconds: 60 } });
      await throttle.consume([send('an@example.com')]);
      const refusal = await refusalOf(throttle.consume([send('an@example.com')]));
      expect(refusal.metadata).toEqual({});
      expect(refusal.violations).toEqual([]);
      expect(refusal.message).not.toMatch(/example|address|send/i);
    });

    it('opens again when the window ends, not before', async () => {
      const throttle = harness.open({ sendsPerAddressShort: { points: 2, windowSeconds: 600 } });
      expect(await admittedOf(throttle, [send('a')], 3)).toBe(2);
      await harness.elapse(590);
      const refusal = await refusalOf(throttle.consume([send('a')]));
      expect(refusal.retryAfterSeconds).toBeLessThanOrEqual(10);
      await harness.elapse(11);
      expect(await admittedOf(throttle, [send('a')], 3)).toBe(2);
    });

    it('lets exactly 5 of 200 parallel charges pass at a limit of 5', async () => {
      const throttle = harness.open({ sendsPerAddressShort: { points: 5, windowSeconds: 3600 } });
      expect(await admittedOf(throttle, [send('a')], 200)).toBe(5);
      expect(await admittedOf(throttle, [send('a')], 10)).toBe(0);
      await harness.elapse(10);
      expect(await admittedOf(throttle, [send('a')], 10)).toBe(0);
    });

    it('answers with the longest wait of several exhausted limiters and names them in process', async () => {
      const throttle = harness.open({
        sendsPerAddressShort: { points: 1, windowSeconds: 60 },
        sendsPerAddressLong: { points: 1, windowSeconds: 900 },
      });
      const both = [send('a'), { limiter: 'sendsPerAddressLong', key: 'a' }] as const;
      await throttle.consume(both);
      const verdict = await throttle.tryConsume(both);
      if (verdict.admitted) throw new Error('expected a refusal');
      expect(verdict.retryAfterSeconds).toBeGreaterThan(890);
      expect([...verdict.exhausted].sort()).toEqual([
        'sendsPerAddressLong',
        'sendsPerAddressShort',
      ]);
    });

    it('says whether all that is exhausted holds back, when it says so from memory too (T4)', async () => {
      const throttle = harness.open({ sendsPerAddressShort: { points: 1, windowSeconds: 60 } });
      const resend = { limiter: 'resendsPerSource', key: 'a' } as const;
      const holdsBack = async (charges: readonly Charge[]) => {
        const verdict = await throttle.tryConsume(charges);
        return verdict.admitted ? 'admitted' : verdict.holdsBack;
      };
      expect(await holdsBack([resend])).toBe('admitted');
      for (let i = 0; i < 3; i += 1) expect(await holdsBack([resend])).toBe(true);
      await throttle.consume([send('b')]);
      for (let i = 0; i < 3; i += 1) {
        expect(await holdsBack([send('b')])).toBe(false);
        expect(await holdsBack([resend, send('b')])).toBe(false);
      }
    });

    it('gives admissions back when another limiter refuses: refused calls drain nothing', async () => {
      const throttle = harness.open({
        sendsPerAddressShort: { points: 1, windowSeconds: 60 },
        smsInAll: { points: 10, windowSeconds: 3600 },
      });
      const all = { limiter: 'smsInAll', key: '' } as const;
      expect(await admittedOf(throttle, [send('victim'), all], 50)).toBe(1);
      expect(await admittedOf(throttle, [all], 20)).toBe(9);
    });

    it('gives back what a receipt is asked to, and nothing else', async () => {
      const throttle = harness.open({
        sendsPerAddressShort: { points: 1, windowSeconds: 60 },
        smsInAll: { points: 2, windowSeconds: 3600 },
      });
      const charges = [send('a'), { limiter: 'smsInAll', key: '' }] as const;
      for (let i = 0; i < 2; i += 1) {
        const receipt = await throttle.consume(charges);
        await receipt.giveBack([charges[0]]);
      }
      await throttle.consume([send('a')]);
      await refusalOf(throttle.consume([{ limiter: 'smsInAll', key: '' }]));
    });

    it('keeps attempts charged when another limiter refuses', async () => {
      const throttle = harness.open({
        sendsPerAddressShort: { points: 1, windowSeconds: 60 },
        callsPerSource: { points: 3, windowSeconds: 60 },
      });
      const call = { limiter: 'callsPerSource', key: 'x' } as const;
      await throttle.consume([send('a'), call]);
      await refusalOf(throttle.consume([send('a'), call]));
      await throttle.consume([call]);
      await refusalOf(throttle.consume([call]));
    });

    it('has one counter for everyone, whatever the key', async () => {
      const throttle = harness.open({ smsInAll: { points: 3, windowSeconds: 60 } });
      for (const key of ['', 'a', 'b']) await throttle.consume([{ limiter: 'smsInAll', key }]);
      await refusalOf(throttle.consume([{ limiter: 'smsInAll', key: 'c' }]));
    });

    it('counts each limiter of one address for itself', async () => {
      const throttle = harness.open();
      expect(await admittedOf(throttle, [send('+84912345678')], 20)).toBe(5);
      await throttle.consume([{ limiter: 'sendsPerAddressLong', key: '+84912345678' }]);
    });

    it('tells the observer what was decided of every charge, and of which share', async () => {
      const told: string[] = [];
      const observer: ThrottleObserver = {
        decided: (limiter, outcome) => told.push(`${limiter} ${outcome}`),
        insurance: (active) => told.push(`insurance ${active}`),
      };
      const throttle = harness.open({ smsInAll: { points: 3, windowSeconds: 60 } }, observer);
      throttle.remember('a', 'known');
      const charges = (source: string): Charge[] => [
        { ...send('a'), source },
        { limiter: 'smsInAll', key: '' },
      ];
      for (const source of ['known', 'stranger', 'stranger']) {
        await throttle.consume(charges(source));
      }
      await refusalOf(throttle.consume(charges('known')));
      expect(told).toEqual([
        'knownSendsPerAddressShort admitted',
        'smsInAll admitted',
        'sendsPerAddressShort admitted',
        'smsInAll admitted',
        'sendsPerAddressShort admitted',
        'smsInAll admitted',
        'knownSendsPerAddressShort admitted',
        'smsInAll refused',
      ]);
    });

    describe('sources that an address knows', () => {
      const DAY = 24 * 60 * 60;
      const from = (source: string | undefined, key = 'victim@example.com'): Charge[] => [
        { limiter: 'sendsPerAddressShort', key, source },
        { limiter: 'sendsPerAddressLong', key, source },
      ];
      const strangers = (throttle: Throttle) =>
        Promise.all(['x', 'y', 'z', undefined].map((s) => admittedOf(throttle, from(s), 5)));

      it('have a share that strangers cannot use up, for 90 days', async () => {
        const throttle = harness.open();
        throttle.remember('victim@example.com', 'home');
        await throttle.consume(from('elsewhere', 'other@example.com'));
        await harness.elapse(10 * DAY);
        const counts = await strangers(throttle);
        expect(counts.reduce((sum, count) => sum + count)).toBe(5);
        expect(await admittedOf(throttle, from('home'), 1)).toBe(1);
        await harness.elapse(79 * DAY);
        expect(await admittedOf(throttle, from('x'), 9)).toBe(5);
        expect(await admittedOf(throttle, from('home'), 1)).toBe(1);
        await harness.elapse(2 * DAY);
        expect(await admittedOf(throttle, from('x'), 9)).toBe(5);
        expect(await admittedOf(throttle, from('home'), 1)).toBe(0);
      });

      it('are known for 90 days more each time', async () => {
        const throttle = harness.open();
        for (let i = 0; i < 3; i += 1) {
          throttle.remember('victim@example.com', 'home');
          await throttle.consume(from('home', 'other@example.com'));
          await harness.elapse(60 * DAY);
        }
        await strangers(throttle);
        expect(await admittedOf(throttle, from('home'), 1)).toBe(1);
      });

      it('end each for itself', async () => {
        const throttle = harness.open();
        throttle.remember('victim@example.com', 'home');
        await throttle.consume(from('elsewhere', 'other@example.com'));
        await harness.elapse(60 * DAY);
        throttle.remember('victim@example.com', 'work');
        await throttle.consume(from('elsewhere', 'other@example.com'));
        await harness.elapse(31 * DAY);
        await strangers(throttle);
        expect(await admittedOf(throttle, from('home'), 1)).toBe(0);
        expect(await admittedOf(throttle, from('work'), 1)).toBe(1);
      });

      it('have no more than their share, and take nothing of the strangers’', async () => {
        const throttle = harness.open();
        for (const source of ['home', 'work']) throttle.remember('victim@example.com', source);
        expect(await admittedOf(throttle, from('home'), 20)).toBe(5);
        expect(await admittedOf(throttle, from('work'), 20)).toBe(0);
        expect(await admittedOf(throttle, from('x'), 20)).toBe(5);
      });

      it('are known to that address alone', async () => {
        const throttle = harness.open();
        throttle.remember('attacker@example.com', 'x');
        throttle.remember('victim@example.com', 'home');
        await strangers(throttle);
        expect(await admittedOf(throttle, from('x'), 3)).toBe(0);
        expect(await admittedOf(throttle, from('x', 'attacker@example.com'), 3)).toBe(3);
        expect(await admittedOf(throttle, from('home'), 3)).toBe(3);
      });

      it('get back what sent nothing, in the share that was charged', async () => {
        const throttle = harness.open();
        throttle.remember('victim@example.com', 'home');
        for (let i = 0; i < 12; i += 1) {
          const charges = from('home');
          const receipt = await throttle.consume(charges);
          await receipt.giveBack(charges);
        }
        expect(await admittedOf(throttle, from('home'), 20)).toBe(5);
        expect(await admittedOf(throttle, from('x'), 20)).toBe(5);
      });
    });

    it('admits a call without charges', async () => {
      const receipt = await harness.open().consume([]);
      await expect(receipt.giveBack([])).resolves.toBeUndefined();
    });

    it('agrees with a naive count for any sequence of calls (property)', async () => {
      const points = { smsInAll: 7, sendsPerAddressShort: 2, sendsPerAddressLong: 4 } as const;
      const names = Object.keys(points) as (keyof typeof points)[];
      const charge = fc.record({
        limiter: fc.constantFrom(...names),
        key: fc.constantFrom('a', 'b'),
      });
      const step = fc.oneof(
        { weight: 9, arbitrary: fc.array(charge, { minLength: 1, maxLength: 4 }) },
        { weight: 1, arbitrary: fc.constant('window ends' as const) },
      );
      const overrides: Partial<Record<LimiterName, { points: number; windowSeconds: number }>> = {};
      for (const limiter of names)
        overrides[limiter] = { points: points[limiter], windowSeconds: 600 };
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          const throttle = harness.open(overrides);
          // Keys of one run are its own; what `everyone` shares is reset by ending the window.
          const run = randomUUID();
          await harness.elapse(601);
          let counts = new Map<string, number>();
          for (const charges of steps) {
            if (charges === 'window ends') {
              await harness.elapse(601);
              counts = new Map();
              continue;
            }
            const next = new Map(counts);
            for (const { limiter, key } of charges) {
              const id = limiter === 'smsInAll' ? limiter : `${limiter} ${key}`;
              next.set(id, (next.get(id) ?? 0) + 1);
            }
            const fits = [...next].every(
              ([id, count]) => count <= (points[id.split(' ')[0] as keyof typeof points] ?? 0),
            );
            const verdict = await throttle.tryConsume(
              charges.map(({ limiter, key }) => ({ limiter, key: `${run} ${key}` })),
            );
            expect(verdict.admitted).toBe(fits);
            if (fits) counts = next;
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}
