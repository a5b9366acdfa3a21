import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { logBeta, logGamma, logIncompleteBeta } from '#src/statistics/beta.ts';

/** ln P(at least `a` of `a + b − 1` succeed), each with probability x: Iₓ(a, b) for whole a and b. */
function logBinomialTail(x: number, a: number, b: number): number {
  const n = a + b - 1;
  const terms: number[] = [];
  let logChoose = 0;
  for (let k = 0; k <= n; k++) {
    if (k >= a) terms.push(logChoose + k * Math.log(x) + (n - k) * Math.log1p(-x));
    logChoose += Math.log((n - k) / (k + 1));
  }
  const most = Math.max(...terms);
  return most + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - most), 0));
}

describe('the logarithm of gamma', () => {
  test.each([
    [0.5, Math.log(Math.PI) / 2],
    [1, 0],
    [2, 0],
    [11, Math.log(3_628_800)],
    [0.001, 6.907178885383853],
    [100, 359.1342053695754],
    [1e6, 12_815_504.569147611],
  ])('of %d', (x, expected) => {
    expect(Math.abs(logGamma(x) - expected)).toBeLessThanOrEqual(1e-14 * Math.max(1, expected));
  });

  test('Γ(x + 1) = x·Γ(x)', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-3, max: 1e4, noNaN: true }), (x) => {
        const [left, right] = [logGamma(x + 1), logGamma(x) + Math.log(x)];
        expect(Math.abs(left - right)).toBeLessThanOrEqual(1e-13 * Math.max(1, Math.abs(right)));
      }),
    );
  });

  test('B(½, ½) = π', () => {
    expect(logBeta(0.5, 0.5)).toBeCloseTo(Math.log(Math.PI), 14);
  });
});

describe('the incomplete beta function', () => {
  const share = fc.double({ min: 1e-6, max: 1 - 1e-6, noNaN: true });

  test('of whole numbers is the tail of a binomial, far into where a double is 0', () => {
    fc.assert(
      fc.property(share, fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 300 }), (x, a, b) => {
        const [found, expected] = [logIncompleteBeta(x, a, b), logBinomialTail(x, a, b)];
        expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-10 * Math.max(1, Math.abs(expected)));
      }),
    );
    expect(logIncompleteBeta(1e-4, 300, 5)).toBeLessThan(-2_000);
  });

  test('of ½ and ½ is the arcsine law', () => {
    fc.assert(
      fc.property(share, (x) => {
        const arcsine = Math.log((2 / Math.PI) * Math.asin(Math.sqrt(x)));
        expect(logIncompleteBeta(x, 0.5, 0.5)).toBeCloseTo(arcsine, 12);
      }),
    );
  });

  test('both sides make 1, and of equal parameters the middle is the half, at millions too', () => {
    fc.assert(
      fc.property(share, fc.double({ min: 0.5, max: 1e5, noNaN: true }), (x, a) => {
        const sum = Math.exp(logIncompleteBeta(x, a, 3 * a)) + Math.exp(logIncompleteBeta(1 - x, 3 * a, a));
        expect(sum).toBeCloseTo(1, 9);
      }),
    );
    expect(logIncompleteBeta(0.5, 5e6, 5e6)).toBeCloseTo(Math.log(0.5), 6);
  });

  test('ends', () => {
    expect(logIncompleteBeta(0, 2, 3)).toBe(-Infinity);
    expect(logIncompleteBeta(1, 2, 3)).toBe(0);
  });
});
