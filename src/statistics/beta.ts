/**
 * The beta function and its incomplete form, in logarithms: with ten thousand requests both leave the range of a double.
 *
 * Own code: of the libraries, @stdlib's answers the incomplete form not in logarithms and brings some sixty packages,
 * several of them native; the others are not kept.
 */

/** Coefficients of Stirling's series: B₂ₖ / (2k(2k−1)), k = 1 … 7 (Abramowitz and Stegun, 6.1.40). */
const STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360_360, 1 / 156];
/** From here on the series is exact to the last digits of a double. */
const STIRLING_FROM = 12;

/** ln Γ(x), x > 0, by Stirling's series; a small x is carried up with Γ(x) = Γ(x+1) / x. */
export function logGamma(x: number): number {
  let product = 1;
  let z = x;
  for (; z < STIRLING_FROM; z++) product *= z;
  let sum = 0;
  for (let k = STIRLING.length - 1; k >= 0; k--) sum = sum / (z * z) + (STIRLING[k] ?? 0);
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + sum / z - Math.log(product);
}

/** ln B(a, b), a and b > 0. */
export function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/**
 * ln Iₓ(a, b), the logarithm of the regularised incomplete beta function: of the probability that a Beta(a, b) variable
 * is at most x. a and b > 0, x from 0 to 1. By the continued fraction 26.5.8 of Abramowitz and Stegun, on the side of
 * the mean where it converges fast, and Iₓ(a, b) = 1 − I₁₋ₓ(b, a).
 */
export function logIncompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return -Infinity;
  if (x >= 1) return 0;
  const front = a * Math.log(x) + b * Math.log1p(-x) - logBeta(a, b);
  if (x < (a + 1) / (a + b + 2)) return front - Math.log(a) + Math.log(fraction(x, a, b));
  return Math.log1p(-Math.exp(front - Math.log(b) + Math.log(fraction(1 - x, b, a))));
}

const TINY = 1e-300;
const PRECISION = 1e-15;

/**
 * The continued fraction, by Lentz's method as Thompson and Barnett modified it. It takes about √max(a, b) rounds at
 * worst (Press et al., "Numerical Recipes", section 6.4).
 */
function fraction(x: number, a: number, b: number): number {
  const away = (value: number): number => (Math.abs(value) < TINY ? TINY : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let result = d;
  const rounds = 100 + 10 * Math.sqrt(Math.max(a, b));
  for (let m = 1; m <= rounds; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    result *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    result *= d * c;
    if (Math.abs(d * c - 1) < PRECISION) break;
  }
  return result;
}
