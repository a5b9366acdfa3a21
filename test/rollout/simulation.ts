/** Traffic of two arms as it would be evidence second by second, and what a gate says of it at each look. */
import { MetricWindow } from '#src/metric/window.ts';
import type { ArmEvidence, Evidence } from '#src/rollout/evidence.ts';
import { evaluateGates } from '#src/rollout/gate.evaluate.ts';
import type { Gate } from '#src/rollout/gate.ts';
import { addMultinomial, binomial, seededRandom, type Random } from '#test/helpers/random.ts';

const noLatency = new MetricWindow().encode();

export function armOf(counts: Partial<ArmEvidence> = {}): ArmEvidence {
  return {
    requests: 0,
    errors: 0,
    invalid: 0,
    latency: noLatency,
    labels: {},
    values: {},
    judged: 0,
    right: 0,
    ...counts,
  };
}

export function evidenceOf(parts: {
  stable?: Partial<ArmEvidence>;
  candidate?: Partial<ArmEvidence>;
  compared?: number;
  disagreed?: number;
  p?: readonly number[];
}): Evidence {
  const { stable, candidate, ...rest } = parts;
  return {
    stable: armOf(stable),
    candidate: armOf(candidate),
    compared: 0,
    disagreed: 0,
    dropped: 0,
    p: [],
    ...rest,
  };
}

export function gateOf(gate: Partial<Gate> & Pick<Gate, 'metric' | 'threshold'>): Gate {
  return {
    comparison: gate.metric === 'ACCURACY' ? 'AT_LEAST' : 'AT_MOST',
    against: 'ABSOLUTE',
    tolerance: null,
    minSamples: 1,
    noData: 'WAIT',
    ...gate,
  };
}

/** What a request of an arm is like. Shares sum to 1. */
export interface ArmTraffic {
  readonly errorRate?: number;
  readonly invalidRate?: number;
  readonly rightRate?: number;
  readonly labels?: Readonly<Record<string, number>>;
  readonly values?: readonly number[];
  /** Milliseconds and their shares. */
  readonly latency?: readonly (readonly [number, number])[];
}

export interface Traffic {
  readonly stable: ArmTraffic;
  readonly candidate: ArmTraffic;
  /** Of the mirrored requests. */
  readonly disagreement?: number;
}

/** 100 requests/s with a weight of 0.1, and a tenth of the stable arm's requests mirrored. */
export const perSecond = { stable: 90, candidate: 10, mirrored: 9 } as const;

/** Counts of one arm so far. */
class Arm {
  #requests = 0;
  #errors = 0;
  #invalid = 0;
  #right = 0;
  readonly #labels: number[] = [];
  readonly #values: number[] = [];
  readonly #latencies: number[] = [];
  readonly #traffic: ArmTraffic;
  readonly #keys: readonly number[];

  constructor(traffic: ArmTraffic, keys: readonly number[]) {
    this.#traffic = traffic;
    this.#keys = keys;
  }

  second(random: Random, n: number): void {
    const { errorRate = 0, invalidRate = 0, rightRate = 0, labels, values, latency } = this.#traffic;
    this.#requests += n;
    this.#errors += binomial(random, n, errorRate);
    this.#invalid += binomial(random, n, invalidRate);
    this.#right += binomial(random, n, rightRate);
    if (labels) addMultinomial(random, n, Object.values(labels), this.#labels);
    if (values) addMultinomial(random, n, values, this.#values);
    if (latency) {
      const shares = latency.map(([, share]) => share);
      addMultinomial(random, n, shares, this.#latencies);
    }
  }

  evidence(): ArmEvidence {
    const { rightRate, labels, values, latency } = this.#traffic;
    return armOf({
      requests: this.#requests,
      errors: this.#errors,
      invalid: this.#invalid,
      judged: rightRate === undefined ? 0 : this.#requests,
      right: this.#right,
      labels: labels ? record(Object.keys(labels), this.#labels) : {},
      values: values ? record([...values.keys()].map(String), this.#values) : {},
      latency: latency ? this.#line(latency.at(-1)?.[0] ?? 0) : noLatency,
    });
  }

  /** As `MetricWindow.encode` would write it; to add each request to a window would take most of the simulation's time. */
  #line(maxMs: number): string {
    let before = 0;
    const bins: string[] = [];
    for (const [index, key] of this.#keys.entries()) {
      const count = this.#latencies[index] ?? 0;
      if (count === 0) continue;
      bins.push(`${key - before}x${count}`);
      before = key;
    }
    return `${this.#requests} 0 0 0 0 ${this.#requests} 0 ${maxMs} ${bins.join(',')}`;
  }
}

function record(names: readonly string[], counts: readonly number[]): Record<string, number> {
  const entries = names.map((name, index) => [name, counts[index] ?? 0] as const);
  return Object.fromEntries(entries.filter(([, count]) => count > 0));
}

/** The sketch's key of a latency, from what a window with nothing else in it writes. */
function keyOf(ms: number): number {
  const window = new MetricWindow();
  window.add('ok', ms, 1);
  return Number(window.encode().split(' ').at(-1));
}

const keysOf = ({ latency = [] }: ArmTraffic): number[] => latency.map(([ms]) => keyOf(ms));

export interface Simulation {
  readonly traffic: Traffic;
  readonly gate: Gate;
  readonly alpha: number;
  readonly runs: number;
  readonly seconds: number;
  readonly seed: number;
}

export interface Outcome {
  /** The second of the first FAILING of each run; Infinity where there was none. */
  readonly alarms: readonly number[];
  /** Runs in which any look said PASSING. */
  readonly passes: number;
}

/** Looks each second, until an alarm. `look` says what is alarm and pass where it is not the gate that says it. */
export function simulate(simulation: Simulation, look: Look = gateLook(simulation)): Outcome {
  const { traffic, runs, seconds, seed } = simulation;
  const random = seededRandom(seed);
  const [stableKeys, candidateKeys] = [keysOf(traffic.stable), keysOf(traffic.candidate)];
  const alarms: number[] = [];
  let passes = 0;
  for (let run = 0; run < runs; run++) {
    const stable = new Arm(traffic.stable, stableKeys);
    const candidate = new Arm(traffic.candidate, candidateKeys);
    let [compared, disagreed, alarm, passed] = [0, 0, Infinity, false];
    let p: readonly number[] = [];
    for (let second = 1; second <= seconds && alarm === Infinity; second++) {
      stable.second(random, perSecond.stable);
      candidate.second(random, perSecond.candidate);
      compared += perSecond.mirrored;
      disagreed += binomial(random, perSecond.mirrored, traffic.disagreement ?? 0);
      const found = look(
        evidenceOf({ stable: stable.evidence(), candidate: candidate.evidence(), compared, disagreed, p }),
      );
      p = found.p;
      if (found.alarm) alarm = second;
      passed ||= found.pass;
    }
    alarms.push(alarm);
    if (passed) passes++;
  }
  return { alarms, passes };
}

export type Look = (evidence: Evidence) => { alarm: boolean; pass: boolean; p: readonly number[] };

function gateLook({ gate, alpha }: Simulation): Look {
  return (evidence) => {
    const { statuses, p } = evaluateGates([gate], evidence, { alpha, baked: false });
    const state = statuses[0]?.state;
    return { alarm: state === 'FAILING', pass: state === 'PASSING', p };
  };
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
