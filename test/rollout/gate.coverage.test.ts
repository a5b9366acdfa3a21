/**
 * How often gates are wrong, and how soon they are right, by simulation: 100 requests/s, a candidate with a tenth of them,
 * a look each second for two minutes.
 */
import { describe, expect, test } from 'vitest';
import { MetricWindow } from '#src/metric/window.ts';
import type { Gate } from '#src/rollout/gate.ts';
import { RankedBins } from '#src/statistics/quantile.ts';
import { gateOf, median, perSecond, simulate, type Look, type Traffic } from './simulation.ts';

const ALPHA = 0.05;
const RUNS = 2_000;
const SECONDS = 120;
/**
 * Of 2,000 runs with a false alarm in 1 of 20 (100 expected, deviation √(2000·0.05·0.95) = 9.75), more than this alarm
 * in less than 1 of 1,000 cases. A gate with 7 % false alarms (140 expected) exceeds it in 4 of 5.
 */
const MOST = 130;

interface Case {
  readonly name: string;
  readonly gate: Gate;
  /** At the very edge of what the gate allows. */
  readonly edge: Traffic;
}

const errorRate = gateOf({ metric: 'ERROR_RATE', threshold: 0.02, against: 'STABLE_ARM', minSamples: 50 });
const p95 = gateOf({
  metric: 'LATENCY_P95_MS',
  threshold: 1.5,
  tolerance: 5,
  against: 'STABLE_ARM',
});
const drift = gateOf({ metric: 'OUTPUT_DRIFT', threshold: 0.1 });
const disagreement = gateOf({ metric: 'DISAGREEMENT_RATE', threshold: 0.1 });
const invalid = gateOf({ metric: 'INVALID_OUTPUT_RATE', threshold: 0.01 });

const even = (n: number): number[] => Array.from({ length: n }, () => 1 / n);
/** A tenth of the answers goes from the lowest of 20 bins to the highest: the functions differ by 0.1 everywhere between. */
const moved = even(20).map((share, bin) => share + (bin < 2 ? -0.05 : bin > 17 ? 0.05 : 0));

const cases: Case[] = [
  {
    name: 'a difference of error rates, frequent',
    gate: errorRate,
    edge: { stable: { errorRate: 0.1 }, candidate: { errorRate: 0.12 } },
  },
  {
    name: 'a difference of error rates, rare',
    gate: errorRate,
    edge: { stable: { errorRate: 0.001 }, candidate: { errorRate: 0.021 } },
  },
  {
    name: 'a difference of accuracies',
    gate: gateOf({ metric: 'ACCURACY', threshold: -0.05, against: 'STABLE_ARM' }),
    edge: { stable: { rightRate: 0.98 }, candidate: { rightRate: 0.93 } },
  },
  {
    name: 'a rate against a limit',
    gate: invalid,
    edge: { stable: {}, candidate: { invalidRate: 0.01 } },
  },
  {
    name: 'an accuracy against a limit',
    gate: gateOf({ metric: 'ACCURACY', threshold: 0.9 }),
    edge: { stable: {}, candidate: { rightRate: 0.9 } },
  },
  {
    name: 'disagreement of mirrored requests',
    gate: disagreement,
    edge: { stable: {}, candidate: {}, disagreement: 0.1 },
  },
  {
    name: 'a median against a limit',
    gate: gateOf({ metric: 'LATENCY_P50_MS', threshold: 20 }),
    edge: {
      stable: {},
      candidate: {
        latency: [
          [20, 0.5],
          [30, 0.5],
        ],
      },
    },
  },
  {
    name: "a p95 against the stable arm's",
    gate: p95,
    edge: {
      stable: {
        latency: [
          [2, 0.5],
          [10, 0.45],
          [40, 0.05],
        ],
      },
      candidate: {
        latency: [
          [2, 0.5],
          [20, 0.45],
          [60, 0.05],
        ],
      },
    },
  },
  {
    name: 'drift of two classes',
    gate: drift,
    edge: { stable: { labels: { no: 0.63, yes: 0.37 } }, candidate: { labels: { no: 0.53, yes: 0.47 } } },
  },
  {
    name: 'drift of six classes, some rare',
    gate: drift,
    edge: {
      stable: { labels: { a: 0.4, b: 0.3, c: 0.2, d: 0.05, e: 0.03, f: 0.02 } },
      candidate: { labels: { a: 0.3, b: 0.2, c: 0.3, d: 0.14, e: 0.04, f: 0.02 } },
    },
  },
  {
    name: 'drift of numbers',
    gate: drift,
    edge: { stable: { values: even(20) }, candidate: { values: moved } },
  },
];

const finite = (alarms: readonly number[]): number => alarms.filter((second) => second < Infinity).length;

