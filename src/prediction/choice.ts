/** Who answers a prediction, and what is said where nobody does. */
import { placeOf, PLACES } from '../deployment/arm-shares.ts';
import { answers, isComingUp } from '../deployment/deployment.state.ts';
import {
  armAt,
  armServing,
  ownerOf,
  type ArmRoute,
  type DeploymentRoute,
  type ReplicaRoute,
} from '../deployment/routing.ts';
import { NotFoundError, NotReadyError, OverloadedError, ValidationError } from '../platform/errors.ts';

/** How long a replica that could not be reached is passed over, and when trying again makes sense, in milliseconds. */
export const SHUN_MS = 1_000;
const MAX_KEY = 256;

/** The place of a routing key, or any where there is none. @throws ValidationError for a key that is too long. */
export function placeFor(deploymentId: string, key: string | null | undefined): number {
  if (key === null || key === undefined) return Math.random() * PLACES;
  if (key.length === 0 || key.length > MAX_KEY)
    throw ValidationError.of(['routingKey'], `1 to ${MAX_KEY} characters`, `${key.length} characters`);
  return placeOf(deploymentId, key);
}

/** Whether an arm is the candidate of a running rollout: no request fails by its doing. */
export function isJudged({ rollout }: DeploymentRoute, { id }: ArmRoute): boolean {
  return rollout !== null && rollout.candidateArmId === id;
}

/**
 * The arm that is asked first at a place. A candidate's places stay its own, also where it has no replica: that counts
 * against it. undefined where no arm may answer.
 */
export function armFor(route: DeploymentRoute, place: number): ArmRoute | undefined {
  const { arms, rollout } = route;
  const owner = rollout === null ? undefined : ownerOf(arms, place);
  if (owner && isJudged(route, owner)) return owner;
  return armAt(arms, place) ?? ownerOf(arms, place) ?? arms.find(({ role }) => role !== 'SHADOW');
}

/** What of a deployment has failed a request. */
export interface Tried {
  /** That could not be reached, with all others that their arms had then. */
  readonly replicas: readonly ReplicaRoute[];
  /** That is not to be asked again, whatever its replicas. */
  readonly armId: string | null;
}

/** Who answers at a place instead of what was tried: the stable arm of a rollout, else who else is up. */
export function armInstead(
  { arms, rollout }: DeploymentRoute,
  place: number,
  { replicas: tried, armId }: Tried,
): ArmRoute | undefined {
  const now = performance.now();
  const up = arms.filter(
    ({ id, replicas }) =>
      id !== armId && replicas.some((one) => one.shunUntil <= now && !tried.includes(one)),
  );
  return up.find(({ id }) => id === rollout?.stableArmId) ?? armAt(up, place);
}

/** Numbers of the versions that can be asked, each once. */
export function versionsOf({ arms }: DeploymentRoute): number[] {
  return [...new Set(arms.flatMap(({ role, version }) => (role === 'SHADOW' ? [] : version.number)))];
}

/** @throws NotFoundError that says which versions are there. */
export function armOf(route: DeploymentRoute, version: number): ArmRoute {
  const arm = armServing(route.arms, version);
  if (arm) return arm;
  const served = versionsOf(route).toSorted((a, b) => a - b);
  throw new NotFoundError(
    `Version ${version} at ${route.label}`,
    served.length === 0 ? 'No version is deployed there.' : `Deployed there: ${served.join(', ')}.`,
  );
}

/**
 * The replica whose callers wait least.
 * @throws OverloadedError when one more would wait too long on every one: before a queue grows, not after.
 */
export function leastLoaded(arm: ArmRoute, route: DeploymentRoute, mostMs: number): ReplicaRoute {
  const now = performance.now();
  const usable = arm.replicas.filter(({ shunUntil }) => shunUntil <= now);
  const [least] = usable.toSorted((a, b) => a.load.overloadMs(now, mostMs) - b.load.overloadMs(now, mostMs));
  if (!least) throw notAnswering(route);
  const retryAfterMs = least.load.overloadMs(now, mostMs);
  if (retryAfterMs === 0) return least;
  throw new OverloadedError(
    `Deployment ${route.label} has more requests than its replicas can answer in time.`,
    retryAfterMs,
    'Send it again later, or add replicas with scale.',
  );
}

/** Why a deployment has no answer now. */
export function notAnswering(route: DeploymentRoute): NotReadyError {
  const why = route.stateReason ? ` ${route.stateReason}` : '';
  if (answers(route.state)) return new NotReadyError(`No replica of ${route.label} is ready.${why}`, SHUN_MS);
  const waits = isComingUp(route.state);
  return new NotReadyError(
    `Deployment ${route.label} is ${route.state}.${why}`,
    waits ? SHUN_MS : null,
    waits
      ? 'Watch subscription deployment(id) until it is LIVE.'
      : 'Create a deployment with createDeployment.',
  );
}
