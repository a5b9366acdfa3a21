/**
 * How a rollout moves: PENDING → PROVISIONING → WARMING → (SHIFTING → BAKING) for each step → FINISHING → SUCCEEDED, and
 * from wherever it has shifted ROLLING_BACK → ROLLED_BACK or ABORTED. One that never shifted ends FAILED. PAUSED is a mark
 * beside the state. Pure: time and what is there are given, what is to be done is returned.
 *
 * What always holds: no share goes to a candidate of which no replica is ready; the arms that answered before are there
 * until the candidate has all of the traffic and all of its replicas; every state but a paused one has an end.
 */
import type {
  LedgerEventType,
  RolloutEnding,
  RolloutState,
  RolloutStep,
  RolloutStrategy,
  StepState,
} from '../platform/database.types.ts';

/** Times are milliseconds since 1970, by the database's clock. */
export interface Machine {
  readonly strategy: RolloutStrategy;
  readonly state: RolloutState;
  readonly steps: readonly RolloutStep[];
  /** The present step, from 0; null before the first. */
  readonly step: number | null;
  /** When the state began; the time that it was paused is taken out. */
  readonly since: number;
  readonly pausedAt: number | null;
  /** When it must have shifted for the last time; moves on while it is paused. */
  readonly deadline: number;
  /** Since when no replica of the candidate is ready, though it has traffic. */
  readonly missingSince: number | null;
  /** What ROLLING_BACK ends in. */
  readonly ending: RolloutEnding | null;
  readonly finishedAt: number | null;
  readonly reason: string | null;
}

/** What the gates say of the present step, all together. */
export interface Verdict {
  readonly says: 'FAILING' | 'PASSING' | 'WAITING';
  /** Of FAILING: which gate, and why. */
  readonly reason: string | null;
}

/** What a look finds. */
export interface Situation {
  readonly now: number;
  /** Whether the deployment still answers, or will again; else it is being stopped. */
  readonly isDeployed: boolean;
  /** Replicas of the candidate that are ready, and that are wanted. */
  readonly ready: number;
  readonly wanted: number;
  readonly isWarming: boolean;
  /** Why the candidate will not come up, or does not stay up. */
  readonly hopeless: string | null;
  /** Whether the stable arm has a replica that is ready. */
  readonly isStableReady: boolean;
  /** By the time that the present step has baked; what it says before that only counts where it is FAILING. */
  readonly verdict: Verdict;
}

export type Verb = 'pause' | 'resume' | 'promote' | 'abort' | 'rollBack';

/** What is to be done, in one transaction. */
export interface Move {
  readonly machine: Machine;
  /** The candidate's new share of the traffic, of which the other arms have the rest; null: as it is. */
  readonly weight: number | null;
  /** Arms that are taken out of service. */
  readonly retire: 'CANDIDATE' | 'OTHERS' | null;
  /** What the ledger says; null where nothing happened that anybody could see. */
  readonly event: Extract<LedgerEventType, `ROLLOUT_${string}`> | null;
}

/** How long apis may still go by what they knew: their notification, else their poll of a second. */
export const SETTLE_MS = 2_000;
/** How long the candidate may have no replica that is ready before it is given up, while the stable arm has one. */
export const MISSING_MS = 10_000;
/** How long the arms that answer again are waited for. */
const MOST_WAIT_MS = 60_000;

const ended: readonly RolloutState[] = ['SUCCEEDED', 'ROLLED_BACK', 'FAILED', 'ABORTED'];
const unshifted: readonly RolloutState[] = ['PENDING', 'PROVISIONING', 'WARMING'];

export const hasEnded = (state: RolloutState): boolean => ended.includes(state);

const allowed: Record<Verb, readonly RolloutState[]> = {
  pause: [...unshifted, 'SHIFTING', 'BAKING'],
  resume: [...unshifted, 'SHIFTING', 'BAKING'],
  promote: ['SHIFTING', 'BAKING'],
  abort: [...unshifted, 'SHIFTING', 'BAKING', 'FINISHING'],
  rollBack: [...unshifted, 'SHIFTING', 'BAKING', 'FINISHING'],
};

/** The verbs that a rollout takes as it is. */
export function verbsOf({ state, pausedAt }: Pick<Machine, 'state' | 'pausedAt'>): Verb[] {
  const verbs = Object.keys(allowed) as Verb[];
  return verbs.filter((verb) => {
    if (verb === 'pause' && pausedAt !== null) return false;
    if (verb === 'resume' && pausedAt === null) return false;
    return allowed[verb].includes(state);
  });
}

