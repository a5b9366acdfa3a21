/** Random numbers with a seed: a simulation that failed once fails again. */

export type Random = () => number;

/** Uniform from 0 to 1, 32 bits: `sfc32` of PractRand (C. Doty-Humphrey), which passes its tests. */
export function seededRandom(seed: number): Random {
  let [a, b, c, counter] = [seed | 0, 0x9e37_79b9 | 0, 0x243f_6a88, 1];
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
  for (let warm = 0; warm < 12; warm++) next();
  return next;
}

/** Distribution functions of binomials by `n` and `p`. */
const tables = new Map<number, Map<number, Float64Array>>();

function tableOf(n: number, p: number): Float64Array {
  let ofP = tables.get(p);
  if (ofP === undefined) tables.set(p, (ofP = new Map()));
  let table = ofP.get(n);
  if (table === undefined) {
    table = new Float64Array(n + 1);
    let each = (1 - p) ** n;
    let sum = 0;
    for (let k = 0; k <= n; k++) {
      table[k] = sum += each;
      each *= ((n - k) / (k + 1)) * (p / (1 - p));
    }
    ofP.set(n, table);
  }
  return table;
}

/** How many of `n` (up to some hundred) succeed, each with probability `p`. */
export function binomial(random: Random, n: number, p: number): number {
  if (p <= 0 || n === 0) return 0;
  if (p >= 1) return n;
  const table = tableOf(n, p);
  const u = random();
  let k = 0;
  while (k < n && u >= (table[k] ?? 1)) k++;
  return k;
}

/** Adds to `counts` how many of `n` fell on each of the `shares`, which sum to 1. */
export function addMultinomial(random: Random, n: number, shares: readonly number[], counts: number[]): void {
  let left = n;
  let share = 1;
  for (const [index, each] of shares.entries()) {
    const last = index === shares.length - 1;
    // Rounded, so that few tables are needed.
    const drawn = last ? left : binomial(random, left, Math.round((each / share) * 1e12) / 1e12);
    counts[index] = (counts[index] ?? 0) + drawn;
    left -= drawn;
    share -= each;
  }
}
