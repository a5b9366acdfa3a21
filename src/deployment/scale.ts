/** Changing how many replicas a deployment has, with what they run, and how traffic is shared between its arms. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import { shown } from '../name/name.ts';
import type { Db } from '../platform/database.ts';
import { ConflictError, ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { reshare } from './arm-shares.ts';
import { deploymentEvent } from './deployment.events.ts';
import * as queries from './deployment.queries.ts';
import { resolveDeployment, type Deployment } from './deployment.ts';
import { isScalable } from './deployment.state.ts';
import { observe } from './observe.ts';
import { reconcile } from './reconcile.ts';
import { checkShape, checkWeights, type GivenShape } from './shape.ts';

export interface Scale extends GivenShape {
  /** A deployment's id, or `project/name`. */
  readonly deployment: string;
  /** Of every arm, by name. */
  readonly weights?: readonly { readonly arm: string; readonly weight: number }[] | null | undefined;
}

/**
 * Changes what is given and leaves the rest. New replicas answer before old ones finish and end, so nothing is lost;
 * shares take effect at once.
 * @throws NotFoundError, ForbiddenError (needs OPERATOR), ValidationError, ConflictError (it is on its way out, or an
 * EXTERNAL one's replicas are wanted changed).
 */
export async function scale(platform: Platform, viewer: Viewer, input: Scale): Promise<Deployment> {
  const deployment = await resolveDeployment(platform, viewer, ['deployment'], input.deployment);
  requireRole(viewer, deployment.projectId, 'OPERATOR', `Deployment ${deployment.name}`);
  checkShape(input);
  const changed = await changing(platform, deployment.projectId, viewer, async (tx, append) => {
    const before = await queries.lockDeployment(tx, deployment.id);
    if (!before || !isScalable(before.state)) {
      const state = before?.state ?? 'STOPPED';
      throw new ConflictError(
        `Deployment ${deployment.name} is ${state}; one that is PENDING, PROVISIONING, LIVE or DEGRADED can be scaled.`,
        state,
        'Create it again with createDeployment.',
      );
    }
    if (before.target === 'EXTERNAL') refuseExternal(input);
    const change = changeOf(before, input);
    const moved = await shareAnew(tx, before.id, input.weights ?? null);
    if (Object.keys(change).length === 0 && !moved) return before;
    const after = await queries.reshapeDeployment(tx, before.id, change);
    await append(await deploymentEvent(tx, 'DEPLOYMENT_SCALED', after));
    return after;
  });
  platform.announce('deployment', changed.id);
  await reconcile(platform, changed.id);
  await observe(platform, changed.id);
  return (await queries.findDeployments(platform.db, [changed.id]))[0] ?? changed;
}

/** @throws ValidationError: its processes are not ours. */
function refuseExternal({ replicas, threads, memoryLimitBytes, batching }: Scale): void {
  const given = { replicas, resources: threads ?? memoryLimitBytes, batching };
  for (const [name, value] of Object.entries(given)) {
    if ((value ?? null) === null) continue;
    throw ValidationError.of([name], 'nothing: that is up to the EXTERNAL server', 'something');
  }
}

/** The columns that differ; what other processes are needed for counts `spec` up. */
function changeOf(before: Deployment, input: Scale): queries.Reshaped {
  const { replicas, threads, memoryLimitBytes, batching } = input;
  const running = {
    ...differing('threads', before.threads, threads ?? undefined),
    ...differing('memoryLimitBytes', before.memoryLimitBytes, memoryLimitBytes),
    ...differing('maxBatchRows', before.maxBatchRows, batching?.maxRows ?? undefined),
    ...differing('maxBatchDelayMs', before.maxBatchDelayMs, batching?.maxDelayMs ?? undefined),
  };
  return {
    ...running,
    ...(Object.keys(running).length > 0 ? { spec: before.spec + 1 } : {}),
    ...differing('desiredReplicas', before.desiredReplicas, replicas ?? undefined),
  };
}

function differing<K extends string, V>(key: K, before: V, after: V | undefined): Partial<Record<K, V>> {
  return after === undefined || after === before ? {} : ({ [key]: after } as Record<K, V>);
}

/** @returns whether a share was changed. */
async function shareAnew(
  tx: Db,
  deploymentId: string,
  weights: NonNullable<Scale['weights']> | null,
): Promise<boolean> {
  if (weights === null) return false;
  if (await queries.hasRollout(tx, deploymentId)) {
    const hint = 'Steer it with promoteRollout, abortRollout or rollBack, or wait until it has ended.';
    throw new ConflictError('A rollout runs, and shares the traffic between the arms.', 'rollout', hint);
  }
  const arms = await queries.listArms(tx, [deploymentId]);
  const names = arms.map(({ name }) => name);
  weights.forEach(({ arm }, index) => {
    if (!names.includes(arm))
      throw ValidationError.of(['weights', index, 'arm'], `one of ${names.join(', ')}`, shown(arm));
    if (weights.findIndex((other) => other.arm === arm) !== index)
      throw ValidationError.of(['weights', index, 'arm'], 'each arm once', shown(arm));
  });
  const missing = names.find((name) => !weights.some(({ arm }) => arm === name));
  if (missing !== undefined)
    throw ValidationError.of(
      ['weights'],
      `a weight for every arm: ${names.join(', ')}`,
      `none for ${missing}`,
    );
  checkWeights(
    weights.map(({ weight }) => weight),
    (index) => ['weights', index, 'weight'],
    'weights',
  );
  const wanted = arms.map(({ name, shares }) => ({
    shares,
    weight: weights.find(({ arm }) => arm === name)!.weight,
  }));
  if (arms.every((arm, index) => arm.weight === wanted[index]!.weight)) return false;
  const shares = reshare(wanted);
  for (const [index, { id }] of arms.entries())
    await queries.setShares(tx, id, wanted[index]!.weight, shares[index]!);
  return true;
}
