/** Which gates a rollout may have. What could never say anything is refused here, rather than ignored later. */
import type { RolloutStrategy } from '../platform/database.types.ts';
import { ValidationError } from '../platform/errors.ts';
import type { Signature } from '../signature/signature.ts';
import { hasAnswer, hasLabel } from './gate.defaults.ts';
import type { Gate } from './gate.ts';

const MAX_GATES = 10;
const MAX_SAMPLES = 1_000_000;
/** An hour. */
const MAX_LATENCY_MS = 3_600_000;
const MAX_RATIO = 100;

export interface GateSetting {
  readonly strategy: RolloutStrategy;
  /** Of the version that the rollout leads to. */
  readonly signature: Signature;
  /** Share of the stable arm's requests that are mirrored, 0 to 1. */
  readonly mirrorShare: number;
  /** Whether the outcome of any prediction is known. */
  readonly hasOutcomes: boolean;
}

type Path = readonly (string | number)[];

/** @throws ValidationError for the first thing that is wrong, at `path`, the gates' place in the input. */
export function checkGates(gates: readonly Gate[], setting: GateSetting, path: Path): void {
  if (gates.length < 1 || gates.length > MAX_GATES) {
    throw ValidationError.of(path, `1 to ${MAX_GATES} gates`, `${gates.length} gates`);
  }
  const seen = new Set<string>();
  for (const [index, gate] of gates.entries()) {
    const at = [...path, index];
    checkGate(gate, setting, at);
    const key = `${gate.metric} against ${gate.against}`;
    if (seen.has(key))
      throw ValidationError.of(at, 'one gate of each metric and comparison', `a second ${key}`);
    seen.add(key);
  }
}

function checkGate(gate: Gate, setting: GateSetting, path: Path): void {
  checkAgainst(gate, setting, path);
  checkComparison(gate, path);
  checkThreshold(gate, path);
  checkTolerance(gate, setting, path);
  checkSource(gate, setting, path);
  const { minSamples } = gate;
  if (!Number.isInteger(minSamples) || minSamples < 1 || minSamples > MAX_SAMPLES) {
    throw ValidationError.of(
      [...path, 'minSamples'],
      'a whole number from 1 to 1,000,000',
      String(minSamples),
    );
  }
  if (gate.metric === 'ACCURACY' && gate.noData === 'FAIL' && !setting.hasOutcomes) {
    throw ValidationError.of(
      [...path, 'noData'],
      'WAIT or PASS: no outcome of a prediction is known',
      'FAIL',
    );
  }
}

/** Metrics that compare the arms by themselves. */
function comparesArms({ metric }: Gate): boolean {
  return metric === 'DISAGREEMENT_RATE' || metric === 'OUTPUT_DRIFT';
}

function isLatency({ metric }: Gate): boolean {
  return metric === 'LATENCY_P50_MS' || metric === 'LATENCY_P95_MS' || metric === 'LATENCY_P99_MS';
}

/** A shadow is compared like any arm: its answers to mirrored requests count as its requests. */
function checkAgainst(gate: Gate, { strategy }: GateSetting, path: Path): void {
  const { metric, against } = gate;
  if (comparesArms(gate) && against === 'STABLE_ARM') {
    throw ValidationError.of(
      [...path, 'against'],
      `ABSOLUTE: ${metric} compares the arms by itself`,
      'STABLE_ARM',
    );
  }
  if (strategy !== 'ALL_AT_ONCE') return;
  if (comparesArms(gate)) {
    throw ValidationError.of(
      [...path, 'metric'],
      'a metric of the candidate alone: with ALL_AT_ONCE the stable arm gets no requests',
      metric,
    );
  }
  if (against === 'STABLE_ARM') {
    throw ValidationError.of(
      [...path, 'against'],
      'ABSOLUTE: with ALL_AT_ONCE the stable arm gets no requests',
      'STABLE_ARM',
    );
  }
}

/** What is never measured would be waited for in vain. */
function checkSource({ metric }: Gate, { signature, mirrorShare }: GateSetting, path: Path): void {
  const at = [...path, 'metric'];
  if (metric === 'DISAGREEMENT_RATE' && mirrorShare === 0)
    throw ValidationError.of(at, 'another metric, or a mirrorShare above 0: nothing is mirrored', metric);
  if (metric === 'OUTPUT_DRIFT' && !hasAnswer(signature))
    throw ValidationError.of(at, 'another metric: the version answers neither a class nor a number', metric);
}

function checkComparison({ metric, comparison }: Gate, path: Path): void {
  const least = comparison === 'AT_LEAST' || comparison === 'GREATER_THAN';
  if (least === (metric === 'ACCURACY')) return;
  const expected = least
    ? `LESS_THAN or AT_MOST: much of ${metric} is bad`
    : `AT_LEAST or GREATER_THAN: much of ${metric} is good`;
  throw ValidationError.of([...path, 'comparison'], expected, comparison);
}

function checkThreshold(gate: Gate, path: Path): void {
  const { threshold, against } = gate;
  const stable = against === 'STABLE_ARM';
  const refuse = (expected: string): never => {
    throw ValidationError.of([...path, 'threshold'], expected, String(threshold));
  };
  // Written so that NaN is refused, too.
  const within = (least: number, most: number): boolean => threshold >= least && threshold <= most;
  if (isLatency(gate)) {
    if (stable && !within(1, MAX_RATIO)) refuse("1 to 100 times the stable arm's latency");
    if (!stable && !(threshold > 0 && within(0, MAX_LATENCY_MS))) {
      refuse('milliseconds above 0, up to 3,600,000');
    }
    return;
  }
  if (stable && !within(-1, 1)) refuse('a difference of shares from -1 to 1');
  if (!stable && !within(0, 1)) refuse('a share from 0 to 1');
}

function checkTolerance(gate: Gate, { signature }: GateSetting, path: Path): void {
  const { metric, against, tolerance } = gate;
  const at = [...path, 'tolerance'];
  if (tolerance === null) {
    if (metric === 'DISAGREEMENT_RATE' && !hasLabel(signature)) {
      throw ValidationError.of(at, 'by how much two answers may differ: the version answers no label', null);
    }
    return;
  }
  const latencyRatio = isLatency(gate) && against === 'STABLE_ARM';
  if (metric !== 'DISAGREEMENT_RATE' && !latencyRatio) {
    throw ValidationError.of(
      at,
      'none: it belongs to DISAGREEMENT_RATE and to a latency against STABLE_ARM',
      String(tolerance),
    );
  }
  if (
    latencyRatio
      ? !(tolerance >= 0 && tolerance <= MAX_LATENCY_MS)
      : !(tolerance >= 0 && Number.isFinite(tolerance))
  ) {
    throw ValidationError.of(
      at,
      latencyRatio ? 'milliseconds from 0 to 3,600,000' : 'a finite number, 0 or more',
      String(tolerance),
    );
  }
}
