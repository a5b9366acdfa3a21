/** The gates of a rollout that names none: without a gate, nothing would ever roll back. */
import type { RolloutStrategy } from '../platform/database.types.ts';
import type { Signature } from '../signature/signature.ts';
import type { Gate } from './gate.ts';

/** What the gates of one metric have in common until somebody says otherwise. */
const atMost = { comparison: 'AT_MOST', tolerance: null, noData: 'WAIT' } as const;

const errorRate: Gate = {
  ...atMost,
  metric: 'ERROR_RATE',
  against: 'STABLE_ARM',
  threshold: 0.02,
  minSamples: 100,
};

const invalidOutputs: Gate = {
  ...atMost,
  metric: 'INVALID_OUTPUT_RATE',
  against: 'ABSOLUTE',
  threshold: 0.01,
  minSamples: 30,
};

/**
 * The sequence of the p95 has an upper end in either arm from some 700 requests on, and the stable arm's is what the
 * candidate is held against: with little traffic that takes longer than anybody bakes, and its silence must not stop
 * a rollout. What it says, it says in time to roll back.
 */
const latency: Gate = {
  ...atMost,
  metric: 'LATENCY_P95_MS',
  against: 'STABLE_ARM',
  threshold: 1.5,
  tolerance: 5,
  minSamples: 100,
  noData: 'PASS',
};

const disagreement: Gate = {
  ...atMost,
  metric: 'DISAGREEMENT_RATE',
  against: 'ABSOLUTE',
  threshold: 0.1,
  minSamples: 30,
};

const drift: Gate = {
  ...atMost,
  metric: 'OUTPUT_DRIFT',
  against: 'ABSOLUTE',
  threshold: 0.1,
  minSamples: 100,
};

/** Whether answers are one of several classes, so that two of them differ or do not. */
export function hasLabel({ labelOutput, classes }: Signature): boolean {
  return labelOutput !== null || classes !== null;
}

/** Whether a row has one answer, a class or a number, whose distribution can be told. */
export function hasAnswer(signature: Signature): boolean {
  return hasLabel(signature) || signature.valueOutput !== null;
}

/** The gates of a roll-back: what has answered before is wanted, also where nobody asks meanwhile. */
export function goingBackGates(): Gate[] {
  return [
    { ...errorRate, against: 'ABSOLUTE', threshold: 0.05, minSamples: 20, noData: 'PASS' },
    { ...invalidOutputs, minSamples: 20, noData: 'PASS' },
  ];
}

/** In the order in which they are shown. A regression has no natural tolerance, and no default gate on disagreement. */
export function defaultGates(strategy: RolloutStrategy, signature: Signature, mirrorShare: number): Gate[] {
  const disagreements = hasLabel(signature) && mirrorShare > 0 ? [disagreement] : [];
  const drifts = hasAnswer(signature) ? [drift] : [];
  switch (strategy) {
    // The stable arm gets no requests any more: there is nothing to compare with.
    case 'ALL_AT_ONCE':
      return [
        { ...errorRate, against: 'ABSOLUTE', threshold: 0.05, minSamples: 20 },
        { ...invalidOutputs, minSamples: 20 },
      ];
    case 'SHADOW':
      return [errorRate, latency, invalidOutputs, ...disagreements];
    default:
      return [errorRate, latency, invalidOutputs, ...disagreements, ...drifts];
  }
}
