import { describe, expect, test } from 'vitest';
import { ValidationError } from '#src/platform/errors.ts';
import { checkGates, type GateSetting } from '#src/rollout/gate.check.ts';
import { defaultGates, goingBackGates } from '#src/rollout/gate.defaults.ts';
import type { Gate } from '#src/rollout/gate.ts';
import { rolloutStrategies } from '#src/platform/database.types.ts';
import type { Signature } from '#src/signature/signature.ts';
import { gateOf } from './simulation.ts';

const regression: Signature = {
  inputs: [],
  outputs: [],
  columns: null,
  classes: null,
  positiveClass: null,
  task: 'REGRESSION',
  labelOutput: null,
  probabilitiesOutput: null,
  valueOutput: 'value',
};
const classifier: Signature = { ...regression, task: 'BINARY', classes: ['no', 'yes'], labelOutput: 'label' };
const setting: GateSetting = {
  strategy: 'CANARY',
  signature: classifier,
  mirrorShare: 0.1,
  hasOutcomes: false,
};

const error = gateOf({ metric: 'ERROR_RATE', threshold: 0.05 });
const errorDifference = { ...error, against: 'STABLE_ARM' } as const;
const latency = gateOf({ metric: 'LATENCY_P95_MS', threshold: 100 });
const latencyRatio = { ...latency, against: 'STABLE_ARM', threshold: 1.5, tolerance: 5 } as const;
const disagreement = gateOf({ metric: 'DISAGREEMENT_RATE', threshold: 0.1 });
const drift = gateOf({ metric: 'OUTPUT_DRIFT', threshold: 0.1 });
const accuracy = gateOf({ metric: 'ACCURACY', threshold: 0.9 });

/** The issue of what was refused. */
function refusal(gates: readonly Gate[], changed: Partial<GateSetting> = {}): unknown {
  try {
    checkGates(gates, { ...setting, ...changed }, ['input', 'gates']);
  } catch (cause) {
    if (!(cause instanceof ValidationError)) throw cause;
    const [issue] = cause.issues;
    return { path: issue?.path.join('.'), expected: issue?.expected, found: issue?.found };
  }
  return 'accepted';
}

