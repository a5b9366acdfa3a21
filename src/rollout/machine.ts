/** Between a rollout's row and the machine that moves it. */
import { deploymentEvent } from '../deployment/deployment.events.ts';
import { answers } from '../deployment/deployment.state.ts';
import * as deployments from '../deployment/deployment.queries.ts';
import { reshare } from '../deployment/arm-shares.ts';
import type { Append } from '../ledger/ledger.ts';
import type { Db } from '../platform/database.ts';
import { findVersions } from '../version/version.queries.ts';
import { lostCause } from '../replica/replica.state.ts';
import type { ReplicaRow } from '../replica/replica.queries.ts';
import type { Evidence } from './evidence.ts';
import { emptyEvidence } from './evidence.ts';
import { verdictOf } from './verdict.ts';
import { changeRollout, type RolloutRow } from './rollout.queries.ts';
import { isBaked, type Machine, type Move, type Situation } from './rollout.state.ts';

export function machineOf(row: RolloutRow): Machine {
  const ms = (at: Date | null): number | null => at?.getTime() ?? null;
  const { strategy, state, steps, step, ending, reason } = row;
  return {
    strategy,
    state,
    steps,
    step,
    ending,
    reason,
    since: row.since.getTime(),
    pausedAt: ms(row.pausedAt),
    deadline: row.deadline.getTime(),
    missingSince: ms(row.missingSince),
    finishedAt: ms(row.finishedAt),
  };
}

/** @param isRead whether all that there is of the evidence was read: before that, a bake is not over. */
export function situationOf(
  row: RolloutRow,
  deployment: deployments.DeploymentRow,
  replicas: readonly ReplicaRow[],
  now: number,
  isRead: boolean,
): Situation {
  const candidate = replicas.filter(({ armId }) => armId === row.candidateArmId);
  const isReady = ({ state }: ReplicaRow): boolean => state === 'READY';
  return {
    now,
    isDeployed: answers(deployment.state),
    ready: candidate.filter(isReady).length,
    wanted: deployment.desiredReplicas,
    isWarming: candidate.some(({ state }) => state === 'WARMING'),
    hopeless: lostCause(candidate),
    isStableReady: replicas.some((replica) => replica.armId === row.stableArmId && isReady(replica)),
    verdict: verdictOf(row.gates, row.gateStatuses, isRead && isBaked(machineOf(row), now)),
  };
}

/** Does a move in a transaction in which deployment and rollout are locked, with the event that tells of it, last. */
export async function apply(
  tx: Db,
  append: Append,
  deployment: deployments.DeploymentRow,
  row: RolloutRow,
  move: Move,
): Promise<RolloutRow> {
  const arms = await deployments.listArms(tx, [deployment.id]);
  if (move.weight !== null) await share(tx, row, arms, move.weight);
  if (move.retire !== null) await retire(tx, row, arms, move.retire);
  const changed = await changeRollout(tx, row.id, changeOf(row, move.machine));
  if (move.weight !== null || move.retire !== null) await deployments.touchDeployment(tx, deployment.id);
  if (move.event !== null) {
    const event = await deploymentEvent(tx, move.event, deployment);
    await append({ ...event, data: { ...event.data, rollout: await told(tx, changed) } });
  }
  return changed;
}

/** What an event tells of the rollout beside the deployment as it is then; `reason` is the rollout's. */
export async function told(tx: Db, row: RolloutRow): Promise<Record<string, unknown>> {
  const { id, strategy, state, step, reason, fromVersionId: from, toVersionId: to } = row;
  const [version] = await findVersions(tx, [to]);
  const arms = row.candidateArmId === null ? [] : await deployments.findArms(tx, [row.candidateArmId]);
  const weight = arms[0]?.weight ?? 0;
  return { id, strategy, state, step, weight, from, to, number: version?.number ?? null, reason };
}

/** The candidate's share of the traffic; the others have the rest, as they shared it before. */
async function share(
  tx: Db,
  row: RolloutRow,
  arms: readonly deployments.ArmRow[],
  weight: number,
): Promise<void> {
  const before = new Map(row.weightsBefore.map((each) => [each.armId, each.weight]));
  const weights = arms.map(({ id }) =>
    id === row.candidateArmId ? weight : (before.get(id) ?? 0) * (1 - weight),
  );
  const shares = reshare(arms.map((arm, index) => ({ shares: arm.shares, weight: weights[index]! })));
  for (const [index, { id }] of arms.entries())
    await deployments.setShares(tx, id, weights[index]!, shares[index]!);
  // What answers is no shadow.
  if (weight > 0 && row.candidateArmId) await deployments.setRole(tx, row.candidateArmId, 'CANDIDATE');
}

async function retire(
  tx: Db,
  row: RolloutRow,
  arms: readonly deployments.ArmRow[],
  which: NonNullable<Move['retire']>,
): Promise<void> {
  const isRetired = ({ id }: deployments.ArmRow): boolean =>
    (id === row.candidateArmId) === (which === 'CANDIDATE');
  const ids = arms.filter(isRetired).map(({ id }) => id);
  if (ids.length > 0) await deployments.retireArms(tx, ids);
  if (which === 'OTHERS' && row.candidateArmId) await deployments.setRole(tx, row.candidateArmId, 'STABLE');
}

function changeOf(row: RolloutRow, machine: Machine): Parameters<typeof changeRollout>[2] {
  const date = (ms: number | null): Date | null => (ms === null ? null : new Date(ms));
  const { state, step, ending, reason } = machine;
  const begins = state === 'BAKING' && row.state !== 'BAKING';
  return {
    state,
    step,
    ending,
    reason,
    steps: JSON.stringify(machine.steps),
    since: new Date(machine.since),
    pausedAt: date(machine.pausedAt),
    deadline: new Date(machine.deadline),
    missingSince: date(machine.missingSince),
    finishedAt: date(machine.finishedAt),
    // Each step is judged by itself: with other shares of the traffic the arms are compared anew.
    ...(begins ? { evidence: JSON.stringify(emptyEvidence(row.gates.length) satisfies Evidence) } : {}),
  };
}