/** Whether the present step has baked for as long as it shall. */
export function isBaked({ state, step, steps, since, pausedAt }: Machine, now: number): boolean {
  if (state !== 'BAKING' || step === null) return false;
  return (pausedAt ?? now) - since >= (steps[step]?.bakeSeconds ?? 0) * 1000;
}

/** What follows from what is there; null: nothing. */
export function look(machine: Machine, situation: Situation): Move | null {
  const { state } = machine;
  if (hasEnded(state)) return null;
  if (!situation.isDeployed) return gone(machine, situation);
  if (unshifted.includes(state)) return comeUp(machine, situation);
  if (state === 'ROLLING_BACK') return settleBack(machine, situation);
  return lost(machine, situation) ?? carryOn(machine, situation);
}

/** The deployment takes its arms with it. */
function gone(machine: Machine, { now }: Situation): Move {
  const reason = 'The deployment was taken out of service.';
  return end(machine, 'ABORTED', now, { reason, event: 'ROLLOUT_ABORTED', retire: null });
}

// On the way up

function comeUp(machine: Machine, situation: Situation): Move | null {
  const { now, ready, wanted, isWarming, hopeless } = situation;
  if (hopeless !== null) return fail(machine, now, hopeless);
  if (isLate(machine, now))
    return fail(machine, now, `The candidate was not ready in time: ${ready} of ${wanted} replicas are.`);
  if (ready >= wanted && machine.pausedAt === null) return shift(machine, 0, now);
  const state = isWarming || ready > 0 ? 'WARMING' : 'PROVISIONING';
  // It does not go back where a replica is started again.
  if (state === machine.state || machine.state === 'WARMING') return null;
  return move({ ...machine, state });
}

function fail(machine: Machine, now: number, reason: string): Move {
  return end(machine, 'FAILED', now, { reason, event: 'ROLLOUT_FAILED', retire: 'CANDIDATE' });
}

const isLate = ({ pausedAt, deadline }: Machine, now: number): boolean =>
  pausedAt === null && now >= deadline;

// With traffic

/** The candidate has gone away, or will not stay; and the mark that it has. */
function lost(machine: Machine, { now, ready, hopeless, isStableReady }: Situation): Move | null {
  if (hopeless !== null && isStableReady) return turnBack(machine, 'ROLLED_BACK', now, hopeless);
  if (ready > 0) return machine.missingSince === null ? null : move({ ...machine, missingSince: null });
  if (machine.missingSince === null) return move({ ...machine, missingSince: now });
  if (!isStableReady || now - machine.missingSince < MISSING_MS) return null;
  const reason = `No replica of the candidate was ready for ${MISSING_MS / 1000} s.`;
  return turnBack(machine, 'ROLLED_BACK', now, reason);
}

function carryOn(machine: Machine, situation: Situation): Move | null {
  const { now, ready, wanted, verdict } = situation;
  const { state, since, pausedAt, step } = machine;
  if (state === 'BAKING' && verdict.says === 'FAILING')
    return turnBack(machine, 'ROLLED_BACK', now, verdict.reason ?? 'A gate failed.');
  if (isLate(machine, now)) {
    const waits = verdict.reason === null ? '' : ` ${verdict.reason}`;
    return turnBack(machine, 'ROLLED_BACK', now, `It was not through in time.${waits}`);
  }
  if (pausedAt !== null) return null;
  const isSettled = now - since >= SETTLE_MS;
  if (state === 'SHIFTING') {
    if (!isSettled) return null;
    return move({ ...machine, state: 'BAKING', since: now, steps: mark(machine, 'BAKING') });
  }
  if (state === 'FINISHING') {
    if (!isSettled || ready < wanted) return null;
    return end(machine, 'SUCCEEDED', now, { event: 'ROLLOUT_SUCCEEDED', retire: 'OTHERS' });
  }
  if (!isBaked(machine, now) || verdict.says !== 'PASSING') return null;
  return pass(machine, step ?? 0, situation);
}

/** The step has baked, and no gate is against it. */
function pass(machine: Machine, step: number, { now, ready, wanted }: Situation): Move | null {
  const passed = { ...machine, steps: mark(machine, 'PASSED') };
  if (machine.strategy === 'SHADOW')
    return end(passed, 'SUCCEEDED', now, { event: 'ROLLOUT_SUCCEEDED', retire: 'CANDIDATE' });
  if (ready < wanted) return null;
  return step + 1 < machine.steps.length ? shift(passed, step + 1, now) : finish(passed, now);
}

/** Begins a step: its share of the traffic goes to the candidate. */
function shift(machine: Machine, step: number, now: number): Move {
  const shifting: Machine = { ...machine, state: 'SHIFTING', step, since: now };
  const steps = mark(shifting, 'SHIFTING');
  return move({ ...shifting, steps }, { weight: steps[step]?.weight ?? 0, event: 'ROLLOUT_SHIFTED' });
}

