/** The gate on drift of outputs: how far the answers of the two arms are distributed differently. */
import {
  categoricalDifference,
  CDF_START,
  numericDifference,
  type Difference,
} from '../statistics/distribution.ts';
import { shown } from '../name/name.ts';
import type { Evidence } from './evidence.ts';
import type { Finding } from './gate.finding.ts';
import { MIXTURE_START, mixtureScale, needed, smoothedRate } from './gate.rate.ts';
import type { Gate } from './gate.ts';
import { count, counted, limitWords, percent, points } from './gate.words.ts';

/** By label or bin. A map, because somebody's label may be called `constructor`. */
class Counts {
  readonly total: number;
  readonly #counts: ReadonlyMap<string, number>;

  constructor(counts: Readonly<Record<string, number>>) {
    this.#counts = new Map(Object.entries(counts));
    this.total = Object.values(counts).reduce((sum, each) => sum + each, 0);
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** What either has counted, in any order. */
  namesWith(other: Counts): string[] {
    return [...new Set([...this.#counts.keys(), ...other.#counts.keys()])];
  }
}

/** Labels where either arm has answered any, else values. */
export function findDrift(gate: Gate, { stable, candidate }: Evidence, alpha: number): Finding {
  const [before, after] = [new Counts(stable.labels), new Counts(candidate.labels)];
  return before.total + after.total > 0
    ? ofLabels(gate, before, after, alpha)
    : ofValues(gate, new Counts(stable.values), new Counts(candidate.values), alpha);
}

function ofLabels(gate: Gate, stable: Counts, candidate: Counts, alpha: number): Finding {
  const [n, m] = [stable.total, candidate.total];
  const difference = categoricalDifference(
    new Map(
      stable
        .namesWith(candidate)
        .map((label) => [label, [smoothedRate(stable.of(label), n), smoothedRate(candidate.of(label), m)]]),
    ),
    gate.threshold,
    { tau: mixtureScale(gate.threshold), start: MIXTURE_START, alpha },
  );
  const label = difference.category ?? '';
  const [before, after] = [stable.of(label) / n, candidate.of(label) / m];
  return finding(gate, difference, Math.max(gate.minSamples, MIXTURE_START), [n, m], () => {
    const shares = `${shown(label)} is ${percent(after)} of ${counted(m, 'answer')}, and ${percent(before)} of the stable arm's ${count(n)}`;
    return `${shares}: a difference of ${points(difference.observed)}`;
  });
}

function ofValues(gate: Gate, stable: Counts, candidate: Counts, alpha: number): Finding {
  const [n, m] = [stable.total, candidate.total];
  // A bin's name is a number, and they ascend with the values.
  const bins = stable.namesWith(candidate).toSorted((a, b) => Number(a) - Number(b));
  const counts = bins.map((bin) => [stable.of(bin), candidate.of(bin)] as const);
  const difference = numericDifference(counts, gate.threshold, alpha);
  return finding(
    gate,
    difference,
    Math.max(gate.minSamples, CDF_START),
    [n, m],
    () =>
      `Shares of ${counted(m, 'answer')} and of the stable arm's ${count(n)} that lie below a value differ by up to ${points(difference.observed)}`,
  );
}

/** `least` is the number of answers, of each arm, that it takes; `sizes` are those of the stable arm and the candidate. */
function finding(
  gate: Gate,
  { observed, p, high }: Difference,
  least: number,
  [n, m]: readonly [number, number],
  seen: () => string,
): Finding {
  const empty = n === 0 || m === 0;
  return {
    observed: empty ? null : observed,
    baseline: null,
    threshold: gate.threshold,
    samples: m,
    p,
    missing: needed(least, m, 'answer') ?? needed(least, n, 'answer', ' of the stable arm'),
    silent: null,
    seen: empty
      ? `${counted(m, 'answer')} of the candidate and ${count(n)} of the stable arm have been seen.`
      : `${seen()}; ${limitWords[gate.comparison]} ${points(gate.threshold)} may be.`,
    good: high < gate.threshold ? `By the evidence it is at most ${points(high)}.` : null,
    worse: 'more',
  };
}
