/** Gates on a quantile of latency. */
import { MetricWindow } from '../metric/window.ts';
import {
  quantileAboveOtherP,
  quantileAboveP,
  quantileHigh,
  quantileLow,
  quantileStart,
  RankedBins,
} from '../statistics/quantile.ts';
import type { ArmEvidence, Evidence } from './evidence.ts';
import type { Finding } from './gate.finding.ts';
import { needed } from './gate.rate.ts';
import type { Gate, GateMetric } from './gate.ts';
import { count, counted, limitWords, milliseconds } from './gate.words.ts';

export type LatencyMetric = Extract<GateMetric, 'LATENCY_P50_MS' | 'LATENCY_P95_MS' | 'LATENCY_P99_MS'>;

const quantiles = {
  LATENCY_P50_MS: { q: 0.5, name: 'p50' },
  LATENCY_P95_MS: { q: 0.95, name: 'p95' },
  LATENCY_P99_MS: { q: 0.99, name: 'p99' },
} as const;

interface Latencies {
  readonly bins: RankedBins;
  /** Milliseconds; null where nothing was measured. */
  readonly observed: number | null;
}

function latenciesOf(metric: LatencyMetric, arm: ArmEvidence): Latencies {
  const window = MetricWindow.decode(arm.latency);
  return {
    bins: new RankedBins(window.latencyBins()),
    observed: window.quantiles()[quantiles[metric].name],
  };
}

/**
 * That there is no alarm means something once both ends of each sequence that is compared are values: for the p99 that
 * takes some thousand requests.
 */
export function findLatency(metric: LatencyMetric, gate: Gate, evidence: Evidence, alpha: number): Finding {
  const candidate = latenciesOf(metric, evidence.candidate);
  return gate.against === 'ABSOLUTE'
    ? absolute(metric, gate, candidate, alpha)
    : againstStable(metric, gate, candidate, latenciesOf(metric, evidence.stable), alpha);
}

function absolute(metric: LatencyMetric, gate: Gate, candidate: Latencies, alpha: number): Finding {
  const { q, name } = quantiles[metric];
  const { bins, observed } = candidate;
  const high = quantileHigh(bins, q, alpha);
  const limit = `${limitWords[gate.comparison]} ${milliseconds(gate.threshold)} may be.`;
  return {
    observed,
    baseline: null,
    threshold: gate.threshold,
    samples: bins.n,
    p: quantileAboveP(bins, q, gate.threshold),
    missing: needed(gate.minSamples, bins.n, 'request'),
    silent: needed(quantileStart(q, alpha), bins.n, 'request'),
    seen:
      observed === null
        ? `No latency has been measured; as the ${name}, ${limit}`
        : `The ${name} of ${counted(bins.n, 'request')} is ${milliseconds(observed)}; ${limit}`,
    good: high < gate.threshold ? `By the evidence it is at most ${milliseconds(high)}.` : null,
    worse: 'more',
  };
}

function againstStable(
  metric: LatencyMetric,
  gate: Gate,
  candidate: Latencies,
  stable: Latencies,
  alpha: number,
): Finding {
  const { q, name } = quantiles[metric];
  const allowed = (ms: number): number => ms * gate.threshold + (gate.tolerance ?? 0);
  const threshold = stable.observed === null ? null : allowed(stable.observed);
  // The level is split over the two ends.
  const high = quantileHigh(candidate.bins, q, alpha / 2);
  const low = quantileLow(stable.bins, q, alpha / 2);
  const neededOfBoth = (least: number): string | null =>
    needed(least, candidate.bins.n, 'request') ??
    needed(least, stable.bins.n, 'request', ' in the stable arm');
  return {
    observed: candidate.observed,
    baseline: stable.observed,
    threshold,
    samples: candidate.bins.n,
    p: quantileAboveOtherP(candidate.bins, stable.bins, q, allowed),
    missing: neededOfBoth(gate.minSamples),
    silent: neededOfBoth(quantileStart(q, alpha / 2)),
    seen:
      candidate.observed === null || stable.observed === null || threshold === null
        ? `${counted(candidate.bins.n, 'request')} of the candidate and ${count(stable.bins.n)} of the stable arm have been measured.`
        : `The ${name} of ${counted(candidate.bins.n, 'request')} is ${milliseconds(candidate.observed)}, and ${milliseconds(stable.observed)} of the stable arm's ${count(stable.bins.n)}; ${limitWords[gate.comparison]} ${milliseconds(threshold)} may be.`,
    good:
      high < allowed(low)
        ? `By the evidence it is at most ${milliseconds(high)}, and the stable arm's at least ${milliseconds(low)}.`
        : null,
    worse: 'more',
  };
}
