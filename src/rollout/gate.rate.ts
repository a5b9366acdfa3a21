/** Gates on a share: of failed requests, of invalid outputs, of answers that differ, of predictions that were right. */
import { meanAboveP, meanDifferenceInterval, type MeanSample } from '../statistics/mean.ts';
import { logRateEvidence, rateBound, rateP, type Trials } from '../statistics/rate.ts';
import type { ArmEvidence, Evidence } from './evidence.ts';
import type { Finding } from './gate.finding.ts';
import type { Gate, GateMetric } from './gate.ts';
import { count, counted, limitWords, percent, points } from './gate.words.ts';

export type RateMetric = Extract<
  GateMetric,
  'ERROR_RATE' | 'INVALID_OUTPUT_RATE' | 'DISAGREEMENT_RATE' | 'ACCURACY'
>;

/** The mixture SPRT is a statement about large samples: below this, in either arm, it says nothing. */
export const MIXTURE_START = 50;
/** The least difference of shares that is taken to matter where the threshold itself is 0 or nearly. */
const LEAST_DIFFERENCE = 0.02;

interface Words {
  readonly noun: string;
  /** After `12 % of 431 requests`; and where the rate stands alone. */
  readonly did: string;
  readonly may: 'may' | 'must';
}

const words: Record<RateMetric, Words> = {
  ERROR_RATE: { noun: 'request', did: 'failed', may: 'may' },
  INVALID_OUTPUT_RATE: { noun: 'request', did: 'had an invalid output', may: 'may' },
  DISAGREEMENT_RATE: {
    noun: 'mirrored request',
    did: 'were answered otherwise than by the stable arm',
    may: 'may',
  },
  ACCURACY: { noun: 'judged prediction', did: 'were right', may: 'must' },
};

/**
 * τ of the mixture: the threshold is the smallest difference that somebody said matters, so what goes beyond it is
 * looked for on its scale.
 */
export function mixtureScale(threshold: number): number {
  return Math.max(Math.abs(threshold), LEAST_DIFFERENCE);
}

/**
 * A rate as the mixture SPRT of a gate takes it, with its variance smoothed as if one more had succeeded and one more
 * had not (A. Agresti, B. Caffo, "Simple and effective confidence intervals for proportions …", The American
 * Statistician 54(4), 2000). The plain variance is 0 while a rate is 0 or 1, and with it Λ is 1: no error in the stable
 * arm and nothing but errors in the candidate would never alarm. The mean stays as observed, and the variance only
 * grows, which makes the test slower to alarm, never faster. The statistic itself (`mean.ts`) is left as its source has it.
 */
export function smoothedRate(successes: number, n: number): MeanSample {
  const smooth = (successes + 1) / (n + 2);
  return { n, mean: n === 0 ? 0 : successes / n, variance: smooth * (1 - smooth) };
}

/**
 * The candidate's sample with the variance that it would have at the limit, where that is more. A candidate at the limit
 * that was lucky so far shows few errors and with them little variance, and would pass too often: simulated, at 0.1 % and
 * 2.1 % errors, in 8 % of runs instead of 5. An alarm comes no later: what is nearer to ½ than the limit has the larger variance.
 */
function atLeastAtLimit(sample: MeanSample, limit: number): MeanSample {
  const rate = Math.min(1, Math.max(0, limit));
  return { ...sample, variance: Math.max(sample.variance, rate * (1 - rate)) };
}

export function findRate(metric: RateMetric, gate: Gate, evidence: Evidence, alpha: number): Finding {
  return gate.against === 'ABSOLUTE'
    ? absolute(metric, gate, evidence, alpha)
    : againstStable(metric, gate, evidence, alpha);
}

const trialsOf: Record<Exclude<RateMetric, 'DISAGREEMENT_RATE'>, (arm: ArmEvidence) => Trials> = {
  ERROR_RATE: ({ requests, errors }) => ({ n: requests, successes: errors }),
  INVALID_OUTPUT_RATE: ({ requests, invalid }) => ({ n: requests, successes: invalid }),
  ACCURACY: ({ judged, right }) => ({ n: judged, successes: right }),
};

