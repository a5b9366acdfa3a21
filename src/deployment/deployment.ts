/** Deployments: named endpoints on which versions answer. */
import { may, requireRole, type Viewer } from '../access/access.ts';
import { checkName, shown, sought } from '../name/name.ts';
import { beginOperation } from '../operation/operation.ts';
import { cancelOperation } from '../operation/operation.queries.ts';
import { toPage, toPageRequest, type Page, type PageArgs } from '../paging/paging.ts';
import { brokenConstraint } from '../platform/database.ts';
import type { DeploymentState, InvalidOutputPolicy } from '../platform/database.types.ts';
import { ConflictError, NotFoundError, NotReadyError, ValidationError } from '../platform/errors.ts';
import { isId, newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { findProject, getProject } from '../project/project.ts';
import { changing, sequenceAt } from '../ledger/ledger.ts';
import { findEventAt } from '../ledger/ledger.queries.ts';
import { resolveVersion } from '../version/resolve.ts';
import { holdVersion } from '../version/version.queries.ts';
import { provisionJob, stopJob } from './deployment.jobs.ts';
import * as queries from './deployment.queries.ts';
import { deploymentEvent, type ArmRecord, type DeploymentRecord } from './deployment.events.ts';
import { checkLogging, defaultLogging, loggingColumns, type GivenLogging } from './logging.ts';
import { enter } from './transition.ts';
import { isStoppable, stoppable } from './deployment.state.ts';

export type Deployment = queries.DeploymentRow;
export type Arm = queries.ArmRow;

const MAX_REPLICAS = 64;
const MAX_THREADS = 256;

export interface CreateDeployment {
  readonly project: string;
  readonly name: string;
  readonly version: string;
  readonly replicas: number;
  readonly threads: number;
  readonly invalidOutputs: InvalidOutputPolicy;
  readonly logging: GivenLogging;
}

/**
 * Deploys a READY version under a name; it is PENDING and queued when this returns.
 * @throws NotFoundError, ForbiddenError (needs OPERATOR), ValidationError, NotReadyError (the version is not READY),
 * ConflictError (the name is in use).
 */
export async function createDeployment(
  platform: Platform,
  viewer: Viewer,
  input: CreateDeployment,
): Promise<Deployment> {
  const project = await getProject(platform, viewer, input.project);
  requireRole(viewer, project.id, 'OPERATOR', `Project ${project.name}`);
  const name = checkName(['name'], input.name);
  checkRange(['replicas'], input.replicas, MAX_REPLICAS);
  checkRange(['threads'], input.threads, MAX_THREADS);
  const version = await resolveVersion(platform, viewer, ['version'], input.version, project);
  if (version.projectId !== project.id)
    throw new NotFoundError(`Version ${input.version} in project ${project.name}`);
  if (version.status !== 'READY') {
    throw new NotReadyError(
      `Version ${version.number} is ${version.status}, not READY.`,
      version.status === 'PENDING' || version.status === 'INGESTING' ? 1_000 : null,
      version.statusReason ?? 'Watch Version.operation until it has ended.',
    );
  }
  if (version.modelFile === null) {
    throw ValidationError.of(
      ['version'],
      'a version that can be served, which ONNX models can',
      version.format,
      {
        hint: 'Convert the model to ONNX; a version of any other format is only kept.',
      },
    );
  }
  try {
    return await insert(platform, viewer, project.id, { ...input, name }, version.id);
  } catch (error) {
    if (brokenConstraint(error) !== 'deployment_name_key') throw error;
    throw new ConflictError(
      `A deployment ${name} exists already.`,
      name,
      'Undeploy it first, or take another name.',
    );
  }
}

async function insert(
  platform: Platform,
  viewer: Viewer,
  projectId: string,
  input: CreateDeployment,
  versionId: string,
): Promise<Deployment> {
  const deployment = await changing(platform, projectId, viewer, async (tx, append) => {
    const id = newId();
    const version = await holdVersion(tx, versionId);
    if (!version) throw new NotFoundError(`Version ${input.version}`);
    if (version.archivedAt) {
      throw new ConflictError(`Version ${version.number} is archived.`, 'archived', 'Unarchive it first.');
    }
    const logging = checkLogging(input.logging, defaultLogging, version.signature ? [version.signature] : []);
    const operation = await beginOperation(tx, viewer, {
      projectId,
      kind: provisionJob.name,
      subjectId: id,
      unit: 'replicas',
      total: BigInt(input.replicas),
    });
    const row = await queries.insertDeployment(tx, {
      id,
      projectId,
      name: input.name,
      desiredReplicas: input.replicas,
      threads: input.threads,
      invalidOutputs: input.invalidOutputs,
      ...loggingColumns(logging),
      logRetentionDaysUsed: [logging.retentionDays],
      operationId: operation.id,
      createdByName: viewer.name,
      createdByKind: viewer.kind,
    });
    const arm = {
      id: newId(),
      deploymentId: id,
      versionId,
      name: 'stable',
      role: 'STABLE',
      weight: 1,
    } as const;
    await queries.insertArm(tx, arm);
    const { at } = await append(await deploymentEvent(tx, 'DEPLOYMENT_CREATED', row));
    return queries.setCreatedAt(tx, row.id, at);
  });
  await enqueue(platform, provisionJob, deployment);
  return deployment;
}

/** Redis may be away: then the sweep enqueues what was committed. */
async function enqueue(
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

function checkRange(path: readonly string[], value: number, most: number): void {
  if (value < 1 || value > most) throw ValidationError.of(path, `1 to ${most}`, String(value));
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
    const operation = await beginOperation(tx, viewer, {
      projectId: deployment.projectId,
      kind: stopJob.name,
      subjectId: deployment.id,
      unit: 'replicas',
      total: null,
    });
    if (deployment.operationId) await cancelOperation(tx, deployment.operationId);
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
