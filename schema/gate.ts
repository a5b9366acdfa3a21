import type { Gate, GateStatus } from '#src/rollout/gate.ts';
import { comparisons, gateAgainst, gateMetrics, gateStates, noDataPolicies } from '#src/rollout/gate.ts';
import { builder } from './builder.ts';
import { described } from './described.ts';

const GateMetricEnum = builder.enumType('GateMetric', {
  description: 'What a gate measures of the candidate.',
  values: described(gateMetrics, {
    ERROR_RATE:
      "Share of its requests that the model or this server failed, invalid outputs included; callers' mistakes and refusals for load do not count.",
    INVALID_OUTPUT_RATE: 'Share of its requests that were answered with NaN, an infinity or a wrong shape.',
    LATENCY_P50_MS: 'Median of its latency in milliseconds.',
    LATENCY_P95_MS:
      '95th percentile of its latency in milliseconds; says something from about 1,000 requests on.',
    LATENCY_P99_MS:
      '99th percentile of its latency in milliseconds; says something from some thousand requests on.',
    DISAGREEMENT_RATE: 'Share of the mirrored requests that it answered otherwise than the stable arm.',
    OUTPUT_DRIFT:
      "How far its answers are distributed otherwise than the stable arm's: the largest difference in the share of any class, or of the distribution function of a number. 0 to 1.",
    ACCURACY:
      'Share of its predictions that turned out to be right, of those whose outcome is known. Outcomes cannot be recorded yet: until then it says NO_DATA.',
  }),
});
const ComparisonEnum = builder.enumType('Comparison', {
  description: 'How a value must stand to a threshold.',
  values: described(comparisons, {
    LESS_THAN: 'Below it.',
    AT_MOST: 'Not above it.',
    AT_LEAST: 'Not below it.',
    GREATER_THAN: 'Above it.',
  }),
});
const GateAgainstEnum = builder.enumType('GateAgainst', {
  description: 'What a gate holds its value against.',
  values: described(gateAgainst, {
    ABSOLUTE: 'The threshold itself.',
    STABLE_ARM:
      "The stable arm's value over the same time. Of a share the threshold is the difference (candidate less stable), of a latency the ratio.",
  }),
});
const NoDataPolicyEnum = builder.enumType('NoDataPolicy', {
  description: "What it means when there is too little to say at a bake's end.",
  values: described(noDataPolicies, {
    WAIT: 'The step goes on, until the timeout.',
    FAIL: 'The rollout is taken back.',
    PASS: 'The gate counts as passed.',
  }),
});
const GateStateEnum = builder.enumType('GateState', {
  description: 'What a gate says.',
  values: described(gateStates, {
    WAITING: 'Neither for nor against the candidate, so far.',
    PASSING:
      'The candidate is good enough: by evidence, or because the bake ended with enough samples and no alarm.',
    FAILING: 'There is evidence that the candidate is worse than allowed.',
    NO_DATA: 'Too few requests to say anything.',
  }),
});

const GateType = builder.objectRef<Gate>('Gate').implement({
  description: 'What a rollout is judged by.',
  fields: (t) => ({
    metric: t.expose('metric', { type: GateMetricEnum, description: 'What is measured.' }),
    comparison: t.expose('comparison', {
      type: ComparisonEnum,
      description: 'How it must stand to the threshold.',
    }),
    threshold: t.exposeFloat('threshold', {
      description:
        'A share from 0 to 1, or milliseconds; against the stable arm a difference of shares, or a ratio of latencies.',
    }),
    against: t.expose('against', { type: GateAgainstEnum, description: 'What it is held against.' }),
    tolerance: t.exposeFloat('tolerance', {
      nullable: true,
      description:
        'Of DISAGREEMENT_RATE: by how much numbers may differ and still agree. Of a latency against the stable arm: milliseconds that do not matter, on top.',
    }),
    minSamples: t.exposeInt('minSamples', {
      description: 'Requests, of each arm compared, below which nothing is said.',
    }),
    noData: t.expose('noData', { type: NoDataPolicyEnum, description: 'What too few of them mean.' }),
  }),
});