/** Exact, beta-binomial. */
function absolute(metric: RateMetric, gate: Gate, evidence: Evidence, alpha: number): Finding {
  const trials =
    metric === 'DISAGREEMENT_RATE'
      ? { n: evidence.compared, successes: evidence.disagreed }
      : trialsOf[metric](evidence.candidate);
  const [bad, good] = metric === 'ACCURACY' ? (['BELOW', 'ABOVE'] as const) : (['ABOVE', 'BELOW'] as const);
  const { n, successes } = trials;
  const { noun, did, may } = words[metric];
  const observed = n === 0 ? null : successes / n;
  const passes = n > 0 && logRateEvidence(good, trials, gate.threshold) >= -Math.log(alpha);
  const limit = `${limitWords[gate.comparison]} ${percent(gate.threshold)} ${may} be.`;
  const bound = passes ? percent(rateBound(good, trials, alpha)) : '';
  return {
    observed,
    baseline: null,
    threshold: gate.threshold,
    samples: n,
    p: n === 0 ? 1 : rateP(bad, trials, gate.threshold),
    missing: needed(gate.minSamples, n, noun),
    silent: null,
    isExact: true,
    seen: `${observed === null ? `No ${noun} has been seen` : `${percent(observed)} of ${counted(n, noun)} ${did}`}; ${limit}`,
    good: passes ? `By the evidence it is at ${good === 'ABOVE' ? 'least' : 'most'} ${bound}.` : null,
    worse: bad === 'ABOVE' ? 'more' : 'less',
  };
}

/** The mixture SPRT on the difference candidate less stable, shifted by the threshold; what lies on the good side of it is no evidence. */
function againstStable(metric: RateMetric, gate: Gate, evidence: Evidence, alpha: number): Finding {
  // `checkGates` refuses a disagreement against the stable arm: it compares the arms by itself.
  if (metric === 'DISAGREEMENT_RATE') return absolute(metric, gate, evidence, alpha);
  const candidate = trialsOf[metric](evidence.candidate);
  const stable = trialsOf[metric](evidence.stable);
  const highIsGood = metric === 'ACCURACY';
  const a = smoothedRate(stable.successes, stable.n);
  const b = atLeastAtLimit(smoothedRate(candidate.successes, candidate.n), a.mean + gate.threshold);
  const mixture = { tau: mixtureScale(gate.threshold), start: MIXTURE_START };
  // A low accuracy is the bad side: there the arms change places.
  const p = highIsGood
    ? meanAboveP(b, a, { ...mixture, difference: -gate.threshold })
    : meanAboveP(a, b, { ...mixture, difference: gate.threshold });
  const [from, to] = meanDifferenceInterval(a, b, { ...mixture, alpha });
  const passes = highIsGood ? from > gate.threshold : to < gate.threshold;
  const threshold = a.mean + gate.threshold;
  const { noun, did, may } = words[metric];
  const limit = `${limitWords[gate.comparison]} ${percent(threshold)} ${may} be.`;
  const bound = highIsGood
    ? `less by ${points(Math.max(0, -from))} at most`
    : `more by ${points(Math.max(0, to))} at most`;
  const least = Math.max(gate.minSamples, MIXTURE_START);
  return {
    observed: candidate.n === 0 ? null : b.mean,
    baseline: stable.n === 0 ? null : a.mean,
    threshold: stable.n === 0 ? null : threshold,
    samples: candidate.n,
    p,
    missing: needed(least, candidate.n, noun) ?? needed(least, stable.n, noun, ' in the stable arm'),
    silent: null,
    seen:
      candidate.n === 0 || stable.n === 0
        ? `${counted(candidate.n, noun)} of the candidate and ${count(stable.n)} of the stable arm have been seen.`
        : `${percent(b.mean)} of ${counted(candidate.n, noun)} ${did}, and ${percent(a.mean)} of the stable arm's ${count(stable.n)}; ${limit}`,
    good: passes ? `By the evidence it is ${bound}.` : null,
    worse: highIsGood ? 'less' : 'more',
  };
}

/** How many of `noun` are still missing of `least`, in words; null where none are. */
export function needed(least: number, n: number, noun: string, where = ''): string | null {
  const more = least - n;
  return more > 0 ? `${count(more)} more ${noun}${more === 1 ? '' : 's'}${where}` : null;
}
