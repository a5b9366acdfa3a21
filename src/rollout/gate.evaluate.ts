/**
 * What the gates say of the evidence so far. It may be asked as often as anybody likes: each p is valid at every look,
 * so that its running minimum is compared with the gate's level and nothing is spent by looking.
 *
 * All of it takes requests to be independent of each other. They are not where one heavy caller sends most of them:
 * then there is less evidence than it seems, and both false alarms and false passes are more frequent than stated.
 */
import type { Evidence } from './evidence.ts';
import { findDrift } from './gate.drift.ts';
import type { Finding } from './gate.finding.ts';
import { findLatency } from './gate.latency.ts';
import { findRate } from './gate.rate.ts';
import type { Gate, GateState, GateStatus } from './gate.ts';
import { level, pValue } from './gate.words.ts';

export interface EvaluateOptions {
  /** Of each gate, 0 to 1: already split over them. */
  readonly alpha: number;
  /** Whether the time of the bake is over. */
  readonly baked: boolean;
}

export interface GateEvaluation {
  /** In the order of the gates, like `p`. */
  readonly statuses: GateStatus[];
  /** The running minimum of each gate's p: what stands as `Evidence.p` from now on. */
  readonly p: number[];
}

/**
 * FAILING: evidence, at any look so far, that the candidate is worse than allowed; where the test is exact, before there
 * are as many samples as the gate wants, too: three failures of three say enough. PASSING: its always-valid interval lies
 * on the good side, or the bake is over without an alarm. NO_DATA: fewer samples than the gate or its statistic needs,
 * also at the bake's end. WAITING: anything else.
 *
 * Gates are those that `checkGates` lets through.
 */
export function evaluateGates(
  gates: readonly Gate[],
  evidence: Evidence,
  options: EvaluateOptions,
): GateEvaluation {
  const judged = gates.map((gate, index) => {
    const finding = find(gate, evidence, options.alpha);
    const p = Math.min(finding.p, evidence.p[index] ?? 1);
    return { status: judge(finding, p, options), p };
  });
  return { statuses: judged.map(({ status }) => status), p: judged.map(({ p }) => p) };
}

function find(gate: Gate, evidence: Evidence, alpha: number): Finding {
  switch (gate.metric) {
    case 'LATENCY_P50_MS':
    case 'LATENCY_P95_MS':
    case 'LATENCY_P99_MS':
      return findLatency(gate.metric, gate, evidence, alpha);
    case 'OUTPUT_DRIFT':
      return findDrift(gate, evidence, alpha);
    default:
      return findRate(gate.metric, gate, evidence, alpha);
  }
}

function judge(finding: Finding, p: number, options: EvaluateOptions): GateStatus {
  const state = stateOf(finding, p, options);
  const { observed, baseline, threshold, samples } = finding;
  return {
    state,
    observed,
    baseline,
    threshold,
    samples,
    alwaysValidP: state === 'NO_DATA' ? null : p,
    explanation: `${finding.seen} ${verdict(state, finding, p, options.alpha)}`,
  };
}

function stateOf(
  { missing, silent, good, isExact }: Finding,
  p: number,
  options: EvaluateOptions,
): GateState {
  if (isExact && p <= options.alpha) return 'FAILING';
  if (missing !== null) return 'NO_DATA';
  if (p <= options.alpha) return 'FAILING';
  if (good !== null) return 'PASSING';
  if (silent !== null) return 'NO_DATA';
  return options.baked ? 'PASSING' : 'WAITING';
}

function verdict(state: GateState, finding: Finding, p: number, alpha: number): string {
  const { good, worse } = finding;
  const found = `${pValue(p)}, needed ${level(alpha)}.`;
  const verdicts: Record<GateState, string> = {
    NO_DATA: `Nothing can be said before there are ${finding.missing ?? finding.silent ?? 'more requests'}.`,
    FAILING: `Evidence that it is ${worse}: ${found}`,
    WAITING: `No evidence either way yet: ${found}`,
    PASSING: good ?? `No evidence that it is ${worse} when the bake ended: ${found}`,
  };
  return verdicts[state];
}