describe('gates that are refused', () => {
  test.each<
    [string, readonly Gate[], Partial<GateSetting>, [path: string, expected: RegExp, found: string | null]]
  >([
    ['none', [], {}, ['', /^1 to 10 gates$/, '0 gates']],
    ['eleven', Array.from({ length: 11 }, () => error), {}, ['', /^1 to 10 gates$/, '11 gates']],
    [
      'two of a kind',
      [error, latency, { ...error, threshold: 0.1 }],
      {},
      ['.2', /one gate of each/, 'a second ERROR_RATE against ABSOLUTE'],
    ],
    ['a rate above 1', [{ ...error, threshold: 1.01 }], {}, ['.0.threshold', /share from 0 to 1/, '1.01']],
    ['a rate below 0', [{ ...error, threshold: -0.01 }], {}, ['.0.threshold', /share from 0 to 1/, '-0.01']],
    ['a rate that is no number', [{ ...error, threshold: NaN }], {}, ['.0.threshold', /share/, 'NaN']],
    ['an infinite rate', [{ ...error, threshold: Infinity }], {}, ['.0.threshold', /share/, 'Infinity']],
    [
      'a difference above 1',
      [{ ...errorDifference, threshold: 1.5 }],
      {},
      ['.0.threshold', /-1 to 1/, '1.5'],
    ],
    [
      'a difference below -1',
      [{ ...errorDifference, threshold: -1.5 }],
      {},
      ['.0.threshold', /-1 to 1/, '-1.5'],
    ],
    [
      'a difference that is no number',
      [{ ...errorDifference, threshold: NaN }],
      {},
      ['.0.threshold', /-1 to 1/, 'NaN'],
    ],
    ['no milliseconds', [{ ...latency, threshold: 0 }], {}, ['.0.threshold', /milliseconds above 0/, '0']],
    [
      'more than an hour',
      [latency, { ...latency, metric: 'LATENCY_P50_MS', threshold: 3_600_001 }],
      {},
      ['.1.threshold', /3,600,000/, '3600001'],
    ],
    [
      'infinite milliseconds',
      [{ ...latency, threshold: Infinity }],
      {},
      ['.0.threshold', /milliseconds/, 'Infinity'],
    ],
    ['a ratio below 1', [{ ...latencyRatio, threshold: 0.9 }], {}, ['.0.threshold', /1 to 100 times/, '0.9']],
    [
      'a ratio above 100',
      [{ ...latencyRatio, threshold: 101 }],
      {},
      ['.0.threshold', /1 to 100 times/, '101'],
    ],
    [
      'a ratio that is no number',
      [{ ...latencyRatio, threshold: NaN }],
      {},
      ['.0.threshold', /1 to 100 times/, 'NaN'],
    ],
    [
      'errors at least',
      [{ ...error, comparison: 'AT_LEAST' }],
      {},
      ['.0.comparison', /LESS_THAN or AT_MOST/, 'AT_LEAST'],
    ],
    [
      'latency above',
      [{ ...latency, comparison: 'GREATER_THAN' }],
      {},
      ['.0.comparison', /LESS_THAN or AT_MOST/, 'GREATER_THAN'],
    ],
    [
      'accuracy at most',
      [{ ...accuracy, comparison: 'AT_MOST' }],
      {},
      ['.0.comparison', /AT_LEAST or GREATER_THAN/, 'AT_MOST'],
    ],
    [
      'the stable arm of all at once',
      [error, errorDifference],
      { strategy: 'ALL_AT_ONCE' },
      ['.1.against', /stable arm gets no requests/, 'STABLE_ARM'],
    ],
    [
      'disagreement all at once',
      [disagreement],
      { strategy: 'ALL_AT_ONCE' },
      ['.0.metric', /stable arm gets no requests/, 'DISAGREEMENT_RATE'],
    ],
    [
      'drift all at once',
      [drift],
      { strategy: 'ALL_AT_ONCE' },
      ['.0.metric', /stable arm gets no requests/, 'OUTPUT_DRIFT'],
    ],
    [
      'disagreement against the stable arm',
      [{ ...disagreement, against: 'STABLE_ARM' }],
      {},
      ['.0.against', /ABSOLUTE/, 'STABLE_ARM'],
    ],
    [
      'drift against the stable arm',
      [{ ...drift, against: 'STABLE_ARM' }],
      {},
      ['.0.against', /ABSOLUTE/, 'STABLE_ARM'],
    ],
    ['a tolerance of errors', [{ ...error, tolerance: 0 }], {}, ['.0.tolerance', /^none/, '0']],
    ['a tolerance of drift', [{ ...drift, tolerance: 0.1 }], {}, ['.0.tolerance', /^none/, '0.1']],
    [
      'a tolerance of an absolute latency',
      [{ ...latency, tolerance: 5 }],
      {},
      ['.0.tolerance', /^none/, '5'],
    ],
    ['a negative tolerance', [{ ...disagreement, tolerance: -1 }], {}, ['.0.tolerance', /0 or more/, '-1']],
    [
      'a tolerance that is no number',
      [{ ...disagreement, tolerance: NaN }],
      {},
      ['.0.tolerance', /0 or more/, 'NaN'],
    ],
    [
      'an infinite tolerance',
      [{ ...disagreement, tolerance: Infinity }],
      {},
      ['.0.tolerance', /0 or more/, 'Infinity'],
    ],
    [
      'a tolerance of negative milliseconds',
      [{ ...latencyRatio, tolerance: -5 }],
      {},
      ['.0.tolerance', /milliseconds/, '-5'],
    ],
    [
      'a tolerance of infinite milliseconds',
      [{ ...latencyRatio, tolerance: Infinity }],
      {},
      ['.0.tolerance', /milliseconds/, 'Infinity'],
    ],
    [
      'numbers that never agree',
      [disagreement],
      { signature: regression },
      ['.0.tolerance', /answers no label/, null],
    ],
    ['no sample', [{ ...error, minSamples: 0 }], {}, ['.0.minSamples', /1 to 1,000,000/, '0']],
    ['half a sample', [{ ...error, minSamples: 1.5 }], {}, ['.0.minSamples', /1 to 1,000,000/, '1.5']],
    [
      'too many samples',
      [{ ...error, minSamples: 1_000_001 }],
      {},
      ['.0.minSamples', /1 to 1,000,000/, '1000001'],
    ],
    [
      'samples that are no number',
      [{ ...error, minSamples: NaN }],
      {},
      ['.0.minSamples', /1 to 1,000,000/, 'NaN'],
    ],
    [
      'failing for want of outcomes',
      [{ ...accuracy, noData: 'FAIL' }],
      {},
      ['.0.noData', /^WAIT or PASS: no outcome of a prediction is known$/, 'FAIL'],
    ],
  ])('%s', (_, gates, changed, [path, expected, found]) => {
    expect(refusal(gates, changed)).toEqual({
      path: `input.gates${path}`,
      expected: expect.stringMatching(expected),
      found,
    });
  });
});

