/**
 * A quantile while looking all the time, without assuming anything of the distribution: S. R. Howard, A. Ramdas,
 * "Sequential estimation of quantiles with applications to A/B testing and best-arm identification", Bernoulli 28(3),
 * 2022, the sequence of its introduction. At every n at once, with probability 1 − α, the quantile q lies between the
 * empirical quantiles at q − u and q + u,
 *
 *   u = 1.5·√(q(1−q)ℓ) + 0.8·ℓ,   ℓ = (1.4·ln ln(2.1·n) + ln(10/α)) / n.
 *
 * Checked by derivation: it is their stitched boundary with η = 2.04 and s = 1.4, from V = q(1−q) on, for sub-gamma with
 * c ≤ ⅓, at α/2 for either end: ζ(1.4) / ln(2.04)^1.4 = 4.99, twice that is the 10; k₁ = 1.437 and 2·k₂/3 = 0.809 are the
 * factors. Each end alone hence misses with probability α/2, which is what a one-sided test at α may use: it takes 5/α.
 */
import { leastLevel } from './level.ts';

/** Values from above `low` up to `high` and how many there are, ascending and beside or apart from each other. */
export interface SketchBin {
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/** A sketch's bins with their ranks: of the value with the k-th rank we know its bin only, hence two ends. */
export class RankedBins {
  readonly n: number;
  readonly #bins: readonly SketchBin[];
  /** How many values lie in the bins up to this one. */
  readonly #upTo: readonly number[];

  constructor(bins: readonly SketchBin[]) {
    this.#bins = bins;
    let n = 0;
    this.#upTo = bins.map(({ count }) => (n += count));
    this.n = n;
  }

  /** The value of rank `k` (1 to n) is at least this; nothing is known below rank 1. */
  low(k: number): number {
    return k < 1 ? -Infinity : (this.#at(k)?.low ?? Infinity);
  }

  /** The value of rank `k` (1 to n) is at most this; nothing is known above rank n. */
  high(k: number): number {
    return k < 1 ? -Infinity : (this.#at(k)?.high ?? Infinity);
  }

  #at(k: number): SketchBin | undefined {
    let from = 0;
    let to = this.#bins.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.#upTo[middle] ?? Infinity) < k) from = middle + 1;
      else to = middle;
    }
    return this.#bins[from];
  }
}

/** u of one end at level `alpha`: how far off in rank, as a share of n, the quantile `q` may be. n at least 1. */
function radius(q: number, n: number, alpha: number): number {
  const l = (1.4 * Math.log(Math.log(2.1 * n)) + Math.log(5 / alpha)) / n;
  return 1.5 * Math.sqrt(q * (1 - q) * l) + 0.8 * l;
}

/** The quantile `q` is at least this, at every look at once with probability 1 − alpha; −Infinity where it may be anything. */
export function quantileLow(bins: RankedBins, q: number, alpha: number): number {
  if (bins.n === 0) return -Infinity;
  return bins.low(Math.ceil(bins.n * (q - radius(q, bins.n, alpha))));
}

/** The quantile `q` is at most this, at every look at once with probability 1 − alpha; Infinity where it may be anything. */
export function quantileHigh(bins: RankedBins, q: number, alpha: number): number {
  if (bins.n === 0) return Infinity;
  return bins.high(Math.floor(bins.n * (q + radius(q, bins.n, alpha))) + 1);
}

/** How many values it takes until both ends, each at level `alpha`, of the sequence for `q` are values and not infinite. */
export function quantileStart(q: number, alpha: number): number {
  const nearer = Math.min(q, 1 - q);
  // The rank of the upper end is at most n, that of the lower one at least 1.
  const told = (n: number): boolean => Math.floor(n * (1 - nearer + radius(q, n, alpha))) + 1 <= n;
  let no = 1;
  let yes = 2;
  for (; !told(yes); yes *= 2) no = yes;
  while (yes - no > 1) {
    const middle = Math.floor((no + yes) / 2);
    if (told(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}

/** Valid at every look: the least level at which the quantile `q` is found to be above `limit`. */
export function quantileAboveP(bins: RankedBins, q: number, limit: number): number {
  return leastLevel((level) => quantileLow(bins, q, level) > limit);
}

/**
 * Valid at every look: the least level at which the quantile `q` of `bins` is found to be above `limit` of that of
 * `other`, a growing function. Each of the two ends takes half the level.
 */
export function quantileAboveOtherP(
  bins: RankedBins,
  other: RankedBins,
  q: number,
  limit: (value: number) => number,
): number {
  return leastLevel((level) => quantileLow(bins, q, level / 2) > limit(quantileHigh(other, q, level / 2)));
}
