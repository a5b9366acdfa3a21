/** Changes of what is written beside a deployment. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import type { Db } from '../platform/database.ts';
import type { Platform } from '../platform/platform.ts';
import type { Signature } from '../signature/signature.ts';
import { findVersions } from '../version/version.queries.ts';
import { deploymentEvent } from './deployment.events.ts';
import { listArms, lockDeployment, type DeploymentRow } from './deployment.queries.ts';
import { resolveDeployment } from './deployment.ts';
import { checkLogging, loggingColumns, loggingOf, type GivenLogging } from './logging.ts';
import { setLogging } from './logging.queries.ts';

export interface UpdateDeployment {
  readonly deployment: string;
  readonly logging: GivenLogging | null;
}

/**
 * Changes how a deployment is kept. What is not given stays as it is.
 * @throws NotFoundError, ForbiddenError (needs OPERATOR), ValidationError.
 */
export async function updateDeployment(
  platform: Platform,
  viewer: Viewer,
  input: UpdateDeployment,
): Promise<DeploymentRow> {
  const deployment = await resolveDeployment(platform, viewer, ['deployment'], input.deployment);
  requireRole(viewer, deployment.projectId, 'OPERATOR', `Deployment ${deployment.name}`);
  const { logging } = input;
  if (!logging) return deployment;
  const updated = await changing(platform, deployment.projectId, viewer, async (tx, append) => {
    const from = loggingOf((await lockDeployment(tx, deployment.id)) ?? deployment);
    const to = checkLogging(logging, from, await signaturesOf(tx, deployment.id));
    const changed = await setLogging(tx, deployment.id, loggingColumns(to));
    const event = await deploymentEvent(tx, 'DEPLOYMENT_UPDATED', changed);
    await append({ ...event, data: { ...event.data, logging: { from, to } } });
    return changed;
  });
  platform.announce('deployment', updated.id);
  return updated;
}

async function signaturesOf(db: Db, deploymentId: string): Promise<Signature[]> {
  const arms = await listArms(db, [deploymentId]);
  const versions = await findVersions(
    db,
    arms.map(({ versionId }) => versionId),
  );
  return versions.flatMap(({ signature }) => signature ?? []);
}
