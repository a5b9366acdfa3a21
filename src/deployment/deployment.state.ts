/** What a deployment's state follows from. Pure. */
import type { DeploymentState, ReplicaState } from '../platform/database.types.ts';

/** Whether predictions are sent to it. */
export function answers(state: DeploymentState): boolean {
  return state === 'LIVE' || state === 'DEGRADED';
}

/** Whether it is on its way to answer. */
export function isComingUp(state: DeploymentState): boolean {
  return state === 'PENDING' || state === 'PROVISIONING';
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

/**
 * The state of a deployment that has been provisioned, from its replicas.
 * @returns null when the replicas say nothing about it (it is being provisioned or stopped).
 */
export function observedState(
  state: DeploymentState,
  desired: number,
  replicas: readonly ReplicaState[],
): { state: DeploymentState; reason: string | null } | null {
  if (!answers(state)) return null;
  const ready = replicas.filter((replica) => replica === 'READY').length;
  if (ready >= desired) return { state: 'LIVE', reason: null };
  return { state: 'DEGRADED', reason: `${ready} of ${desired} replicas are ready.` };
}
