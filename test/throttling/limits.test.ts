import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limiterNames, resolveLimits } from '../../src/throttling/index.js';
import { INSURED_REPLICAS, insurancePoints } from '../../src/throttling/limits.js';

describe('the catalogue of soft limits', () => {
  it('takes an override for every limiter (T5: all of it is configurable)', () => {
    for (const name of limiterNames) {
      const limits = resolveLimits({ [name]: { points: 8, windowSeconds: 17 } });
      expect(limits[name]).toMatchObject({
        name,
        points: 8,
        windowSeconds: 17,
        insurancePoints: 2,
      });
    }
  });

  it('leaves what is not overridden as it was', () => {
    const { smsInAll: changed, ...rest } = resolveLimits({
      smsInAll: { points: 1, windowSeconds: 1 },
    });
    const { smsInAll: original, ...defaults } = resolveLimits();
    expect(rest).toEqual(defaults);
    expect(changed.points).not.toBe(original.points);
  });

  it('lasts as long as the cooldown where it stands in for it, unless it has a size of its own', () => {
    const { resendsPerSource, ...rest } = resolveLimits({}, 300);
    expect(resendsPerSource).toMatchObject({ points: 1, windowSeconds: 300, insurancePoints: 1 });
    const { resendsPerSource: _, ...defaults } = resolveLimits();
    expect(rest).toEqual(defaults);
    const own = { resendsPerSource: { points: 3, windowSeconds: 60 } };
    expect(resolveLimits(own, 300).resendsPerSource).toMatchObject(own.resendsPerSource);
  });

  it('holds back anonymous calls, and refuses all others', () => {
    const limits = resolveLimits();
    const holding = limiterNames.filter((name) => limits[name].whenExhausted === 'hold back');
    expect(holding).toEqual(['anonymousInAll', 'resendsPerSource']);
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e12])(
    'refuses a limit of %s points or seconds',
    (bad) => {
      expect(() => resolveLimits({ smsInAll: { points: bad, windowSeconds: 60 } })).toThrow(
        /smsInAll\.points/,
      );
      expect(() => resolveLimits({ smsInAll: { points: 1, windowSeconds: bad } })).toThrow(
        /smsInAll\.windowSeconds/,
      );
    },
  );

  it('is never looser on insurance, and never shut (T5)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), (points) => {
        const insured = insurancePoints(points);
        expect(insured).toBeGreaterThanOrEqual(1);
        expect(insured).toBeLessThanOrEqual(points);
        if (points >= INSURED_REPLICAS) {
          expect(insured * INSURED_REPLICAS).toBeLessThanOrEqual(points);
        }
      }),
    );
  });
});
