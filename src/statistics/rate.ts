/**
 * One rate against a fixed limit while looking all the time: the beta-binomial mixture of likelihood ratios (H. Robbins,
 * "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 41, 1970; as a
 * confidence sequence, and one-sided: S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric,
 * nonasymptotic confidence sequences", Annals of Statistics 49(2), 2021, Proposition 7). Exact at every sample size.
 *
 * With s of n and the mixture Beta(a, b) restricted to θ > θ₀,
 *
 *   E = ∫_{θ>θ₀} θˢ(1−θ)ⁿ⁻ˢ dBeta(a,b) / ∫_{θ>θ₀} dBeta(a,b) / (θ₀ˢ(1−θ₀)ⁿ⁻ˢ).
 *
 * Each θ > θ₀ contributes a product whose factors have the mean (ϑ/θ₀)θ + ((1−ϑ)/(1−θ₀))(1−θ) ≤ 1 for every true rate
 * ϑ ≤ θ₀: E is a supermartingale that starts at 1, and by Ville's inequality ever reaches 1/α with probability α at most.
 */
import { logBeta, logIncompleteBeta } from './beta.ts';

/** What is looked for: a rate above the limit, or below it. */
export type Side = 'ABOVE' | 'BELOW';

export interface Trials {
  readonly n: number;
  readonly successes: number;
}

/** Jeffreys' prior: no rate is favoured, and both ends are taken seriously. */
const MIXTURE = 0.5;

/** ln E that the rate lies on that side of `limit` (0 to 1); Infinity where what was seen cannot be at the limit. */
export function logRateEvidence(side: Side, { n, successes }: Trials, limit: number): number {
  return side === 'ABOVE' ? above(n, successes, limit) : above(n, n - successes, 1 - limit);
}

/** E ≥ 1/p: valid at every look, as the least of it so far is. */
export function rateP(side: Side, trials: Trials, limit: number): number {
  return Math.min(1, Math.exp(-logRateEvidence(side, trials, limit)));
}

function above(n: number, s: number, limit: number): number {
  // Nothing lies above 1.
  if (limit >= 1) return 0;
  if (limit <= 0 && s > 0) return Infinity;
  const a = MIXTURE + s;
  const b = MIXTURE + n - s;
  const numerator = logBeta(a, b) + logIncompleteBeta(1 - limit, b, a);
  const denominator = logBeta(MIXTURE, MIXTURE) + logIncompleteBeta(1 - limit, MIXTURE, MIXTURE);
  return numerator - denominator - (s === 0 ? 0 : s * Math.log(limit)) - (n - s) * Math.log1p(-limit);
}

/** Halvings of the interval from 0 to 1 until a bound is told to 1e-9. */
const HALVINGS = 30;

/**
 * The rate is above it (below it, for BELOW) at every look at once with probability 1 − alpha: the limits that E refutes,
 * by bisection. They are an interval that ends there, as E falls towards the observed rate: its logarithm's derivative
 * is negative where s − nθ₀ ≥ ½, and it does not reach 1/α elsewhere (for any alpha up to ½).
 */
export function rateBound(side: Side, { n, successes }: Trials, alpha: number): number {
  if (side === 'BELOW') return 1 - rateBound('ABOVE', { n, successes: n - successes }, alpha);
  if (successes === 0) return 0;
  const needed = -Math.log(alpha);
  let refuted = 0;
  let kept = successes / n;
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = (refuted + kept) / 2;
    if (above(n, successes, middle) >= needed) refuted = middle;
    else kept = middle;
  }
  return refuted;
}
