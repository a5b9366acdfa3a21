/**
 * Keeps every deployment at what is wanted of it. Level-triggered: what is wanted and what is there are both rows, and
 * each look brings the one closer to the other, whoever looks and whatever was missed. Jobs and notifications only hurry
 * it. What starts and ends processes is the keeper of each host (`src/replica/keeper.ts`).
 */
import type { Insertable } from 'kysely';
import { REPLICA_PROTOCOL_VERSION } from '../inference/replica-status.ts';
import type { Replica } from '../platform/database.generated.ts';
import type { Db } from '../platform/database.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { insertReplica, listReplicas, type ReplicaRow } from '../replica/replica.queries.ts';
import { listArms, touchDeployment, type ArmRow, type DeploymentRow } from './deployment.queries.ts';
import { planArm } from './reconcile.plan.ts';
import * as queries from './reconcile.queries.ts';
import { EXTERNAL_HOST, REPLACED, restartOf } from '../replica/replica.state.ts';

/** Deployments in one round; the rest is for the next. */
const BATCH = 100;

/** One look at all deployments that are not as wanted. @returns whether anything was changed. */
export async function reconcileAll(platform: Platform): Promise<boolean> {
  let changed = false;
  for (const id of await queries.listUnsettled(platform.db, BATCH)) {
    if (await reconcile(platform, id)) changed = true;
  }
  return changed;
}

/** One look at a deployment. @returns whether anything was changed; not when somebody else is at it. */
export async function reconcile(platform: Platform, deploymentId: string): Promise<boolean> {
  const changed = await platform.database.db.transaction().execute(async (tx) => {
    const deployment = await queries.holdUnsettled(tx, deploymentId);
    if (!deployment) return false;
    const replicas = await listReplicas(tx, [deploymentId]);
    const arms = await listArms(tx, [deploymentId]);
    let any = await drainRetired(tx, arms, replicas);
    for (const arm of arms) {
      const wanted = { replicas: deployment.desiredReplicas, spec: deployment.spec };
      const ofArm = replicas.filter(({ armId }) => armId === arm.id);
      const { add, drain } = planArm(wanted, ofArm);
      if (drain.length > 0) await queries.drainReplicasById(tx, drain);
      for (const ordinal of add) await place(tx, platform.config.HOST_ID, deployment, arm, ordinal, ofArm);
      any ||= add.length + drain.length > 0;
    }
    if (any) await touchDeployment(tx, deploymentId);
    return any;
  });
  if (changed) platform.announce('deployment', deploymentId);
  return changed;
}

/** Replicas of arms that are out of service. @returns whether there were any. */
async function drainRetired(
  tx: Db,
  arms: readonly ArmRow[],
  replicas: readonly ReplicaRow[],
): Promise<boolean> {
  const stray = replicas.filter(
    ({ armId, state }) => state !== 'DRAINING' && !arms.some(({ id }) => id === armId),
  );
  if (stray.length === 0) return false;
  await queries.drainReplicasById(
    tx,
    stray.map(({ id }) => id),
  );
  return true;
}

/** Adds a replica on the host that has the fewest of this arm, then the fewest of all. */
async function place(
  tx: Db,
  here: string,
  deployment: DeploymentRow,
  arm: ArmRow,
  ordinal: number,
  present: readonly ReplicaRow[],
): Promise<void> {
  // What it takes the place of is told of it: it will be gone.
  const replaced = present.find(({ spec, state }) => spec === REPLACED && state !== 'DRAINING');
  await insertReplica(tx, {
    id: newId(),
    deploymentId: deployment.id,
    armId: arm.id,
    versionId: arm.versionId,
    ordinal,
    spec: deployment.spec,
    memoryLimitBytes: deployment.memoryLimitBytes,
    ...(replaced ? successorOf(replaced) : {}),
    hostId: deployment.target === 'EXTERNAL' ? EXTERNAL_HOST : await chooseHost(tx, here, arm.id),
    protocolVersion: REPLICA_PROTOCOL_VERSION,
  });
}

/** It starts by the same delays as one that crashed: where every one of them outgrows its limit, none follows at once. */
function successorOf(replaced: ReplicaRow): Partial<Insertable<Replica>> {
  return {
    ...restartOf(replaced, Date.now()),
    state: 'BACKING_OFF',
    exitReason: replaced.ending ?? replaced.exitReason,
  };
}

async function chooseHost(tx: Db, here: string, armId: string): Promise<string> {
  const hosts = await queries.listHosts(tx, armId);
  const [best] = hosts.toSorted(
    (a, b) => a.ofArm - b.ofArm || a.all - b.all || Number(b.id === here) - Number(a.id === here),
  );
  return best?.id ?? here;
}
