/** How a deployment's state changes: with an event, in one transaction. */
import type { Actor } from '../access/access.ts';
import { appendTo, system } from '../ledger/ledger.ts';
import type { Db } from '../platform/database.ts';
import type { DeploymentState } from '../platform/database.types.ts';
import { deploymentEvent } from './deployment.events.ts';
import { changeState, lockDeployment, type DeploymentRow } from './deployment.queries.ts';

/**
 * Enters a state if the present one is one of `from`; undefined when it is not. One that it is in already, for the same
 * reason, is no event. Whoever commits announces `deployment` and `ledger`.
 */
export async function enter(
  tx: Db,
  id: string,
  from: readonly DeploymentState[],
  change: { state: DeploymentState; stateReason: string | null; operationId?: string },
  actor: Actor = system,
): Promise<DeploymentRow | undefined> {
  const before = await lockDeployment(tx, id);
  const after = await changeState(tx, id, from, change);
  if (!before || !after) return undefined;
  if (before.state === after.state && before.stateReason === after.stateReason) return after;
  const event = await deploymentEvent(
    tx,
    after.state === 'PENDING' ? 'DEPLOYMENT_CREATED' : `DEPLOYMENT_${after.state}`,
    after,
  );
  await appendTo(tx, after.projectId, actor)(event);
  return after;
}
