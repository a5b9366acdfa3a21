/** Deploying versions under a name. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import { checkName, shown } from '../name/name.ts';
import { beginOperation } from '../operation/operation.ts';
import { brokenConstraint } from '../platform/database.ts';
import type { DeploymentTarget, InvalidOutputPolicy } from '../platform/database.types.ts';
import { ConflictError, NotFoundError, NotReadyError, ValidationError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import type { Batching } from '../replica/process/launch.ts';
import { getProject, type Project } from '../project/project.ts';
import { compareSignatures } from '../signature/compatibility.ts';
import { resolveVersion } from '../version/resolve.ts';
import { findVersions, holdVersion } from '../version/version.queries.ts';
import type { VersionRow } from '../version/version.row.ts';
import { reshare } from './arm-shares.ts';
import { deploymentEvent } from './deployment.events.ts';
import { provisionJob } from './deployment.jobs.ts';
import * as queries from './deployment.queries.ts';
import { enqueue, type Deployment } from './deployment.ts';
import { checkLogging, defaultLogging, loggingColumns, type GivenLogging } from './logging.ts';
import { checkShape, checkWeights, MAX_ARMS, type Resources } from './shape.ts';
import { checkTarget } from './target.ts';

export interface GivenArm {
  readonly name: string;
  /** A reference to a version, where it stands in the input, and its share of the traffic. */
  readonly version: string;
  readonly weight: number;
}

export interface CreateDeployment {
  readonly project: string;
  readonly name: string;
  /** Either one version, or several arms. */
  readonly version?: string | undefined;
  readonly arms?: readonly GivenArm[] | undefined;
  readonly target: DeploymentTarget;
  /** The URL of the model at the server of an EXTERNAL one. */
  readonly externalUrl: string | null;
  readonly replicas: number;
  readonly resources: Resources;
  readonly batching: Batching;
  readonly invalidOutputs: InvalidOutputPolicy;
  readonly logging: GivenLogging;
}

interface PlannedArm {
  readonly name: string;
  readonly weight: number;
  readonly version: VersionRow;
}

/**
 * Deploys READY versions under a name; it is PENDING and queued when this returns.
 * @throws NotFoundError, ForbiddenError (needs OPERATOR), ValidationError, NotReadyError (a version is not READY),
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
  checkShape({ ...input, ...input.resources });
  checkTarget(input, platform.config.EXTERNAL_HOSTS);
  const arms = await planArms(platform, viewer, project, input);
  try {
    return await insert(platform, viewer, project.id, { ...input, name }, arms);
  } catch (error) {
    if (brokenConstraint(error) !== 'deployment_name_key') throw error;
    throw new ConflictError(
      `A deployment ${name} exists already.`,
      name,
      'Undeploy it first, or take another name.',
    );
  }
}

async function planArms(
  platform: Platform,
  viewer: Viewer,
  project: Project,
  { version, arms }: CreateDeployment,
): Promise<PlannedArm[]> {
  if ((version === undefined) === (arms === undefined)) {
    throw ValidationError.of(
      ['version'],
      'either a version or arms',
      version === undefined ? 'neither' : 'both',
    );
  }
  if (version !== undefined) {
    const served = await servable(platform, viewer, project, ['version'], version);
    return [{ name: 'stable', weight: 1, version: served }];
  }
  const given = arms ?? [];
  if (given.length === 0 || given.length > MAX_ARMS)
    throw ValidationError.of(['arms'], `1 to ${MAX_ARMS} arms`, String(given.length));
  checkWeights(
    given.map(({ weight }) => weight),
    (index) => ['arms', index, 'weight'],
    'arms',
  );
  const planned: PlannedArm[] = [];
  for (const [index, arm] of given.entries()) {
    const name = checkName(['arms', String(index), 'name'], arm.name);
    if (planned.some((other) => other.name === name))
      throw ValidationError.of(['arms', index, 'name'], 'each name once', shown(name));
    const served = await servable(platform, viewer, project, ['arms', index, 'version'], arm.version);
    checkCompatible(planned[0], served, index);
    planned.push({ name, weight: arm.weight, version: served });
  }
  return planned;
}

/** Callers cannot know which arm answers them: what the first one takes, all of them must. */
function checkCompatible(first: PlannedArm | undefined, version: VersionRow, index: number): void {
  if (!first?.version.signature || !version.signature) return;
  const { compatible, reasons } = compareSignatures(first.version.signature, version.signature);
  if (compatible) return;
  throw ValidationError.of(
    ['arms', index, 'version'],
    `a version that takes and answers what ${first.name} does`,
    reasons.join(' '),
  );
}

