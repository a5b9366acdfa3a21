/** What a rollout is judged by: a gate says what is measured, what is too much of it, and what silence means. */

export const gateMetrics = [
  'ERROR_RATE',
  'INVALID_OUTPUT_RATE',
  'LATENCY_P50_MS',
  'LATENCY_P95_MS',
  'LATENCY_P99_MS',
  'DISAGREEMENT_RATE',
  'OUTPUT_DRIFT',
  'ACCURACY',
] as const;
export type GateMetric = (typeof gateMetrics)[number];

export const comparisons = ['LESS_THAN', 'AT_MOST', 'AT_LEAST', 'GREATER_THAN'] as const;
export type Comparison = (typeof comparisons)[number];

export const gateAgainst = ['ABSOLUTE', 'STABLE_ARM'] as const;
export type GateAgainst = (typeof gateAgainst)[number];

export const noDataPolicies = ['WAIT', 'FAIL', 'PASS'] as const;
export type NoDataPolicy = (typeof noDataPolicies)[number];

export const gateStates = ['WAITING', 'PASSING', 'FAILING', 'NO_DATA'] as const;
export type GateState = (typeof gateStates)[number];

export interface Gate {
  readonly metric: GateMetric;
  readonly comparison: Comparison;
  /**
   * ABSOLUTE: the metric's own value (a share from 0 to 1; milliseconds). STABLE_ARM: of a share, by how much it may differ
   * from the stable arm's (candidate less stable); of a latency, how many times the stable arm's it may be.
   * DISAGREEMENT_RATE and OUTPUT_DRIFT compare the arms by themselves, and are ABSOLUTE.
   */
  readonly threshold: number;
  readonly against: GateAgainst;
  /**
   * DISAGREEMENT_RATE: by how much numbers (values, probabilities, outputs) may differ and still agree; null: by nothing
   * but the label. A latency against the stable arm: milliseconds that do not matter, on top. Else null.
   */
  readonly tolerance: number | null;
  /** Requests (of each arm that is compared) below which nothing is said. */
  readonly minSamples: number;
  readonly noData: NoDataPolicy;
}

/** A gate as it stands. */
export interface GateStatus {
  readonly state: GateState;
  /** The candidate's value. */
  readonly observed: number | null;
  /** The stable arm's, where it is compared with that. */
  readonly baseline: number | null;
  /** What `observed` is held against, in its unit. */
  readonly threshold: number | null;
  /** Requests behind `observed`. */
  readonly samples: number;
  /** Valid at every look: the least level at which the candidate would have been found to be worse than allowed. */
  readonly alwaysValidP: number | null;
  /** In plain words. */
  readonly explanation: string;
}