describe('gates that are taken', () => {
  test.each<[string, readonly Gate[], Partial<GateSetting>]>([
    [
      'each metric, and one of them both ways',
      [error, errorDifference, latency, latencyRatio, disagreement, drift, accuracy],
      {},
    ],
    [
      'at both ends of a rate',
      [
        { ...error, threshold: 0 },
        { ...drift, threshold: 1 },
      ],
      {},
    ],
    [
      'at both ends of a difference',
      [
        { ...errorDifference, threshold: -1 },
        { ...accuracy, against: 'STABLE_ARM', threshold: 1 },
      ],
      {},
    ],
    [
      'at both ends of a ratio and of a tolerance',
      [
        { ...latencyRatio, threshold: 1, tolerance: 0 },
        { ...latencyRatio, metric: 'LATENCY_P99_MS', threshold: 100, tolerance: null },
      ],
      {},
    ],
    ['an hour', [{ ...latency, threshold: 3_600_000 }], {}],
    [
      'a shadow compared with the stable arm',
      [errorDifference, latencyRatio, drift, disagreement],
      { strategy: 'SHADOW' },
    ],
    ['a tolerance for numbers', [{ ...disagreement, tolerance: 0.01 }], { signature: regression }],
    ['failing where outcomes are known', [{ ...accuracy, noData: 'FAIL' }], { hasOutcomes: true }],
    ['disagreement without mirrors where nothing asks for it', [error], { mirrorShare: 0 }],
    ['a million samples', [{ ...error, minSamples: 1_000_000 }], {}],
  ])('%s', (_, gates, changed) => {
    expect(refusal(gates, changed)).toBe('accepted');
  });
});

describe('the default gates', () => {
  test.each(
    rolloutStrategies.flatMap((strategy) =>
      [classifier, regression].map((signature) => ({ strategy, signature })),
    ),
  )('of $strategy for $signature.task are such as may be given', ({ strategy, signature }) => {
    for (const mirrorShare of strategy === 'SHADOW' ? [1] : [0, 0.1])
      expect(
        refusal(defaultGates(strategy, signature, mirrorShare), { strategy, signature, mirrorShare }),
      ).toBe('accepted');
  });

  test('are those of each strategy', () => {
    const metrics = (strategy: (typeof rolloutStrategies)[number], signature = classifier): string[] =>
      defaultGates(strategy, signature, 0.1).map(({ metric }) => metric);
    const canary = [
      'ERROR_RATE',
      'LATENCY_P95_MS',
      'INVALID_OUTPUT_RATE',
      'DISAGREEMENT_RATE',
      'OUTPUT_DRIFT',
    ];
    expect(metrics('CANARY')).toEqual(canary);
    expect(metrics('LINEAR')).toEqual(canary);
    expect(metrics('CANARY', regression)).toEqual(canary.filter((metric) => metric !== 'DISAGREEMENT_RATE'));
    expect(metrics('SHADOW')).toEqual(canary.slice(0, 4));
    expect(metrics('ALL_AT_ONCE')).toEqual(['ERROR_RATE', 'INVALID_OUTPUT_RATE']);
  });

  test('ask for nothing that a version does not answer, and for nothing that is not mirrored', () => {
    const metrics = (signature: Signature, mirrorShare: number): string[] =>
      defaultGates('CANARY', signature, mirrorShare).map(({ metric }) => metric);
    const embedding = {
      ...classifier,
      task: 'OTHER',
      classes: null,
      labelOutput: null,
      valueOutput: null,
    } as const;
    expect(metrics(embedding, 0.1)).toEqual(['ERROR_RATE', 'LATENCY_P95_MS', 'INVALID_OUTPUT_RATE']);
    expect(metrics(classifier, 0)).not.toContain('DISAGREEMENT_RATE');
  });

  test('of ALL_AT_ONCE compare with nothing; those of a roll-back do not wait for traffic either', () => {
    for (const { against, noData } of defaultGates('ALL_AT_ONCE', classifier, 0))
      expect({ against, noData }).toEqual({ against: 'ABSOLUTE', noData: 'WAIT' });
    for (const { against, noData } of goingBackGates())
      expect({ against, noData }).toEqual({ against: 'ABSOLUTE', noData: 'PASS' });
  });
});
