/** Brings a deployment's state in line with its replicas'. */
import { isEssential, observedState, readyOf } from './deployment.state.ts';
import { listArms, lockDeployment, touchDeployment } from './deployment.queries.ts';
import { enter } from './transition.ts';
import type { Platform } from '../platform/platform.ts';
import { listReplicas } from '../replica/replica.queries.ts';

/** Call it after a replica's state changed; it also tells the apis to look at their routes. */
export async function observe(platform: Platform, deploymentId: string): Promise<void> {
  const entered = await platform.database.db.transaction().execute(async (tx) => {
    // Held before it is looked at: of several who look, none may write what it saw before another one looked.
    const deployment = await lockDeployment(tx, deploymentId);
    if (!deployment) return undefined;
    const replicas = await listReplicas(tx, [deploymentId]);
    const arms = (await listArms(tx, [deploymentId])).filter(isEssential);
    const observed = observedState(deployment.state, readyOf(deployment.desiredReplicas, arms, replicas));
    const isNew =
      observed && (observed.state !== deployment.state || observed.reason !== deployment.stateReason);
    if (!isNew) await touchDeployment(tx, deploymentId);
    else
      await enter(tx, deploymentId, [deployment.state], {
        state: observed.state,
        stateReason: observed.reason,
      });
    return { projectId: deployment.projectId, isNew };
  });
  if (!entered) return;
  if (entered.isNew) platform.announce('ledger', entered.projectId);
  platform.announce('deployment', deploymentId);
}