/** All of the traffic goes to the candidate; the others are still there. */
function finish(machine: Machine, now: number): Move {
  return move({ ...machine, state: 'FINISHING', since: now }, { weight: 1, event: 'ROLLOUT_SHIFTED' });
}

// Back

function turnBack(machine: Machine, ending: RolloutEnding, now: number, reason: string): Move {
  const steps = skipWaiting(mark(machine, ending === 'ROLLED_BACK' ? 'FAILED' : 'SKIPPED'));
  return move(
    {
      ...machine,
      state: 'ROLLING_BACK',
      steps: machine.state === 'FINISHING' ? machine.steps : steps,
      since: now,
      pausedAt: null,
      missingSince: null,
      ending,
      reason,
    },
    { weight: 0, event: 'ROLLOUT_ROLLING_BACK' },
  );
}

/** The candidate goes once nobody sends to it any more. */
function settleBack(machine: Machine, { now, ready, isStableReady }: Situation): Move | null {
  const passed = now - machine.since;
  // As long as nobody else is up, it answers: an arm without a share still does then.
  const isOver = isStableReady || (ready === 0 && passed >= MOST_WAIT_MS);
  if (passed < SETTLE_MS || !isOver) return null;
  const ending = machine.ending ?? 'ROLLED_BACK';
  const event = ending === 'ABORTED' ? 'ROLLOUT_ABORTED' : 'ROLLOUT_ROLLED_BACK';
  return end(machine, ending, now, { event, retire: 'CANDIDATE' });
}

// What people ask for

/**
 * Does what a person asks; undefined when the rollout does not take the verb as it is (`verbsOf`), or where it is to be
 * promoted and not all replicas of the candidate are ready.
 * @param by whose wish it is, for the reason.
 */
export function obey(
  machine: Machine,
  verb: Verb,
  { now, ready, wanted }: Pick<Situation, 'now' | 'ready' | 'wanted'>,
  by: string,
): Move | undefined {
  if (!verbsOf(machine).includes(verb) || (verb === 'promote' && ready < wanted)) return undefined;
  if (verb === 'pause') return move({ ...machine, pausedAt: now }, { event: 'ROLLOUT_PAUSED' });
  const going = resumed(machine, now);
  if (verb === 'resume') return move(going, { event: 'ROLLOUT_RESUMED' });
  if (verb === 'promote') {
    const steps = skipWaiting(mark(going, 'SKIPPED'));
    const { machine: next, weight } = finish({ ...going, steps, reason: `Promoted by ${by}.` }, now);
    return move(next, { weight, event: 'ROLLOUT_PROMOTED' });
  }
  const [ending, reason] =
    verb === 'abort'
      ? (['ABORTED', `Aborted by ${by}.`] as const)
      : (['ROLLED_BACK', `Rolled back by ${by}.`] as const);
  if (!unshifted.includes(machine.state)) return turnBack(going, ending, now, reason);
  const event = verb === 'abort' ? 'ROLLOUT_ABORTED' : 'ROLLOUT_ROLLED_BACK';
  return end(going, ending, now, { reason, event, retire: 'CANDIDATE' });
}

/** As if the time in which it was paused had not been. */
function resumed(machine: Machine, now: number): Machine {
  if (machine.pausedAt === null) return machine;
  const pause = Math.max(0, now - machine.pausedAt);
  const { since, deadline, missingSince } = machine;
  return {
    ...machine,
    pausedAt: null,
    since: since + pause,
    deadline: deadline + pause,
    missingSince: missingSince === null ? null : missingSince + pause,
  };
}

// Steps

function mark({ steps, step }: Machine, state: StepState): readonly RolloutStep[] {
  return steps.map((each, index) => (index === step ? { ...each, state } : each));
}

function skipWaiting(steps: readonly RolloutStep[]): readonly RolloutStep[] {
  return steps.map((each) => (each.state === 'WAITING' ? { ...each, state: 'SKIPPED' } : each));
}

function move(machine: Machine, more: Partial<Omit<Move, 'machine'>> = {}): Move {
  return { machine, weight: null, retire: null, event: null, ...more };
}

function end(
  machine: Machine,
  state: RolloutState,
  now: number,
  { reason = machine.reason, event, retire }: Pick<Move, 'event' | 'retire'> & { reason?: string | null },
): Move {
  const steps = skipWaiting(machine.steps);
  const over = { ...machine, state, steps, since: now, pausedAt: null, missingSince: null, finishedAt: now };
  return move({ ...over, reason }, { event, retire });
}
