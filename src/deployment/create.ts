/** Deploying versions under a name. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import { checkName, shown } from '../name/name.ts';
import { beginOperation } from '../operation/operation.ts';
import { brokenConstraint } from '../platform/database.ts';
import type { DeploymentTarget, InvalidOutputPolicy, RolloutStrategy } from '../platform/database.types.ts';
import { ConflictError, ValidationError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import type { Batching } from '../replica/process/launch.ts';
import { getProject, type Project } from '../project/project.ts';
import type { VersionRow } from '../version/version.row.ts';
import { reshare } from './arm-shares.ts';
import { deploymentEvent } from './deployment.events.ts';
import { provisionJob } from './deployment.jobs.ts';
import * as queries from './deployment.queries.ts';
import { enqueue, type Deployment } from './deployment.ts';
import { resolveFollowed, type Followed } from './followed.ts';
import { checkLogging, defaultLogging, loggingColumns, type GivenLogging } from './logging.ts';
import { checkCompatible, holdUnarchived, servable } from './servable.ts';
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
  /** Either one version, or several arms; neither where an alias is followed, whose version it is then. */
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
  /** A reference to an alias, at whose moves rollouts of the default strategy begin. */
  readonly follows: string | null;
  readonly defaultStrategy: RolloutStrategy;
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
  const followed =
    input.follows === null
      ? null
      : await resolveFollowed(platform, viewer, project, input.target, input.follows);
  const isNamed = input.version !== undefined || input.arms !== undefined;
  const served = followed && !isNamed ? { ...input, version: followed.versionId } : input;
  const arms = await planArms(platform, viewer, project, served);
  try {
    return await insert(platform, viewer, project.id, { ...input, name }, arms, followed);
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
    const [first] = planned;
    if (first) {
      const expected = `a version that takes and answers what ${first.name} does`;
      checkCompatible(first.version.signature, served.signature, ['arms', index, 'version'], expected);
    }
    planned.push({ name, weight: arm.weight, version: served });
  }
  return planned;
}

async function insert(
  platform: Platform,
  viewer: Viewer,
  projectId: string,
  input: CreateDeployment,
  arms: readonly PlannedArm[],
  followed: Followed | null,
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
      followsAliasId: followed?.aliasId ?? null,
      defaultStrategy: input.defaultStrategy,
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
