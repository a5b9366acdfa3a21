import { expect, test } from 'vitest';
import { ValidationError } from '#src/platform/errors.ts';
import { planRollout, type GivenPlan } from '#src/rollout/plan.ts';
import type { RolloutStrategy } from '#src/platform/database.types.ts';

const step = (weight: number, bakeSeconds = 60) => ({ weight, bakeSeconds });

test.for<[RolloutStrategy, GivenPlan, string, string]>([
  ['CANARY', { steps: [] }, 'steps', '0'],
  ['CANARY', { steps: [step(0.1), step(0.5)] }, 'steps', '2'],
  ['CANARY', { steps: [step(0)] }, 'steps.0.weight', '0'],
  ['CANARY', { steps: [step(0.51)] }, 'steps.0.weight', '0.51'],
  ['CANARY', { steps: [step(Number.NaN)] }, 'steps.0.weight', 'NaN'],
  ['CANARY', { steps: [step(0.1, 3601)] }, 'steps.0.bakeSeconds', '3601'],
  ['CANARY', { steps: [step(0.1, -1)] }, 'steps.0.bakeSeconds', '-1'],
  ['LINEAR', { steps: [step(0.5), step(0.55), step(0.9)] }, 'steps.1.weight', '0.55'],
  ['LINEAR', { steps: [step(0.5), step(0.4)] }, 'steps.1.weight', '0.4'],
  ['LINEAR', { steps: [step(0.6)] }, 'steps.0.weight', '0.6'],
  ['LINEAR', { steps: [step(0.5), step(1)] }, 'steps.1.weight', '1'],
  ['LINEAR', { steps: [step(0.3)] }, 'steps.0.weight', '0.3'],
  ['LINEAR', { steps: Array.from({ length: 11 }, (_, index) => step(index / 20)) }, 'steps', '11'],
  ['ALL_AT_ONCE', { steps: [step(0.5)] }, 'steps.0.weight', '0.5'],
  ['ALL_AT_ONCE', { mirrorShare: 0.1 }, 'mirrorShare', '0.1'],
  ['SHADOW', { steps: [step(0.1)] }, 'steps.0.weight', '0.1'],
  ['SHADOW', { mirrorShare: 0 }, 'mirrorShare', '0'],
  ['CANARY', { mirrorShare: 1.01 }, 'mirrorShare', '1.01'],
  ['CANARY', { steps: [step(0.1, 600)], timeoutSeconds: 629 }, 'timeoutSeconds', '629'],
  ['CANARY', { timeoutSeconds: 604_801 }, 'timeoutSeconds', '604801'],
  ['CANARY', { timeoutSeconds: 1_000.5 }, 'timeoutSeconds', '1000.5'],
])('%s with %j is refused at %s', ([strategy, given, path, found]) => {
  const planned = (): unknown => planRollout(strategy, given);
  expect(planned).toThrow(ValidationError);
  try {
    planned();
  } catch (error) {
    const [issue] = (error as ValidationError).issues;
    expect([issue?.path.join('.'), issue?.found]).toEqual([path, found]);
    expect(issue?.expected).toBeTruthy();
  }
});

test('what is left out is usual, and fits', () => {
  for (const strategy of ['ALL_AT_ONCE', 'CANARY', 'LINEAR', 'SHADOW'] as const) {
    const { steps, timeoutSeconds } = planRollout(strategy, {});
    expect(() => planRollout(strategy, { steps, timeoutSeconds })).not.toThrow();
  }
  expect(planRollout('CANARY', { steps: [step(0.5, 3_600)] }).timeoutSeconds).toBe(14_400);
});

test('tenths add up in spite of binary fractions', () => {
  const weights = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
  expect(planRollout('LINEAR', { steps: weights.map((weight) => step(weight)) }).steps.length).toBe(9);
});