export interface ShownGate {
  readonly gate: Gate;
  readonly status: GateStatus | undefined;
}

export const GateStatusType = builder.objectRef<ShownGate>('GateStatus').implement({
  description: 'A gate as it stands, of the step that bakes or was the last to.',
  fields: (t) => ({
    gate: t.expose('gate', { type: GateType, description: 'The gate.' }),
    state: t.field({
      type: GateStateEnum,
      description: 'What it says.',
      resolve: ({ status }) => status?.state ?? 'WAITING',
    }),
    observed: t.float({
      nullable: true,
      description: "The candidate's value; a share, or milliseconds.",
      resolve: ({ status }) => status?.observed ?? null,
    }),
    baseline: t.float({
      nullable: true,
      description: "The stable arm's value, where it is compared with that.",
      resolve: ({ status }) => status?.baseline ?? null,
    }),
    threshold: t.float({
      nullable: true,
      description: 'What `observed` is held against, in its unit.',
      resolve: ({ status }) => status?.threshold ?? null,
    }),
    samples: t.field({
      type: 'BigInt',
      description: 'Requests behind `observed`.',
      resolve: ({ status }) => BigInt(status?.samples ?? 0),
    }),
    alwaysValidP: t.float({
      nullable: true,
      description:
        'The least level at which the candidate would have been found worse than allowed, at this or any earlier look: it may be looked at all the time. Small is bad.',
      resolve: ({ status }) => status?.alwaysValidP ?? null,
    }),
    explanation: t.string({
      description: 'The same in plain words.',
      resolve: ({ status }) => status?.explanation ?? 'The step does not bake yet.',
    }),
  }),
});

export const GateInput = builder.inputType('GateInput', {
  description: 'What to judge a rollout by.',
  fields: (t) => ({
    metric: t.field({ type: GateMetricEnum, required: true, description: 'What to measure.' }),
    comparison: t.field({
      type: ComparisonEnum,
      description: 'How it must stand to the threshold; AT_MOST, of ACCURACY AT_LEAST, where it is left out.',
    }),
    threshold: t.float({
      required: true,
      description:
        'ABSOLUTE: a share from 0 to 1, or milliseconds. STABLE_ARM: the difference of shares (candidate less stable, -1 to 1), or the ratio of latencies (1 to 100).',
    }),
    against: t.field({
      type: GateAgainstEnum,
      defaultValue: 'ABSOLUTE',
      description:
        'What to hold it against. DISAGREEMENT_RATE and OUTPUT_DRIFT compare the arms by themselves: ABSOLUTE.',
    }),
    tolerance: t.float({
      description:
        'Of DISAGREEMENT_RATE: by how much numbers (values, probabilities, outputs) may differ and still agree; without it only labels count. Of a latency against the stable arm: milliseconds that do not matter, on top.',
    }),
    minSamples: t.int({
      defaultValue: 100,
      description: 'Requests, of each arm compared, below which nothing is said; 1 to 1,000,000.',
    }),
    noData: t.field({
      type: NoDataPolicyEnum,
      defaultValue: 'WAIT',
      description: "What fewer of them mean at the bake's end.",
    }),
  }),
});

/** As the domain takes it. */
export function gateOf(input: typeof GateInput.$inferInput): Gate {
  const { metric, comparison, threshold, against, tolerance, minSamples, noData } = input;
  return {
    metric,
    comparison: comparison ?? (metric === 'ACCURACY' ? 'AT_LEAST' : 'AT_MOST'),
    threshold,
    against: against ?? 'ABSOLUTE',
    tolerance: tolerance ?? null,
    minSamples: minSamples ?? 100,
    noData: noData ?? 'WAIT',
  };
}
