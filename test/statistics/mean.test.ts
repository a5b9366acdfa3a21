import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  logMixtureRatio,
  meanAboveP,
  meanDifferenceInterval,
  type MeanSample,
} from '#src/statistics/mean.ts';

const fixture = z
  .object({
    formula: z.object({
      parameters: z.object({ alpha: z.number(), tau_squared: z.number(), start: z.number() }),
    }),
    tolerance: z.number(),
    cases: z.array(
      z.object({
        name: z.string(),
        a: z.string(),
        b: z.string(),
        rejects_at_n: z.number().nullable(),
        checkpoints: z.array(
          z.object({
            n: z.number(),
            log_lambda: z.number(),
            p_always_valid: z.number(),
            msprt_interval: z.tuple([z.number(), z.number()]).optional(),
          }),
        ),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/sequential/cases.json'), 'utf8')));

const { alpha, tau_squared, start } = fixture.formula.parameters;
const mixture = { tau: Math.sqrt(tau_squared), start };

const bernoulli = (successes: number, n: number): MeanSample => {
  const mean = successes / n;
  return { n, mean, variance: mean * (1 - mean) };
};

/** The two samples after each pair. */
function* samples(a: string, b: string): Generator<[MeanSample, MeanSample]> {
  let [ones, others] = [0, 0];
  for (let n = 1; n <= a.length; n++) {
    ones += Number(a[n - 1]);
    others += Number(b[n - 1]);
    yield [bernoulli(ones, n), bernoulli(others, n)];
  }
}

describe('the mixture SPRT', () => {
  test.each(fixture.cases)('of the pairs of $name is as published', ({ a, b, checkpoints, rejects_at_n }) => {
    let p = 1;
    let rejects: number | null = null;
    const open = new Map(checkpoints.map((checkpoint) => [checkpoint.n, checkpoint]));
    for (const [first, second] of samples(a, b)) {
      const ratio = logMixtureRatio(first, second, mixture);
      p = Math.min(p, Math.exp(-ratio));
      if (p <= alpha) rejects ??= first.n;
      const expected = open.get(first.n);
      if (!expected) continue;
      open.delete(first.n);
      expect(Math.abs(ratio - expected.log_lambda)).toBeLessThanOrEqual(fixture.tolerance);
      expect(Math.abs(p - expected.p_always_valid)).toBeLessThanOrEqual(fixture.tolerance);
      const interval = meanDifferenceInterval(first, second, { ...mixture, alpha });
      if (!expected.msprt_interval) expect(interval).toEqual([-Infinity, Infinity]);
      else {
        expect(Math.abs(interval[0] - expected.msprt_interval[0])).toBeLessThanOrEqual(fixture.tolerance);
        expect(Math.abs(interval[1] - expected.msprt_interval[1])).toBeLessThanOrEqual(fixture.tolerance);
      }
    }
    expect(open.size).toBe(0);
    expect(rejects).toBe(rejects_at_n);
  });

  const sample = fc
    .tuple(fc.integer({ min: 100, max: 100_000 }), fc.double({ min: 0.001, max: 0.999, noNaN: true }))
    .map(([n, rate]) => bernoulli(Math.max(1, Math.min(n - 1, Math.round(rate * n))), n));

  test("the interval's ends are what Λ just refutes, of arms of unequal size too", () => {
    fc.assert(
      fc.property(sample, sample, fc.double({ min: 1e-4, max: 0.5, noNaN: true }), (a, b, level) => {
        for (const difference of meanDifferenceInterval(a, b, { ...mixture, alpha: level })) {
          expect(logMixtureRatio(a, b, { ...mixture, difference })).toBeCloseTo(-Math.log(level), 6);
        }
      }),
    );
  });

  test('n pairs are two arms of n', () => {
    // The source's formula, with the variance V of a pair's difference.
    fc.assert(
      fc.property(sample, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (a, rate) => {
        const b = bernoulli(Math.round(rate * a.n), a.n);
        const [n, V, d] = [a.n, a.variance + b.variance, b.mean - a.mean];
        const wide = V + n * tau_squared;
        const expected = 0.5 * Math.log(V / wide) + (n ** 2 * tau_squared * d ** 2) / (2 * V * wide);
        expect(logMixtureRatio(a, b, mixture)).toBeCloseTo(expected, 8);
      }),
    );
  });

  test('says nothing below the start of either arm, or without variance', () => {
    const many = bernoulli(500, 1_000);
    for (const few of [bernoulli(0, 99), bernoulli(99, 99)]) {
      expect(logMixtureRatio(many, few, mixture)).toBe(0);
      expect(logMixtureRatio(few, many, mixture)).toBe(0);
      expect(meanAboveP(few, many, { ...mixture, difference: 0 })).toBe(1);
    }
    expect(logMixtureRatio(bernoulli(0, 1_000), bernoulli(1_000, 1_000), mixture)).toBe(0);
    expect(logMixtureRatio({ n: 0, mean: 0, variance: 0 }, many, { tau: 1, start: 0 })).toBe(0);
  });

  test('one-sided: as small as a number can be, where the ratio is beyond any', () => {
    const [a, b] = [
      { n: 37_411, mean: 0.0009890139263852877, variance: 0.0009880357778387036 },
      { n: 86_323, mean: 0.0200062555749916, variance: 0.019606005312859717 },
    ];
    expect(2 * Math.exp(logMixtureRatio(a, b, mixture))).toBe(Infinity);
    expect(meanAboveP(a, b, { ...mixture, difference: 0 })).toBeGreaterThan(0);
  });

  test('one-sided: nothing on the other side, and from half to all of the two-sided p on this one', () => {
    fc.assert(
      fc.property(sample, sample, (a, b) => {
        const p = meanAboveP(a, b, { ...mixture, difference: 0 });
        const both = Math.min(1, Math.exp(-logMixtureRatio(a, b, mixture)));
        if (b.mean <= a.mean) expect(p).toBe(1);
        else {
          expect(p).toBeGreaterThanOrEqual((both / 2) * (1 - 1e-12) - Number.MIN_VALUE);
          if (both < 1 && both > 0) expect(p).toBeLessThan(both);
        }
      }),
    );
  });
});
