/** What windows add to the evidence, and what several gates say together. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MetricWindow, type Outcome } from '#src/metric/window.ts';
import type { Batch } from '#src/metric/stream.ts';
import { wilson } from '#src/rollout/agreement.ts';
import { collect, type Watched } from '#src/rollout/collect.ts';
import { emptyEvidence, type Evidence } from '#src/rollout/evidence.ts';
import type { Gate, GateState, GateStatus, NoDataPolicy } from '#src/rollout/gate.ts';
import { verdictOf } from '#src/rollout/verdict.ts';

const watched: Watched = { deploymentId: 'd', stableArmId: 's', candidateArmId: 'c', since: 100_000 };

const arm = (armId: string, deploymentId = 'd') => ({ deploymentId, armId, armName: armId });

function windowOf(
  outcomes: readonly Outcome[],
  fill: (window: MetricWindow) => void = () => {},
): MetricWindow {
  const window = new MetricWindow();
  for (const outcome of outcomes) window.add(outcome, 5, 1);
  fill(window);
  return window;
}

function batch(
  second: number,
  windows: readonly [armId: string, window: MetricWindow, deployment?: string][],
): Batch {
  return {
    writer: 'w',
    sequence: 1,
    second,
    idle: false,
    windows: windows.map(([armId, window, deployment]) => ({ arm: arm(armId, deployment), window })),
  };
}

test('requests count as they ended; mistakes of callers and what was shed do not', () => {
  const seen = collect(emptyEvidence(2), watched, [
    batch(100, [
      ['s', windowOf(['ok', 'ok', 'client', 'shed', 'server'])],
      [
        'c',
        windowOf(['ok', 'model'], (window) => {
          window.invalid = 1;
          window.addAnswer('benign');
          window.addMirrored('agreed');
          window.addMirrored('disagreed', 'request:0');
          window.addMirrored('dropped');
        }),
      ],
    ]),
  ])!;
  const { stable, candidate, compared, disagreed, dropped, p } = seen.evidence;
  expect([stable.requests, stable.errors, stable.invalid]).toEqual([3, 1, 0]);
  expect([candidate.requests, candidate.errors, candidate.invalid]).toEqual([2, 1, 1]);
  expect(candidate.labels).toEqual({ benign: 1 });
  expect([compared, disagreed, dropped, p]).toEqual([2, 1, 1, [1, 1]]);
  expect(seen.agreement).toEqual([
    { minute: '1970-01-01T00:01:00.000Z', compared: 2, disagreed: 1, dropped: 1, examples: ['request:0'] },
  ]);
});

test('seconds of another step, other arms and other deployments are left out', () => {
  const window = windowOf(['ok']);
  expect(collect(emptyEvidence(1), watched, [batch(99, [['s', window]])])).toBeUndefined();
  expect(collect(emptyEvidence(1), watched, [batch(100, [['x', window]])])).toBeUndefined();
  expect(collect(emptyEvidence(1), watched, [batch(100, [['s', window, 'other']])])).toBeUndefined();
});

test('however the batches are read, in one go or one by one, the evidence is the same', () => {
  const outcome = fc.constantFrom<Outcome>('ok', 'client', 'model', 'server', 'shed');
  const any = fc.record({
    second: fc.integer({ min: 95, max: 300 }),
    armId: fc.constantFrom('s', 'c'),
    outcomes: fc.array(outcome, { maxLength: 5 }),
    labels: fc.array(fc.string({ maxLength: 2 }), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 20 }), (all) => {
      const batches = (): Batch[] =>
        all.map(({ second, armId, outcomes, labels }) =>
          batch(second, [
            [armId, windowOf(outcomes, (window) => labels.forEach((label) => window.addAnswer(label)))],
          ]),
        );
      const together = collect(emptyEvidence(1), watched, batches())?.evidence ?? emptyEvidence(1);
      let apart: Evidence = emptyEvidence(1);
      for (const each of batches())
        // As it is kept in between.
        apart = JSON.parse(JSON.stringify(collect(apart, watched, [each])?.evidence ?? apart)) as Evidence;
      expect(apart).toEqual(together);
    }),
  );
});

describe('several gates', () => {
  const gate = (noData: NoDataPolicy): Gate => ({
    metric: 'ERROR_RATE',
    comparison: 'AT_MOST',
    threshold: 0.1,
    against: 'ABSOLUTE',
    tolerance: null,
    minSamples: 10,
    noData,
  });
  const status = (state: GateState): GateStatus => ({
    state,
    observed: null,
    baseline: null,
    threshold: null,
    samples: 0,
    alwaysValidP: null,
    explanation: `It is ${state}.`,
  });
  const says = (states: readonly [GateState, NoDataPolicy][], baked = true) =>
    verdictOf(
      states.map(([, noData]) => gate(noData)),
      states.map(([state]) => status(state)),
      baked,
    );

  test.for<[string, [GateState, NoDataPolicy][], boolean, string]>([
    [
      'one that fails is enough, at any time',
      [
        ['PASSING', 'WAIT'],
        ['FAILING', 'WAIT'],
      ],
      false,
      'FAILING',
    ],
    ['before the time is over nothing passes', [['PASSING', 'WAIT']], false, 'WAITING'],
    [
      'all pass',
      [
        ['PASSING', 'WAIT'],
        ['PASSING', 'FAIL'],
      ],
      true,
      'PASSING',
    ],
    [
      'one waits for data',
      [
        ['PASSING', 'WAIT'],
        ['NO_DATA', 'WAIT'],
      ],
      true,
      'WAITING',
    ],
    [
      'silence may pass',
      [
        ['PASSING', 'WAIT'],
        ['NO_DATA', 'PASS'],
      ],
      true,
      'PASSING',
    ],
    [
      'silence may fail',
      [
        ['PASSING', 'WAIT'],
        ['NO_DATA', 'FAIL'],
      ],
      true,
      'FAILING',
    ],
    ['silence fails only at the end', [['NO_DATA', 'FAIL']], false, 'WAITING'],
    ['what is undecided is waited for, whatever silence means', [['WAITING', 'PASS']], true, 'WAITING'],
  ])('%s', ([, states, baked, expected]) => {
    expect(says(states, baked).says).toBe(expected);
  });

  test('the reason is the gate’s own words', () => {
    expect(
      says([
        ['PASSING', 'WAIT'],
        ['FAILING', 'WAIT'],
      ]).reason,
    ).toBe('It is FAILING.');
    expect(verdictOf([gate('WAIT')], [], true)).toEqual({
      says: 'WAITING',
      reason: 'Nothing has been measured yet.',
    });
  });
});

/** Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998, table I, method 3. */
test.for([
  [81, 263, 0.2553, 0.3662],
  [15, 148, 0.0624, 0.1605],
  [0, 20, 0, 0.1611],
  [1, 29, 0.0061, 0.1718],
] as const)('%i of %i lie between %f and %f', ([k, n, low, high]) => {
  const [from, to] = wilson(k, n);
  expect(from).toBeCloseTo(low, 4);
  expect(to).toBeCloseTo(high, 4);
});
