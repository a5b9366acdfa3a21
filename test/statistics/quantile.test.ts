import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  quantileAboveOtherP,
  quantileAboveP,
  quantileHigh,
  quantileLow,
  quantileStart,
  RankedBins,
} from '#src/statistics/quantile.ts';

/** Bins of one value each: as if there were no sketch. */
function exactly(values: readonly number[]): RankedBins {
  return new RankedBins(
    values.toSorted((a, b) => a - b).map((value) => ({ low: value, high: value, count: 1 })),
  );
}

const upTo = (n: number, from = 0): RankedBins =>
  exactly(Array.from({ length: n }, (_, index) => from + index + 1));

describe('ranks of a sketch', () => {
  test('find the bin of each value', () => {
    const bins = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(bins, (counts) => {
        const ranked = new RankedBins(counts.map((count, index) => ({ low: index, high: index + 1, count })));
        const values = counts.flatMap((count, index) => Array.from({ length: count }, () => index));
        expect(ranked.n).toBe(values.length);
        for (const [index, value] of values.entries()) {
          expect([ranked.low(index + 1), ranked.high(index + 1)]).toEqual([value, value + 1]);
        }
        expect([ranked.low(0), ranked.high(values.length + 1)]).toEqual([-Infinity, Infinity]);
      }),
    );
  });
});

describe('the confidence sequence of a quantile', () => {
  test('has the ranks of the published formula, at half the level for either end', () => {
    // ℓ = (1.4·ln ln(2100) + ln(10/0.05)) / 1000, u = 1.5·√(0.09·ℓ) + 0.8·ℓ.
    const l = (1.4 * Math.log(Math.log(2_100)) + Math.log(200)) / 1_000;
    const u = 1.5 * Math.sqrt(0.9 * 0.1 * l) + 0.8 * l;
    expect(u).toBeCloseTo(0.0475, 3);
    expect(quantileLow(upTo(1_000), 0.9, 0.025)).toBe(Math.ceil(1_000 * (0.9 - u)));
    expect(quantileHigh(upTo(1_000), 0.9, 0.025)).toBe(Math.floor(1_000 * (0.9 + u)) + 1);
  });

  test('holds the observed quantile, and is wider for a smaller level', () => {
    const values = fc.array(fc.double({ min: 0, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (observed, q) => {
        const bins = exactly(observed);
        const quantile = bins.low(Math.ceil(q * bins.n));
        expect(quantileLow(bins, q, 0.05)).toBeLessThanOrEqual(quantile);
        expect(quantileHigh(bins, q, 0.05)).toBeGreaterThanOrEqual(quantile);
        expect(quantileLow(bins, q, 0.001)).toBeLessThanOrEqual(quantileLow(bins, q, 0.05));
        expect(quantileHigh(bins, q, 0.001)).toBeGreaterThanOrEqual(quantileHigh(bins, q, 0.05));
      }),
    );
  });

  test('of nothing is anything', () => {
    const none = new RankedBins([]);
    expect([quantileLow(none, 0.5, 0.05), quantileHigh(none, 0.5, 0.05)]).toEqual([-Infinity, Infinity]);
  });

  test.each([0.01, 0.5, 0.95, 0.99])('of %d starts where both of its ends are values', (q) => {
    const start = quantileStart(q, 0.01);
    const ends = (n: number): boolean =>
      Number.isFinite(quantileLow(upTo(n), q, 0.01)) && Number.isFinite(quantileHigh(upTo(n), q, 0.01));
    expect(ends(start)).toBe(true);
    expect(ends(start - 1)).toBe(false);
  });

  test('of a p99 takes some thousand', () => {
    expect(quantileStart(0.99, 0.01)).toBeGreaterThan(2_000);
    expect(quantileStart(0.99, 0.01)).toBeLessThan(5_000);
  });
});

describe('the p of a quantile', () => {
  test('is the least level at which it alarms', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 2_000 }), fc.integer({ min: 0, max: 2_000 }), (n, limit) => {
        const bins = upTo(n);
        const p = quantileAboveP(bins, 0.5, limit);
        const alarms = (level: number): boolean => quantileLow(bins, 0.5, level) > limit;
        expect(alarms(p)).toBe(p < 1);
        if (p > 1e-300) expect(alarms(p * 0.9999)).toBe(false);
      }),
    );
  });

  test('against another arm splits the level over both ends', () => {
    const [bins, other] = [upTo(2_000, 300), upTo(3_000)];
    const double = (value: number): number => value * 0.7;
    const p = quantileAboveOtherP(bins, other, 0.5, double);
    const alarms = (level: number): boolean =>
      quantileLow(bins, 0.5, level / 2) > double(quantileHigh(other, 0.5, level / 2));
    expect(p).toBeLessThan(0.5);
    expect(p).toBeGreaterThan(1e-12);
    expect(alarms(p)).toBe(true);
    expect(alarms(p * 0.999)).toBe(false);
  });
});
