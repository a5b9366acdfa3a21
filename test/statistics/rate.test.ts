import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { logRateEvidence, rateBound, rateP } from '#src/statistics/rate.ts';

const limit = fc.double({ min: 0.001, max: 0.999, noNaN: true });
const trials = fc
  .integer({ min: 1, max: 3_000 })
  .chain((n) => fc.integer({ min: 0, max: n }).map((successes) => ({ n, successes })));

/** ∫ over θ from θ₀ to 1 of (θ/θ₀)ˢ((1−θ)/(1−θ₀))ⁿ⁻ˢ under the arcsine law, with θ = sin²φ, where it is uniform in φ. */
function integrated({ n, successes }: { n: number; successes: number }, at: number): number {
  const from = Math.asin(Math.sqrt(at));
  const steps = 20_000;
  let sum = 0;
  for (let step = 0; step < steps; step++) {
    const theta = Math.sin(from + ((step + 0.5) / steps) * (Math.PI / 2 - from)) ** 2;
    sum += (theta / at) ** successes * ((1 - theta) / (1 - at)) ** (n - successes);
  }
  return Math.log(sum / steps);
}

describe('the evidence on a rate', () => {
  test.each([
    [{ n: 1, successes: 1 }, 0.1],
    [{ n: 40, successes: 9 }, 0.1],
    [{ n: 100, successes: 0 }, 0.02],
    [{ n: 60, successes: 60 }, 0.7],
  ])('of %o against %d is the mixture of likelihood ratios', (observed, at) => {
    expect(logRateEvidence('ABOVE', observed, at)).toBeCloseTo(integrated(observed, at), 6);
  });

  test('at the limit it is a martingale, and below it falls: what makes it valid at every look', () => {
    fc.assert(
      fc.property(trials, limit, fc.double({ min: 0, max: 1, noNaN: true }), ({ n, successes }, at, part) => {
        const ratio = (more: number): number =>
          Math.exp(
            logRateEvidence('ABOVE', { n: n + 1, successes: successes + more }, at) -
              logRateEvidence('ABOVE', { n, successes }, at),
          );
        const mean = (rate: number): number => rate * ratio(1) + (1 - rate) * ratio(0);
        expect(mean(at)).toBeCloseTo(1, 7);
        expect(mean(part * at)).toBeLessThanOrEqual(1 + 1e-7);
      }),
    );
  });

  test('the other side is the mirror image', () => {
    fc.assert(
      fc.property(trials, limit, ({ n, successes }, at) => {
        const mirrored = { n, successes: n - successes };
        expect(logRateEvidence('BELOW', { n, successes }, 1 - at)).toBeCloseTo(
          logRateEvidence('ABOVE', mirrored, 1 - (1 - at)),
          9,
        );
      }),
    );
  });

  test('at limits that nothing, or anything, exceeds', () => {
    expect(logRateEvidence('ABOVE', { n: 10, successes: 10 }, 1)).toBe(0);
    expect(logRateEvidence('BELOW', { n: 10, successes: 0 }, 0)).toBe(0);
    expect(rateP('ABOVE', { n: 10, successes: 1 }, 0)).toBe(0);
    expect(rateP('ABOVE', { n: 10, successes: 0 }, 0)).toBe(1);
    expect(rateP('BELOW', { n: 10, successes: 9 }, 1)).toBe(0);
    expect(rateP('BELOW', { n: 0, successes: 0 }, 0.5)).toBe(1);
  });

  test('of a hundred million trials it is a number', () => {
    const p = rateP('ABOVE', { n: 1e8, successes: 1.01e6 }, 0.01);
    expect(p).toBeGreaterThanOrEqual(0);
    expect(p).toBeLessThan(1e-10);
    expect(rateP('ABOVE', { n: 1e8, successes: 1e6 }, 0.01)).toBeGreaterThan(0.05);
  });
});

describe('the bounds of a rate', () => {
  const alpha = fc.double({ min: 1e-6, max: 0.5, noNaN: true });

  test('part what the evidence refutes from what it keeps', () => {
    fc.assert(
      fc.property(
        trials,
        alpha,
        fc.double({ min: 0.001, max: 0.999, noNaN: true }),
        (observed, level, at) => {
          const [low, high] = [rateBound('ABOVE', observed, level), rateBound('BELOW', observed, level)];
          fc.pre(Math.abs(at - low) > 1e-8 && Math.abs(at - high) > 1e-8);
          expect(logRateEvidence('ABOVE', observed, at) >= -Math.log(level)).toBe(at < low);
          expect(logRateEvidence('BELOW', observed, at) >= -Math.log(level)).toBe(at > high);
          expect(low).toBeLessThanOrEqual(observed.successes / observed.n);
          expect(high).toBeGreaterThanOrEqual(observed.successes / observed.n);
        },
      ),
    );
  });

  test('are wider for a smaller level and narrower with more trials', () => {
    expect(rateBound('BELOW', { n: 100, successes: 10 }, 0.01)).toBeGreaterThan(
      rateBound('BELOW', { n: 100, successes: 10 }, 0.05),
    );
    expect(rateBound('BELOW', { n: 1_000, successes: 100 }, 0.05)).toBeLessThan(
      rateBound('BELOW', { n: 100, successes: 10 }, 0.05),
    );
    expect(rateBound('ABOVE', { n: 100, successes: 0 }, 0.05)).toBe(0);
    expect(rateBound('BELOW', { n: 0, successes: 0 }, 0.05)).toBe(1);
  });
});
