/** Brings a deployment's state in line with its replicas'. */
import { observedState, readyOf } from './deployment.state.ts';
import { findDeployments, listArms, touchDeployment } from './deployment.queries.ts';
import { enter } from './transition.ts';
import type { Platform } from '../platform/platform.ts';
import { listReplicas } from '../replica/replica.queries.ts';

/** Call it after a replica's state changed; it also tells the apis to look at their routes. */
export async function observe(platform: Platform, deploymentId: string): Promise<void> {
  const [deployment] = await findDeployments(platform.db, [deploymentId]);
  if (!deployment) return;
  const replicas = await listReplicas(platform.db, [deploymentId]);
  const arms = await listArms(platform.db, [deploymentId]);
  const observed = observedState(deployment.state, readyOf(deployment.desiredReplicas, arms, replicas));
  const isNew =
    observed && (observed.state !== deployment.state || observed.reason !== deployment.stateReason);
  if (isNew) {
    const change = { state: observed.state, stateReason: observed.reason };
    await platform.database.db
      .transaction()
      .execute((tx) => enter(tx, deploymentId, [deployment.state], change));
    platform.announce('ledger', deployment.projectId);
  } else {
    await touchDeployment(platform.db, deploymentId);
  }
  platform.announce('deployment', deploymentId);
}