describe('at the edge of what is allowed, looked at each second', () => {
  test.each(cases)('$name: at most 1 false alarm in 20, and 1 false pass', ({ gate, edge }) => {
    const { alarms, passes } = simulate({
      gate,
      traffic: edge,
      alpha: ALPHA,
      runs: RUNS,
      seconds: SECONDS,
      seed: 1,
    });
    expect(finite(alarms)).toBeLessThanOrEqual(MOST);
    expect(passes).toBeLessThanOrEqual(MOST);
  });

  /** Tests that are right once, at the one-sided level of 5 %, and wrong when they are asked each second. */
  const naive: Record<string, Look> = {
    'a difference of error rates, frequent': ({ stable, candidate }) => {
      const [a, b] = [stable.errors / stable.requests, candidate.errors / candidate.requests];
      const deviation = Math.sqrt((a * (1 - a)) / stable.requests + (b * (1 - b)) / candidate.requests);
      return naively(candidate.requests >= 50 && b - a - 0.02 > 1.645 * deviation);
    },
    'disagreement of mirrored requests': ({ compared, disagreed }) =>
      naively(disagreed - 0.1 * compared > 1.645 * Math.sqrt(0.09 * compared)),
    // Ranks at q ± 1.645·√(q(1−q)/n), as of a fixed number of requests.
    'a median against a limit': ({ candidate }) => {
      const bins = new RankedBins(MetricWindow.decode(candidate.latency).latencyBins());
      return naively(bins.low(Math.ceil(0.5 * bins.n - 1.645 * Math.sqrt(0.25 * bins.n))) > 20);
    },
    // Each arm's band by Dvoretzky, Kiefer, Wolfowitz and Massart, without a share for the other arm or for looking often.
    'drift of numbers': ({ stable, candidate }) => {
      const [n, m] = [stable, candidate].map(({ requests }) => requests);
      let [below, under, largest] = [0, 0, 0];
      for (let bin = 0; bin < 20; bin++) {
        below += (stable.values[bin] ?? 0) / (n ?? 0);
        under += (candidate.values[bin] ?? 0) / (m ?? 0);
        largest = Math.max(largest, Math.abs(below - under));
      }
      return naively(largest - 0.1 > Math.sqrt(Math.log(2 / ALPHA) / (2 * (m ?? 0))));
    },
  };
  const naively = (alarm: boolean): ReturnType<Look> => ({ alarm, pass: false, p: [] });

  test.each(Object.entries(naive))(
    '%s: the same check finds a test out that is not made for it',
    (name, look) => {
      const found = cases.find((each) => each.name === name);
      if (!found) throw new Error(`No case ${name}.`);
      const { gate, edge } = found;
      const options = { gate, traffic: edge, alpha: ALPHA, runs: RUNS, seconds: SECONDS, seed: 1 };
      expect(finite(simulate(options, look).alarms)).toBeGreaterThan(MOST);
    },
  );
});

describe('a candidate that is clearly worse', () => {
  const fast = [
    [1, 0.5],
    [2, 0.45],
    [3, 0.05],
  ] as const;
  const slow = [
    [49, 0.5],
    [50, 0.45],
    [52, 0.05],
  ] as const;

  /** `within`: seconds in which half of the runs alarm, with each of five gates at a fifth of 5 %. */
  test.each<Case & { within: number }>([
    {
      name: 'labels swapped, by disagreement',
      gate: { ...disagreement, minSamples: 30 },
      edge: { stable: {}, candidate: {}, disagreement: 1 },
      within: Math.ceil(30 / perSecond.mirrored),
    },
    {
      name: 'labels swapped, by drift of the classes',
      gate: { ...drift, minSamples: 100 },
      edge: { stable: { labels: { no: 0.63, yes: 0.37 } }, candidate: { labels: { no: 0.37, yes: 0.63 } } },
      within: 15,
    },
    {
      name: 'answers after 50 ms instead of 2',
      gate: { ...p95, minSamples: 100 },
      edge: { stable: { latency: fast }, candidate: { latency: slow } },
      within: 10,
    },
    {
      name: '5 % errors instead of 0.1 %',
      gate: { ...errorRate, minSamples: 100 },
      edge: { stable: { errorRate: 0.001 }, candidate: { errorRate: 0.05 } },
      within: 70,
    },
    {
      name: '20 % invalid outputs',
      gate: { ...invalid, minSamples: 30 },
      edge: { stable: {}, candidate: { invalidRate: 0.2 } },
      within: 4,
    },
  ])('$name: found in time', ({ gate, edge, within }) => {
    const { alarms } = simulate({
      gate,
      traffic: edge,
      alpha: ALPHA / 5,
      runs: 200,
      seconds: SECONDS,
      seed: 2,
    });
    expect(median(alarms)).toBeLessThanOrEqual(within);
  });
});
