/**
 * The difference of two means while looking all the time: the mixture sequential probability ratio test with a normal
 * mixture N(0, τ²) over the difference. R. Johari, P. Koomen, L. Pekelis, D. Walsh, "Always Valid Inference: Continuous
 * Monitoring of A/B Tests", Operations Research 70(3), 2022; its Λ for n pairs with variance V of one pair's difference is
 * this one with V/n, which for arms of unequal size is V = s₁²/n₁ + s₂²/n₂.
 *
 * It rests on the normal limit, with the variance that was observed: hence `start`, below which it says nothing.
 */

/** What was observed of one arm. */
export interface MeanSample {
  readonly n: number;
  readonly mean: number;
  /** Of one observation, in the square of its unit. */
  readonly variance: number;
}

export interface MixtureOptions {
  /** Standard deviation of the mixture, in the unit of the mean: about the smallest difference that matters. */
  readonly tau: number;
  /** Observations, of each arm, below which nothing is said. */
  readonly start: number;
}

/** Of the difference of the means; 0 where nothing can be said yet. */
function variance(a: MeanSample, b: MeanSample, start: number): number {
  if (a.n === 0 || b.n === 0 || Math.min(a.n, b.n) < start) return 0;
  return a.variance / a.n + b.variance / b.n;
}

/**
 * ln Λ against the difference b − a being `difference` (0 where it is not given). Λ = √(V/(V+τ²)) · exp(τ²Δ² / (2V(V+τ²)));
 * it is 1 while V is 0 or an arm has fewer than `start`. 1/Λ, and the least of it so far, is a p that is valid at every look.
 */
export function logMixtureRatio(
  a: MeanSample,
  b: MeanSample,
  { tau, start, difference = 0 }: MixtureOptions & { readonly difference?: number },
): number {
  const v = variance(a, b, start);
  if (v === 0) return 0;
  const delta = b.mean - a.mean - difference;
  const wide = v + tau ** 2;
  return 0.5 * Math.log(v / wide) + (tau ** 2 * delta ** 2) / (2 * v * wide);
}

/**
 * Valid at every look: that the difference b − a is above `difference`. The mixture is folded to that side (S. R. Howard,
 * A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
 * Statistics 49(2), 2021, Proposition 5): with x²/2 the exponent in Λ, Λ₊ = 2Λ·Φ(x), and Φ(x) ≥ 1 − exp(−x²/2)/2 for
 * x > 0 makes it at least 2Λ − √(V/(V+τ²)), which is taken here. It needs half the evidence of the two-sided p.
 */
export function meanAboveP(
  a: MeanSample,
  b: MeanSample,
  options: MixtureOptions & { readonly difference: number },
): number {
  const v = variance(a, b, options.start);
  if (v === 0 || b.mean - a.mean <= options.difference) return 1;
  // Of 1/Λ, as Λ itself is soon beyond any number.
  const both = Math.exp(-logMixtureRatio(a, b, options));
  return Math.min(1, both / (2 - both * Math.sqrt(v / (v + options.tau ** 2))));
}

/**
 * The differences b − a that Λ does not reject at level `alpha` now: at every look at once they hold the true one with
 * probability 1 − alpha. All of them while nothing can be said.
 */
export function meanDifferenceInterval(
  a: MeanSample,
  b: MeanSample,
  { tau, start, alpha }: MixtureOptions & { readonly alpha: number },
): readonly [number, number] {
  const v = variance(a, b, start);
  if (v === 0) return [-Infinity, Infinity];
  const wide = v + tau ** 2;
  const half = Math.sqrt(((2 * v * wide) / tau ** 2) * (0.5 * Math.log(wide / v) - Math.log(alpha)));
  const delta = b.mean - a.mean;
  return [delta - half, delta + half];
}
