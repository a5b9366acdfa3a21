/** What a deployment's state follows from. Pure. */
import type { ArmRole, DeploymentState, ReplicaState } from '../platform/database.types.ts';

/** Whether predictions are sent to it. */
export function answers(state: DeploymentState): boolean {
  return state === 'LIVE' || state === 'DEGRADED';
}

/** Whether it is on its way to answer. */
export function isComingUp(state: DeploymentState): boolean {
  return state === 'PENDING' || state === 'PROVISIONING';
}

/** Whether it makes sense to change what is wanted of it. */
export function isScalable(state: DeploymentState): boolean {
  return isComingUp(state) || answers(state);
}

/** States in which undeploying means anything. */
export const stoppable: readonly DeploymentState[] = [
  'PENDING',
  'PROVISIONING',
  'LIVE',
  'DEGRADED',
  'FAILED',
];

export function isStoppable(state: DeploymentState): boolean {
  return stoppable.includes(state);
}

/** Whether a deployment is not whole without an arm: a rollout's candidate counts once it has traffic. */
export function isEssential(arm: {
  readonly role: ArmRole;
  readonly weight: number;
  readonly rolloutId: string | null;
}): boolean {
  return arm.role === 'STABLE' || arm.weight > 0 || arm.rolloutId === null;
}

/** The arm that answers for good, which every deployment has. */
export function stableOf<T extends { readonly role: ArmRole }>(arms: readonly T[]): T | undefined {
  return arms.find(({ role }) => role === 'STABLE') ?? arms[0];
}

/** How many of the wanted replicas are ready, over all arms: what one arm has too many of does not help another. */
export function readyOf(
  desired: number,
  arms: readonly { readonly id: string }[],
  replicas: readonly { readonly armId: string; readonly state: ReplicaState }[],
): { ready: number; wanted: number } {
  const ready = arms.reduce((sum, arm) => {
    const ofArm = replicas.filter(({ armId, state }) => armId === arm.id && state === 'READY').length;
    return sum + Math.min(ofArm, desired);
  }, 0);
  return { ready, wanted: desired * arms.length };
}

/**
 * The state of a deployment that has been provisioned, from how many of its wanted replicas are ready.
 * @returns null when the replicas say nothing about it (it is being provisioned or stopped).
 */
export function observedState(
  state: DeploymentState,
  { ready, wanted }: { readonly ready: number; readonly wanted: number },
): { state: DeploymentState; reason: string | null } | null {
  if (!answers(state)) return null;
  if (ready >= wanted) return { state: 'LIVE', reason: null };
  return { state: 'DEGRADED', reason: `${ready} of ${wanted} replicas are ready.` };
}