/** A version of the project that can be served. */
async function servable(
  platform: Platform,
  viewer: Viewer,
  project: Project,
  path: readonly (string | number)[],
  ref: string,
): Promise<VersionRow> {
  const { id } = await resolveVersion(platform, viewer, path.map(String), ref, project);
  const [version] = await findVersions(platform.db, [id]);
  if (!version) throw new NotFoundError(`Version ${ref}`);
  if (version.projectId !== project.id) throw new NotFoundError(`Version ${ref} in project ${project.name}`);
  if (version.status !== 'READY') {
    throw new NotReadyError(
      `Version ${version.number} is ${version.status}, not READY.`,
      version.status === 'PENDING' || version.status === 'INGESTING' ? 1_000 : null,
      version.statusReason ?? 'Watch Version.operation until it has ended.',
    );
  }
  if (version.modelFile === null) {
    throw ValidationError.of(path, 'a version that can be served, which ONNX models can', version.format, {
      hint: 'Convert the model to ONNX; a version of any other format is only kept.',
    });
  }
  return version;
}

async function insert(
  platform: Platform,
  viewer: Viewer,
  projectId: string,
  input: CreateDeployment,
  arms: readonly PlannedArm[],
): Promise<Deployment> {
  const signatures = arms.flatMap(({ version }) => version.signature ?? []);
  const logging = checkLogging(input.logging, defaultLogging, signatures);
  const deployment = await changing(platform, projectId, viewer, async (tx, append) => {
    const id = newId();
    // In one order, so that two deployments of the same versions do not wait for each other.
    for (const version of new Set(arms.map((arm) => arm.version).toSorted((a, b) => (a.id < b.id ? -1 : 1))))
      await holdUnarchived(tx, version);
    const operation = await beginOperation(tx, viewer, {
      projectId,
      kind: provisionJob.name,
      subjectId: id,
      unit: 'replicas',
      total: BigInt(input.replicas * arms.length),
    });
    const row = await queries.insertDeployment(tx, {
      id,
      projectId,
      name: input.name,
      target: input.target,
      endpoint: input.externalUrl,
      desiredReplicas: input.replicas,
      threads: input.resources.threads,
      memoryLimitBytes: input.resources.memoryLimitBytes,
      maxBatchRows: input.batching.maxRows,
      maxBatchDelayMs: input.batching.maxDelayMs,
      invalidOutputs: input.invalidOutputs,
      ...loggingColumns(logging),
      logRetentionDaysUsed: [logging.retentionDays],
      operationId: operation.id,
      createdByName: viewer.name,
      createdByKind: viewer.kind,
    });
    const shares = reshare(arms.map(({ weight }) => ({ weight, shares: [] })));
    for (const [index, { name, weight, version }] of arms.entries()) {
      await queries.insertArm(tx, {
        id: newId(),
        deploymentId: id,
        versionId: version.id,
        name,
        role: index === 0 ? 'STABLE' : 'CANDIDATE',
        weight,
        shares: JSON.stringify(shares[index]),
      });
    }
    const { at } = await append(await deploymentEvent(tx, 'DEPLOYMENT_CREATED', row));
    return queries.setCreatedAt(tx, row.id, at);
  });
  await enqueue(platform, provisionJob, deployment);
  return deployment;
}

async function holdUnarchived(
  tx: Parameters<typeof holdVersion>[0],
  { id, number }: VersionRow,
): Promise<void> {
  const version = await holdVersion(tx, id);
  if (!version) throw new NotFoundError(`Version ${number}`);
  if (version.archivedAt)
    throw new ConflictError(`Version ${version.number} is archived.`, 'archived', 'Unarchive it first.');
}
