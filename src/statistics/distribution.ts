/** How far two distributions are apart while looking all the time, and whether that is more, or less, than allowed. */
import { leastLevel } from './level.ts';
import { logMixtureRatio, meanDifferenceInterval, type MeanSample, type MixtureOptions } from './mean.ts';

/** What can be said of a difference of two distributions, itself from 0 to 1. */
export interface Difference {
  /** As observed. */
  readonly observed: number;
  /** Valid at every look: the least level at which the difference is found to be above the limit. */
  readonly p: number;
  /** The difference is at most this, at every look at once with probability 1 − alpha. */
  readonly high: number;
}

export type CategoricalDifference = Difference & {
  /** Of the category with the largest difference; null where nothing was observed. */
  readonly category: string | null;
};

/**
 * The largest difference of any category's share. Each category has a mixture SPRT (see `mean.ts`) on the difference of
 * its two shares, and the level is split over the categories (Bonferroni); of two categories one is the other's mirror
 * image, and one test it is. A difference counts in either direction, so that the limit is tested on the side where the
 * observed difference lies.
 *
 * Categories are those seen so far in either arm. One that has not been seen takes no part of the level: it could only
 * have alarmed once it was seen often.
 *
 * `shares` gives each category's two samples.
 */
export function categoricalDifference(
  shares: ReadonlyMap<string, readonly [MeanSample, MeanSample]>,
  limit: number,
  { alpha, ...mixture }: MixtureOptions & { readonly alpha: number },
): CategoricalDifference {
  const tests = shares.size === 2 ? 1 : shares.size;
  let category: string | null = null;
  let observed = 0;
  let p = 1;
  let high = shares.size === 0 ? 1 : 0;
  for (const [name, [a, b]] of shares) {
    const difference = b.mean - a.mean;
    if (category === null || Math.abs(difference) > observed) category = name;
    observed = Math.max(observed, Math.abs(difference));
    if (Math.abs(difference) > limit) {
      const ratio = logMixtureRatio(a, b, { ...mixture, difference: Math.sign(difference) * limit });
      p = Math.min(p, tests * Math.exp(-ratio));
    }
    const [from, to] = meanDifferenceInterval(a, b, { ...mixture, alpha: alpha / tests });
    high = Math.max(high, Math.min(1, Math.max(-from, to)));
  }
  return { category, observed, p, high };
}

/** Fewer values in an arm than this say nothing: the m of `cdfRadius`. */
export const CDF_START = 100;

/**
 * How far an empirical distribution function of n values may be from the true one, anywhere and at every n ≥ m = 100 at
 * once, with probability 1 − alpha: the time-uniform form of the Dvoretzky–Kiefer–Wolfowitz inequality of S. R. Howard,
 * A. Ramdas, "Sequential estimation of quantiles …", Bernoulli 28(3), 2022, Theorem 2 and its corollary,
 *
 *   0.85·√((ln ln(e·n/m) + 0.8·ln(1612/α)) / n).
 *
 * Checked against the theorem's α(A, C), which a test does again; the best C for A = 0.85, as the authors' program
 * finds it, makes it narrower by 1 to 2 %.
 */
export function cdfRadius(n: number, alpha: number): number {
  if (n < CDF_START) return Infinity;
  return 0.85 * Math.sqrt((Math.log(1 + Math.log(n / CDF_START)) + 0.8 * Math.log(1612 / alpha)) / n);
}

/**
 * The largest difference of two distribution functions (Kolmogorov and Smirnov's), from counts of the same ascending
 * bins: at the bins' ends only, so that it is never more than that of the values themselves. Each arm's band takes half
 * the level.
 */
export function numericDifference(
  bins: readonly (readonly [number, number])[],
  limit: number,
  alpha: number,
): Difference {
  let n = 0;
  let m = 0;
  for (const [a, b] of bins) {
    n += a;
    m += b;
  }
  if (n === 0 || m === 0) return { observed: 0, p: 1, high: 1 };
  let observed = 0;
  let [below, under] = [0, 0];
  for (const [a, b] of bins) {
    below += a;
    under += b;
    observed = Math.max(observed, Math.abs(under / m - below / n));
  }
  const radius = (level: number): number => cdfRadius(n, level / 2) + cdfRadius(m, level / 2);
  const p = leastLevel((level) => observed - radius(level) > limit);
  return { observed, p, high: Math.min(1, observed + radius(alpha)) };
}
