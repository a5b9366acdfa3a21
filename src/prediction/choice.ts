/** Who answers a prediction, and what is said where nobody does. */
import { placeOf, PLACES } from '../deployment/arm-shares.ts';
import { answers, isComingUp } from '../deployment/deployment.state.ts';
import { armServing, type ArmRoute, type DeploymentRoute, type ReplicaRoute } from '../deployment/routing.ts';
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

/** @throws NotFoundError that says which versions are there. */
export function armOf(route: DeploymentRoute, version: number): ArmRoute {
  const arm = armServing(route.arms, version);
  if (arm) return arm;
  const served = [...new Set(route.arms.map((one) => one.version.number))].toSorted((a, b) => a - b);
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
