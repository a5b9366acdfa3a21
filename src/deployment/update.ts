/** Changes of what is written beside a deployment. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import type { Db } from '../platform/database.ts';
import type { RolloutStrategy } from '../platform/database.types.ts';
import { findProjects } from '../project/project.queries.ts';
import type { Platform } from '../platform/platform.ts';
import type { Signature } from '../signature/signature.ts';
import { findVersions } from '../version/version.queries.ts';
import { deploymentEvent } from './deployment.events.ts';
import { listArms, lockDeployment, setRollouts, type DeploymentRow } from './deployment.queries.ts';
import { resolveDeployment } from './deployment.ts';
import { resolveFollowed } from './followed.ts';
import { checkLogging, loggingColumns, loggingOf, type GivenLogging } from './logging.ts';
import { setLogging } from './logging.queries.ts';

export interface UpdateDeployment {
  readonly deployment: string;
  readonly logging: GivenLogging | null;
  /** A reference to an alias; null: none is followed any more; undefined: as it is. */
  readonly follows: string | null | undefined;
  readonly defaultStrategy: RolloutStrategy | null;
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
  const { logging, defaultStrategy } = input;
  const following = await followingOf(platform, viewer, deployment, input.follows);
  if (!logging && !defaultStrategy && following === undefined) return deployment;
  const updated = await changing(platform, deployment.projectId, viewer, async (tx, append) => {
    const before = (await lockDeployment(tx, deployment.id)) ?? deployment;
    const changes: Record<string, unknown> = {};
    let changed = before;
    if (logging) {
      const from = loggingOf(before);
      const to = checkLogging(logging, from, await signaturesOf(tx, deployment.id));
      changed = await setLogging(tx, deployment.id, loggingColumns(to));
      changes['logging'] = { from, to };
    }
    if (defaultStrategy && defaultStrategy !== before.defaultStrategy) {
      changed = await setRollouts(tx, deployment.id, { defaultStrategy });
      changes['defaultStrategy'] = { from: before.defaultStrategy, to: defaultStrategy };
    }
    if (following !== undefined && following !== before.followsAliasId) {
      changed = await setRollouts(tx, deployment.id, { followsAliasId: following, followedAt: null });
      changes['follows'] = { from: before.followsAliasId, to: following };
    }
    if (Object.keys(changes).length === 0) return before;
    const event = await deploymentEvent(tx, 'DEPLOYMENT_UPDATED', changed);
    await append({ ...event, data: { ...event.data, ...changes } });
    return changed;
  });
  platform.announce('deployment', updated.id);
  return updated;
}

/** The id of the alias to follow; null for none, undefined where nothing is said. @throws ValidationError, NotFoundError */
async function followingOf(
  platform: Platform,
  viewer: Viewer,
  deployment: DeploymentRow,
  follows: string | null | undefined,
): Promise<string | null | undefined> {
  if (follows === null || follows === undefined) return follows;
  const [project] = await findProjects(platform.db, [deployment.projectId]);
  return (await resolveFollowed(platform, viewer, project!, deployment.target, follows)).aliasId;
}

async function signaturesOf(db: Db, deploymentId: string): Promise<Signature[]> {
  const arms = await listArms(db, [deploymentId]);
  const versions = await findVersions(
    db,
    arms.map(({ versionId }) => versionId),
  );
  return versions.flatMap(({ signature }) => signature ?? []);
}
