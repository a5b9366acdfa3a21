import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { categoricalDifference, cdfRadius, numericDifference } from '#src/statistics/distribution.ts';
import { logMixtureRatio, type MeanSample } from '#src/statistics/mean.ts';

const options = { tau: 0.1, start: 50, alpha: 0.05 };

function sharesOf(...arms: Record<string, number>[]): Map<string, readonly [MeanSample, MeanSample]> {
  const [a = {}, b = {}] = arms;
  const sample = (arm: Record<string, number>, name: string): MeanSample => {
    const n = Object.values(arm).reduce((sum, each) => sum + each, 0);
    const mean = (arm[name] ?? 0) / n;
    return { n, mean, variance: mean * (1 - mean) };
  };
  return new Map(Object.keys({ ...a, ...b }).map((name) => [name, [sample(a, name), sample(b, name)]]));
}

describe('the difference of two shares of categories', () => {
  test('of two categories is one test', () => {
    const shares = sharesOf({ no: 630, yes: 370 }, { no: 60, yes: 140 });
    const found = categoricalDifference(shares, 0.1, options);
    const [a, b] = shares.get('yes') ?? [];
    if (!a || !b) throw new Error('No share.');
    expect(found.observed).toBeCloseTo(0.33, 12);
    expect(found.p).toBeCloseTo(Math.exp(-logMixtureRatio(a, b, { ...options, difference: 0.1 })), 12);
    expect(found.p).toBeLessThan(0.001);
  });

  test('of more the level is split, and the worst is named', () => {
    const two = categoricalDifference(sharesOf({ a: 500, b: 500 }, { a: 350, b: 150 }), 0.1, options);
    const three = categoricalDifference(
      sharesOf({ a: 500, b: 250, c: 250 }, { a: 350, b: 75, c: 75 }),
      0.1,
      options,
    );
    expect(three.category).toBe('a');
    expect(three.p).toBeCloseTo(3 * two.p, 12);
    expect(three.high).toBeGreaterThan(two.high);
  });

  test('within the limit nothing speaks against it; many equal answers speak for it', () => {
    const found = categoricalDifference(
      sharesOf({ a: 5_000, b: 5_000 }, { a: 4_900, b: 5_100 }),
      0.1,
      options,
    );
    expect(found.p).toBe(1);
    expect(found.high).toBeLessThan(0.1);
    expect(categoricalDifference(new Map(), 0.1, options)).toEqual({
      category: null,
      observed: 0,
      p: 1,
      high: 1,
    });
  });
});

describe('the time-uniform band of a distribution function', () => {
  /** Of the theorem: what A·√((ln ln(e·n/m) + C)/n) is ever left with, at its best η. */
  function missed(C: number): number {
    let least = Infinity;
    for (let eta = 1.0001; eta < 2 * 0.85 ** 2; eta += 0.0001) {
      const room = 0.85 - Math.sqrt((2 * (eta - 1)) / C);
      const gamma = (2 / eta) * room ** 2;
      if (room <= 0 || gamma <= 1) continue;
      least = Math.min(least, 4 * Math.exp(-gamma * C) * (1 + 1 / ((gamma - 1) * Math.log(eta))));
    }
    return least;
  }

  test.each([0.25, 0.1, 0.05, 0.01, 0.001, 1e-6, 1e-12])('keeps the level %d by the theorem', (alpha) => {
    const C = 0.8 * Math.log(1_612 / alpha);
    expect(cdfRadius(100, alpha)).toBeCloseTo(0.85 * Math.sqrt(C / 100), 12);
    expect(missed(C)).toBeLessThanOrEqual(alpha);
  });

  test("is up to 2 % wider than the authors' own program has it", () => {
    // confseq, empirical_process_lil_bound(1000, 0.05, 100, 0.85).
    const ratio = cdfRadius(1_000, 0.05) / 0.08204769;
    expect(ratio).toBeGreaterThan(1);
    expect(ratio).toBeLessThan(1.02);
  });

  test('says nothing of fewer than 100', () => {
    expect(cdfRadius(99, 0.05)).toBe(Infinity);
  });
});

describe('the difference of two distribution functions', () => {
  test('is that of Kolmogorov and Smirnov', () => {
    const values = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(values, values, (a, b) => {
        const counts = Array.from({ length: 10 }, (_, bin) => {
          const of = (all: readonly number[]): number => all.filter((value) => value === bin).length;
          return [of(a), of(b)] as const;
        });
        const at = (all: readonly number[], x: number): number =>
          all.filter((value) => value <= x).length / all.length;
        const expected = Math.max(...Array.from({ length: 10 }, (_, x) => Math.abs(at(a, x) - at(b, x))));
        expect(numericDifference(counts, 0.1, 0.05).observed).toBeCloseTo(expected, 12);
      }),
    );
  });

  test('alarms at its p and passes when it is surely small', () => {
    const apart = numericDifference(
      [
        [9_000, 200],
        [1_000, 800],
      ],
      0.1,
      0.05,
    );
    expect(apart.observed).toBeCloseTo(0.7, 12);
    expect(apart.p).toBeLessThan(1e-6);
    expect(apart.observed - cdfRadius(10_000, apart.p / 2) - cdfRadius(1_000, apart.p / 2)).toBeGreaterThan(
      0.1,
    );
    const same = numericDifference([[50_000, 50_000]], 0.1, 0.05);
    expect(same.p).toBe(1);
    expect(same.high).toBeLessThan(0.05);
    expect(numericDifference([[0, 5]], 0.1, 0.05)).toEqual({ observed: 0, p: 1, high: 1 });
  });
});
