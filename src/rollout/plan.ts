/** What of a rollout can be asked for: its steps, how much is mirrored, and how long it may take. Pure. */
import type { RolloutStep, RolloutStrategy } from '../platform/database.types.ts';
import { ValidationError } from '../platform/errors.ts';

export interface GivenStep {
  /** The candidate's share of the traffic, 0 to 1. */
  readonly weight: number;
  readonly bakeSeconds: number;
}

export interface GivenPlan {
  readonly steps?: readonly GivenStep[] | null | undefined;
  readonly mirrorShare?: number | null | undefined;
  readonly timeoutSeconds?: number | null | undefined;
}

export interface Plan {
  readonly steps: readonly RolloutStep[];
  readonly mirrorShare: number;
  readonly timeoutSeconds: number;
}

const MOST_STEPS = 10;
const MOST_BAKE_SECONDS = 3_600;
const MOST_TIMEOUT_SECONDS = 7 * 86_400;
/** Beside the bakes: replicas start, and each shift takes its time to be known everywhere. */
const LEAST_SPARE_SECONDS = 30;
const LEAST_DEFAULT_SECONDS = 3_600;
const MOST_CANARY = 0.5;
const [LEAST_INCREMENT, MOST_INCREMENT] = [0.1, 0.5];
const ROUNDING = 1e-9;

const usual: Record<RolloutStrategy, readonly GivenStep[]> = {
  ALL_AT_ONCE: [{ weight: 1, bakeSeconds: 60 }],
  CANARY: [{ weight: 0.1, bakeSeconds: 300 }],
  LINEAR: [0.25, 0.5, 0.75].map((weight) => ({ weight, bakeSeconds: 120 })),
  SHADOW: [{ weight: 0, bakeSeconds: 300 }],
};
const usualMirror: Record<RolloutStrategy, number> = { ALL_AT_ONCE: 0, CANARY: 0.1, LINEAR: 0.1, SHADOW: 1 };

/** @throws ValidationError for what is out of range, or contradicts the strategy. */
export function planRollout(strategy: RolloutStrategy, given: GivenPlan): Plan {
  const steps = given.steps ?? usual[strategy];
  checkSteps(strategy, steps);
  const mirrorShare = given.mirrorShare ?? usualMirror[strategy];
  checkMirror(strategy, mirrorShare);
  const bakes = steps.reduce((sum, { bakeSeconds }) => sum + bakeSeconds, 0);
  const timeoutSeconds = given.timeoutSeconds ?? Math.max(LEAST_DEFAULT_SECONDS, 4 * bakes);
  const least = bakes + LEAST_SPARE_SECONDS;
  if (!(
    Number.isInteger(timeoutSeconds) &&
    timeoutSeconds >= least &&
    timeoutSeconds <= MOST_TIMEOUT_SECONDS
  )) {
    const expected = `${least} (the steps bake ${bakes} s) to ${MOST_TIMEOUT_SECONDS} s`;
    throw ValidationError.of(['timeoutSeconds'], expected, String(timeoutSeconds));
  }
  return {
    steps: steps.map(({ weight, bakeSeconds }) => ({ weight, bakeSeconds, state: 'WAITING', samples: 0 })),
    mirrorShare,
    timeoutSeconds,
  };
}

function checkSteps(strategy: RolloutStrategy, steps: readonly GivenStep[]): void {
  const most = strategy === 'LINEAR' ? MOST_STEPS : 1;
  if (steps.length === 0 || steps.length > most) {
    const expected = most === 1 ? `one step: ${strategy} has no more` : `1 to ${most} steps`;
    throw ValidationError.of(['steps'], expected, String(steps.length));
  }
  steps.forEach(({ weight, bakeSeconds }, index) => {
    checkWeight(strategy, weight, steps[index - 1]?.weight ?? 0, index);
    if (Number.isInteger(bakeSeconds) && bakeSeconds >= 0 && bakeSeconds <= MOST_BAKE_SECONDS) return;
    const path = ['steps', index, 'bakeSeconds'];
    throw ValidationError.of(path, `0 to ${MOST_BAKE_SECONDS} s`, String(bakeSeconds));
  });
  const last = steps.at(-1)!.weight;
  if (strategy !== 'LINEAR' || 1 - last <= MOST_INCREMENT + ROUNDING) return;
  const path = ['steps', steps.length - 1, 'weight'];
  throw ValidationError.of(path, `${1 - MOST_INCREMENT} or more: all of the traffic follows`, String(last));
}

function checkWeight(strategy: RolloutStrategy, weight: number, before: number, index: number): void {
  const refuse = (expected: string): never => {
    throw ValidationError.of(['steps', index, 'weight'], expected, String(weight));
  };
  if (strategy === 'ALL_AT_ONCE' && weight !== 1) refuse('1: ALL_AT_ONCE shifts all of the traffic');
  if (strategy === 'SHADOW' && weight !== 0) refuse('0: a SHADOW answers nobody');
  if (strategy === 'CANARY' && !(weight > 0 && weight <= MOST_CANARY))
    refuse(`more than 0, and at most ${MOST_CANARY}: all of the traffic follows`);
  if (strategy !== 'LINEAR') return;
  const increment = weight - before;
  const isIn = increment >= LEAST_INCREMENT - ROUNDING && increment <= MOST_INCREMENT + ROUNDING;
  if (!isIn || !(weight < 1))
    refuse(`${LEAST_INCREMENT} to ${MOST_INCREMENT} more than ${before}, and below 1`);
}

function checkMirror(strategy: RolloutStrategy, share: number): void {
  if (!(share >= 0 && share <= 1)) throw ValidationError.of(['mirrorShare'], '0 to 1', String(share));
  if (strategy === 'ALL_AT_ONCE' && share > 0)
    throw ValidationError.of(['mirrorShare'], '0: with ALL_AT_ONCE no other arm answers', String(share));
  if (strategy === 'SHADOW' && share === 0)
    throw ValidationError.of(['mirrorShare'], 'more than 0: a SHADOW gets nothing else', '0');
}
