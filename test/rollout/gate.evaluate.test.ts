/** What a gate says, and when: the states, what they are held against, and the words. Coverage is simulated elsewhere. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MetricWindow } from '#src/metric/window.ts';
import type { ArmEvidence, Evidence } from '#src/rollout/evidence.ts';
import { evaluateGates } from '#src/rollout/gate.evaluate.ts';
import { comparisons, gateMetrics, type Gate, type GateStatus } from '#src/rollout/gate.ts';
import { armOf, evidenceOf, gateOf } from './simulation.ts';

const alpha = 0.005;

function statusOf(gate: Gate, evidence: Evidence, baked = false): GateStatus {
  const [status] = evaluateGates([gate], evidence, { alpha, baked }).statuses;
  if (!status) throw new Error('No status.');
  return status;
}

function latencyOf(parts: readonly (readonly [ms: number, count: number])[]): Partial<ArmEvidence> {
  const window = new MetricWindow();
  for (const [ms, count] of parts) for (let i = 0; i < count; i++) window.add('ok', ms, 1);
  return { requests: window.requests, latency: window.encode() };
}

const disagreement = gateOf({ metric: 'DISAGREEMENT_RATE', threshold: 0.1, minSamples: 30 });
const errors = gateOf({ metric: 'ERROR_RATE', threshold: 0.02, against: 'STABLE_ARM', minSamples: 100 });
const drift = gateOf({ metric: 'OUTPUT_DRIFT', threshold: 0.1, minSamples: 100 });
const accuracy = gateOf({ metric: 'ACCURACY', threshold: 0.9, minSamples: 30 });
const p95 = gateOf({
  metric: 'LATENCY_P95_MS',
  threshold: 1.5,
  tolerance: 5,
  against: 'STABLE_ARM',
  minSamples: 100,
});

describe('a rate against a limit', () => {
  test('with evidence of more is FAILING', () => {
    expect(statusOf(disagreement, evidenceOf({ compared: 431, disagreed: 73 }))).toEqual({
      state: 'FAILING',
      observed: 73 / 431,
      baseline: null,
      threshold: 0.1,
      samples: 431,
      alwaysValidP: expect.closeTo(0.001_207_7, 7),
      explanation:
        '16.9 % of 431 mirrored requests were answered otherwise than by the stable arm; at most 10 % may be. ' +
        'Evidence that it is more: p = 0.0012, needed 0.0050.',
    });
  });

  test('with too few is NO_DATA, however long it baked, unless they say enough: the test is exact', () => {
    const all = statusOf(disagreement, evidenceOf({ compared: 5, disagreed: 5 }));
    expect(all).toMatchObject({ state: 'FAILING', observed: 1, samples: 5 });
    const status = statusOf(disagreement, evidenceOf({ compared: 29, disagreed: 1 }), true);
    expect(status).toMatchObject({ state: 'NO_DATA', samples: 29, alwaysValidP: null });
    expect(status.explanation).toMatch(/Nothing can be said before there are 1 more mirrored request\.$/);
  });

  test('with nothing is NO_DATA', () => {
    expect(statusOf(disagreement, evidenceOf({}), true)).toMatchObject({
      state: 'NO_DATA',
      observed: null,
      samples: 0,
      explanation:
        'No mirrored request has been seen; at most 10 % may be. ' +
        'Nothing can be said before there are 30 more mirrored requests.',
    });
  });

  test('with evidence either way still to come is WAITING, and PASSING once baked', () => {
    const evidence = evidenceOf({ compared: 100, disagreed: 10 });
    expect(statusOf(disagreement, evidence).state).toBe('WAITING');
    expect(statusOf(disagreement, evidence, true)).toMatchObject({ state: 'PASSING', alwaysValidP: 1 });
    expect(statusOf(disagreement, evidence, true).explanation).toMatch(
      /No evidence that it is more when the bake ended: p = 1\.0000, needed 0\.0050\.$/,
    );
  });

  test('with evidence of less is PASSING before the bake is over', () => {
    const status = statusOf(disagreement, evidenceOf({ compared: 1_000, disagreed: 20 }));
    expect(status.state).toBe('PASSING');
    expect(status.explanation).toMatch(/By the evidence it is at most [3-6](\.\d)? %\.$/);
  });

  test('of accuracy, much is good', () => {
    const judged = (right: number): Evidence => evidenceOf({ candidate: { judged: 1_000, right } });
    expect(statusOf(accuracy, judged(800)).state).toBe('FAILING');
    expect(statusOf(accuracy, judged(800)).explanation).toMatch(
      /at least 90 % must be\. Evidence that it is less/,
    );
    expect(statusOf(accuracy, judged(960)).state).toBe('PASSING');
    expect(statusOf(accuracy, judged(905)).state).toBe('WAITING');
  });

  test('of errors and invalid outputs counts the candidate alone', () => {
    const candidate = { requests: 1_000, errors: 300, invalid: 1 };
    const gates = [
      gateOf({ metric: 'ERROR_RATE', threshold: 0.05 }),
      gateOf({ metric: 'INVALID_OUTPUT_RATE', threshold: 0.05 }),
    ];
    const { statuses } = evaluateGates(gates, evidenceOf({ candidate }), { alpha, baked: false });
    expect(statuses.map(({ state }) => state)).toEqual(['FAILING', 'PASSING']);
    expect(statuses.map(({ observed }) => observed)).toEqual([0.3, 0.001]);
  });
});

describe("a rate against the stable arm's", () => {
  const arms = (candidate: [number, number], stable: [number, number]): Evidence =>
    evidenceOf({
      candidate: { requests: candidate[1], errors: candidate[0] },
      stable: { requests: stable[1], errors: stable[0] },
    });

  test('is held against that and the difference', () => {
    const status = statusOf(errors, arms([100, 1_000], [9, 9_000]));
    expect(status).toMatchObject({
      state: 'FAILING',
      observed: 0.1,
      baseline: 0.001,
      threshold: expect.closeTo(0.021, 12),
      samples: 1_000,
    });
    expect(status.explanation).toBe(
      "10 % of 1,000 requests failed, and 0.1 % of the stable arm's 9,000; at most 2.1 % may be. " +
        'Evidence that it is more: p < 0.0001, needed 0.0050.',
    );
  });

  test('nothing but errors against none at all alarms, though both variances are 0', () => {
    expect(statusOf(errors, arms([100, 100], [0, 900])).state).toBe('FAILING');
  });

  test('needs enough of either arm, and 50 of each whatever the gate says', () => {
    expect(statusOf(errors, arms([99, 99], [0, 900])).state).toBe('NO_DATA');
    const few = statusOf(errors, arms([100, 100], [0, 99]));
    expect(few.state).toBe('NO_DATA');
    expect(few.explanation).toMatch(/before there are 1 more request in the stable arm\.$/);
    const eager = { ...errors, minSamples: 1 };
    expect(statusOf(eager, arms([49, 49], [0, 900])).state).toBe('NO_DATA');
    expect(statusOf(eager, arms([50, 50], [0, 900])).state).toBe('FAILING');
  });

  test('with an interval below the difference is PASSING', () => {
    const status = statusOf(errors, arms([5, 5_000], [45, 45_000]));
    expect(status.state).toBe('PASSING');
    expect(status.explanation).toMatch(
      /By the evidence it is more by [01](\.\d+)? percentage points? at most\.$/,
    );
  });

  test('a candidate that is much better is no evidence against it', () => {
    expect(statusOf(errors, arms([0, 5_000], [9_000, 45_000]))).toMatchObject({
      state: 'PASSING',
      alwaysValidP: 1,
    });
  });

  test('of accuracy alarms below it', () => {
    const gate = gateOf({ metric: 'ACCURACY', threshold: -0.02, against: 'STABLE_ARM', minSamples: 50 });
    const judged = (right: number): Evidence =>
      evidenceOf({ candidate: { judged: 5_000, right }, stable: { judged: 45_000, right: 40_500 } });
    expect(statusOf(gate, judged(4_000))).toMatchObject({
      state: 'FAILING',
      threshold: expect.closeTo(0.88, 12),
    });
    expect(statusOf(gate, judged(4_500)).state).toBe('PASSING');
    expect(statusOf(gate, judged(4_950))).toMatchObject({ state: 'PASSING', alwaysValidP: 1 });
    expect(statusOf(gate, judged(4_390)).state).toBe('WAITING');
  });
});

describe('a quantile of latency', () => {
  const fast = latencyOf([
    [2, 9_500],
    [4, 500],
  ]);

  test("is held against the stable arm's, times the ratio, plus the tolerance", () => {
    const status = statusOf(p95, evidenceOf({ stable: fast, candidate: latencyOf([[50, 500]]) }));
    expect(status).toMatchObject({ state: 'FAILING', samples: 500 });
    expect(status.observed).toBeCloseTo(50, 0);
    expect(status.threshold).toBeCloseTo(1.5 * (status.baseline ?? NaN) + 5, 9);
    expect(status.explanation).toMatch(
      /^The p95 of 500 requests is [45]\d(\.\d)? ms, and [1-4](\.\d+)? ms of the stable arm's 10,000; at most \d+(\.\d+)? ms may be\. Evidence/,
    );
  });

  test('that is much too slow alarms before its silence would mean anything', () => {
    const stable = latencyOf([[2, 900]]);
    expect(statusOf(p95, evidenceOf({ stable, candidate: latencyOf([[50, 99]]) })).state).toBe('NO_DATA');
    expect(statusOf(p95, evidenceOf({ stable, candidate: latencyOf([[50, 100]]) })).state).toBe('FAILING');
    const silent = statusOf(p95, evidenceOf({ stable, candidate: latencyOf([[2, 100]]) }), true);
    expect(silent.state).toBe('NO_DATA');
    expect(silent.explanation).toMatch(/before there are \d{3} more requests\.$/);
  });

  test('without enough of the stable arm says nothing, however slow it is', () => {
    const few = { stable: latencyOf([[2, 600]]), candidate: latencyOf([[50, 2_000]]) };
    const status = statusOf(p95, evidenceOf(few), true);
    expect(status).toMatchObject({ state: 'NO_DATA', alwaysValidP: null });
    expect(status.explanation).toMatch(/before there are \d+ more requests in the stable arm\.$/);
  });

  test('an alarm once raised stays, though the gate would say nothing now', () => {
    const evidence = evidenceOf({ stable: fast, candidate: latencyOf([[2, 100]]), p: [0.001] });
    expect(statusOf(p95, evidence)).toMatchObject({ state: 'FAILING', alwaysValidP: 0.001 });
  });

  test('that is no slower is PASSING, and one that is a little slower WAITING', () => {
    const some = (ms: number): Evidence => evidenceOf({ stable: fast, candidate: latencyOf([[ms, 2_000]]) });
    expect(statusOf(p95, some(2)).state).toBe('PASSING');
    expect(statusOf(p95, some(2)).explanation).toMatch(
      /it is at most 2(\.\d+)? ms, and the stable arm's at least/,
    );
    expect(statusOf(p95, some(9)).state).toBe('WAITING');
  });

  test("does not pass while the stable arm's may be lower than it was observed", () => {
    // Its p95 was 4 ms, which allows 11; but 8 % of 1,000 are too few to tell that it is not 2, which allows 8.
    const stable = latencyOf([
      [2, 920],
      [4, 80],
    ]);
    const status = statusOf(p95, evidenceOf({ stable, candidate: latencyOf([[9, 5_000]]) }));
    expect(status.state).toBe('WAITING');
    expect(status.baseline).toBeCloseTo(4, 1);
  });

  test('against a limit: a p99 of some hundred requests is NO_DATA at the end of the bake', () => {
    const gate = gateOf({ metric: 'LATENCY_P99_MS', threshold: 20, minSamples: 100 });
    const of = (...parts: [number, number][]): Evidence => evidenceOf({ candidate: latencyOf(parts) });
    expect(statusOf(gate, of([2, 900]), true)).toMatchObject({
      state: 'NO_DATA',
      threshold: 20,
      samples: 900,
    });
    expect(statusOf(gate, of([2, 8_000])).state).toBe('PASSING');
    expect(statusOf(gate, of([2, 8_000], [30, 75])).state).toBe('WAITING');
    expect(statusOf(gate, of([2, 8_000], [30, 75]), true).state).toBe('PASSING');
    expect(statusOf(gate, of([2, 8_000], [30, 400])).state).toBe('FAILING');
  });
});

describe('drift of outputs', () => {
  test('is by labels where there are any', () => {
    const stable = { labels: { no: 2_520, yes: 1_480 }, values: { '3': 4_000 } };
    const status = statusOf(drift, evidenceOf({ stable, candidate: { labels: { no: 148, yes: 252 } } }));
    expect(status).toMatchObject({
      state: 'FAILING',
      observed: expect.closeTo(0.26, 12),
      threshold: 0.1,
      samples: 400,
    });
    expect(status.explanation).toMatch(
      /^"(no|yes)" is (37|63) % of 400 answers, and (63|37) % of the stable arm's 4,000: a difference of 26 percentage points; at most 10 percentage points may be\. Evidence/,
    );
  });

  test('counts a class that one arm never answers, even by the name of what every object has', () => {
    const stable = { labels: { no: 4_000 } };
    const status = statusOf(drift, evidenceOf({ stable, candidate: { labels: { constructor: 400 } } }));
    expect(status).toMatchObject({ state: 'FAILING', observed: 1 });
  });

  test('by values orders bins by their numbers, not as text', () => {
    const stable = { values: { '-10': 500, '2': 500, '10': 500 } };
    const candidate = { values: { '-10': 500, '10': 500, '2': 500 } };
    expect(statusOf(drift, evidenceOf({ stable, candidate })).observed).toBe(0);
    // Ordered as text, 10 would come first, and the functions would be 1 apart.
    const outside = { values: { '2': 500, '10': 500 } };
    const between = { values: { '3': 1_000 } };
    expect(statusOf(drift, evidenceOf({ stable: outside, candidate: between })).observed).toBe(0.5);
  });

  test('by values says all that it can: FAILING, PASSING, WAITING, NO_DATA', () => {
    const values = (low: number, high: number): Partial<ArmEvidence> => ({ values: { '1': low, '2': high } });
    const of = (candidate: Partial<ArmEvidence>): Evidence =>
      evidenceOf({ stable: values(50_000, 50_000), candidate });
    expect(statusOf(drift, of(values(1_000, 5_000))).state).toBe('FAILING');
    expect(statusOf(drift, of(values(5_000, 5_000))).state).toBe('PASSING');
    expect(statusOf(drift, of(values(300, 300))).state).toBe('WAITING');
    expect(statusOf({ ...drift, minSamples: 1 }, of(values(0, 99))).state).toBe('NO_DATA');
    expect(statusOf(drift, of({})).state).toBe('NO_DATA');
  });
});

test('each p is the least so far, in the order of the gates, and what alarmed once stays FAILING', () => {
  const gates = [disagreement, errors, drift];
  const { statuses, p } = evaluateGates(gates, evidenceOf({ compared: 100, disagreed: 2, p: [0.001, 0.3] }), {
    alpha,
    baked: false,
  });
  expect(p).toEqual([0.001, 0.3, 1]);
  expect(statuses.map(({ state }) => state)).toEqual(['FAILING', 'NO_DATA', 'NO_DATA']);
});

describe('whatever the evidence', () => {
  const count = fc.integer({ min: 0, max: 5_000 });
  const counts = fc.dictionary(fc.constantFrom('-7', '0', '3', '12'), fc.integer({ min: 1, max: 3_000 }));
  const arm = fc
    .record({
      requests: count,
      errors: count,
      invalid: count,
      judged: count,
      right: count,
      labels: counts,
      values: counts,
    })
    .map((each) =>
      armOf({
        ...each,
        errors: Math.min(each.errors, each.requests),
        invalid: Math.min(each.invalid, each.requests),
        right: Math.min(each.right, each.judged),
        ...latencyOf([
          [2, each.invalid],
          [3, each.right % 100],
        ]),
        requests: each.requests,
      }),
    );
  const gate = fc
    .record({
      metric: fc.constantFrom(...gateMetrics),
      comparison: fc.constantFrom(...comparisons),
      threshold: fc.double({ min: 0, max: 1, noNaN: true }),
      against: fc.constantFrom('ABSOLUTE', 'STABLE_ARM'),
      tolerance: fc.constantFrom(null, 0.5),
      minSamples: fc.integer({ min: 1, max: 200 }),
    })
    .map((each) => gateOf(each));

  test('every number is finite, p is a probability, nothing is NaN in words', () => {
    fc.assert(
      fc.property(
        fc.array(gate, { minLength: 1, maxLength: 4 }),
        arm,
        arm,
        count,
        (gates, stable, candidate, n) => {
          const evidence = evidenceOf({ stable, candidate, compared: n, disagreed: Math.floor(n / 3) });
          const { statuses, p } = evaluateGates(gates, evidence, { alpha, baked: n % 2 === 0 });
          expect(statuses.length).toBe(gates.length);
          for (const each of p) expect(each >= 0 && each <= 1).toBe(true);
          for (const { observed, baseline, threshold, explanation } of statuses) {
            for (const each of [observed, baseline, threshold])
              expect(each === null || Number.isFinite(each)).toBe(true);
            expect(explanation).not.toMatch(/NaN|∞|Infinity|undefined|null/);
          }
          // Looking again with what was found changes nothing.
          expect(evaluateGates(gates, { ...evidence, p }, { alpha, baked: n % 2 === 0 })).toEqual({
            statuses,
            p,
          });
        },
      ),
      { numRuns: 300 },
    );
  });

  test('LESS_THAN is the same test as AT_MOST, and GREATER_THAN as AT_LEAST', () => {
    fc.assert(
      fc.property(gate, arm, arm, (each, stable, candidate) => {
        const evidence = evidenceOf({ stable, candidate, compared: 500, disagreed: 70 });
        const states = comparisons.map((comparison) => {
          const { state, alwaysValidP } = statusOf({ ...each, comparison }, evidence);
          return { state, alwaysValidP };
        });
        expect(new Set(states.map((state) => JSON.stringify(state))).size).toBe(1);
      }),
      { numRuns: 100 },
    );
  });
});
