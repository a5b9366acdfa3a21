/** Deployments: named endpoints on which versions answer. */
import { may, requireRole, type Viewer } from '../access/access.ts';
import { shown, sought } from '../name/name.ts';
import { beginOperation } from '../operation/operation.ts';
import { cancelOperation } from '../operation/operation.queries.ts';
import { toPage, toPageRequest, type Page, type PageArgs } from '../paging/paging.ts';
import type { DeploymentState } from '../platform/database.types.ts';
import { NotFoundError, ValidationError } from '../platform/errors.ts';
import { isId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { findProject } from '../project/project.ts';
import { sequenceAt } from '../ledger/ledger.ts';
import { findEventAt } from '../ledger/ledger.queries.ts';
import { provisionJob, stopJob } from './deployment.jobs.ts';
import * as queries from './deployment.queries.ts';
import type { ArmRecord, DeploymentRecord } from './deployment.events.ts';
import { enter } from './transition.ts';
import { isStoppable, stoppable } from './deployment.state.ts';

export type Deployment = queries.DeploymentRow;
export type Arm = queries.ArmRow;

/** Redis may be away: then the sweep enqueues what was committed. */
export async function enqueue(
  platform: Platform,
  job: typeof provisionJob | typeof stopJob,
  deployment: Deployment,
): Promise<void> {
  platform.announce('deployment', deployment.id);
  if (!deployment.operationId) return;
  try {
    await platform.queue.add(job.queue, job.name, deployment.operationId, {
      operationId: deployment.operationId,
    });
  } catch (error) {
    platform.logger.warn({ err: error, deployment: deployment.id }, 'not queued yet; the sweep will');
  }
}

/**
 * Takes a deployment out of service: no new prediction is accepted, those in flight are answered, then its
 * replicas end. One that is stopping or stopped is returned as it is.
 */
export async function undeploy(platform: Platform, viewer: Viewer, ref: string): Promise<Deployment> {
  const deployment = await resolveDeployment(platform, viewer, ['deployment'], ref);
  requireRole(viewer, deployment.projectId, 'OPERATOR', `Deployment ${deployment.name}`);
  if (!isStoppable(deployment.state)) return deployment;
  const stopping = await platform.database.db.transaction().execute(async (tx) => {
    // Of several who ask at once, one begins the work.
    const before = await queries.lockDeployment(tx, deployment.id);
    if (!before || !isStoppable(before.state)) return undefined;
    const operation = await beginOperation(tx, viewer, {
      projectId: deployment.projectId,
      kind: stopJob.name,
      subjectId: deployment.id,
      unit: 'replicas',
      total: null,
    });
    if (before.operationId) await cancelOperation(tx, before.operationId);
    const change = { state: 'STOPPING', stateReason: null, operationId: operation.id } as const;
    return enter(tx, deployment.id, stoppable, change, viewer);
  });
  platform.announce('ledger', deployment.projectId);
  if (!stopping) return getDeployment(platform, viewer, deployment.id);
  await enqueue(platform, stopJob, stopping);
  return stopping;
}

/** @throws NotFoundError when it does not exist for the viewer. */
export async function getDeployment(platform: Platform, viewer: Viewer, id: string): Promise<Deployment> {
  const [deployment] = await queries.findDeployments(platform.db, [id]);
  if (!deployment || !may(viewer, deployment.projectId, 'READER')) throw new NotFoundError('Deployment');
  return deployment;
}

/** The deployment of that name in a project that the viewer may read. */
export function findDeployment(
  platform: Platform,
  projectId: string,
  name: string,
): Promise<Deployment | undefined> {
  return queries.findDeploymentByName(platform.db, projectId, sought(name));
}

const reference = /^([^/]+)\/([^/]+)$/;

/**
 * The deployment that a reference means: its id, or `project/name`.
 * @throws ValidationError when it is neither, NotFoundError when there is none for the viewer.
 */
export async function resolveDeployment(
  platform: Platform,
  viewer: Viewer,
  path: readonly string[],
  ref: string,
): Promise<Deployment> {
  if (isId(ref)) return getDeployment(platform, viewer, ref);
  const [, projectName, name] = reference.exec(ref) ?? [];
  if (projectName === undefined || name === undefined) {
    throw ValidationError.of(path, "a deployment's id, or project/name such as demo/fraud", shown(ref));
  }
  const project = await findProject(platform, viewer, projectName);
  const deployment = project && (await findDeployment(platform, project.id, name));
  if (!deployment) throw new NotFoundError(`Deployment ${ref}`);
  return deployment;
}

/** A page of a project's deployments, by name. */
export async function listDeployments(
  platform: Platform,
  projectId: string,
  args: PageArgs,
): Promise<Page<Deployment>> {
  const request = toPageRequest(args, 2);
  const id = request.after?.[1];
  if (id !== undefined && !isId(id))
    throw ValidationError.of(['after'], 'a cursor of this connection', 'something else');
  return toPage(await queries.listDeployments(platform.db, projectId, request), request);
}

/** A deployment as it was. */
export interface DeploymentSnapshot {
  readonly at: Date;
  readonly projectId: string;
  readonly state: DeploymentState;
  readonly stateReason: string | null;
  readonly arms: readonly ArmRecord[];
}

/**
 * A deployment's state and arms at a time, as the ledger has them; undefined before it was created.
 * @throws ValidationError for a time that is still to come.
 */
export async function deploymentAt(
  platform: Platform,
  { id, projectId }: Deployment,
  time: Date,
): Promise<DeploymentSnapshot | undefined> {
  const sequence = await sequenceAt(platform, projectId, ['time'], time);
  const event = await findEventAt(platform.db, id, sequence);
  if (!event) return undefined;
  const { state, reason, arms } = event.data as unknown as DeploymentRecord;
  return { at: time, projectId, state, stateReason: reason, arms };
}

/** Where a version, or a version of a model, is deployed: those that are not STOPPED, by name. */
export function listDeploymentsOf(
  platform: Platform,
  versions: { versionIds: readonly string[] } | { modelIds: readonly string[] },
): Promise<queries.PlacedDeployment[]> {
  return queries.listPlaced(platform.db, versions);
}
