import { sql, type Insertable, type Selectable, type Updateable } from 'kysely';
import type { PageRequest } from '../paging/paging.ts';
import type { Db } from '../platform/database.ts';
import type { Arm, Deployment } from '../platform/database.generated.ts';
import type { DeploymentState } from '../platform/database.types.ts';
import type { Share } from './arm-shares.ts';

export type DeploymentRow = Selectable<Deployment>;
export type ArmRow = Selectable<Arm>;

export function insertDeployment(db: Db, deployment: Insertable<Deployment>): Promise<DeploymentRow> {
  return db.insertInto('deployment').values(deployment).returningAll().executeTakeFirstOrThrow();
}

/** So that a deployment is there at the time of the event that tells of it. */
export function setCreatedAt(db: Db, id: string, at: Date): Promise<DeploymentRow> {
  return db
    .updateTable('deployment')
    .set({ createdAt: at })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function insertArm(db: Db, arm: Insertable<Arm>): Promise<void> {
  await db.insertInto('arm').values(arm).execute();
}

export function findDeployments(db: Db, ids: readonly string[]): Promise<DeploymentRow[]> {
  return db.selectFrom('deployment').selectAll().where('id', 'in', ids).execute();
}

/** The one of that name that is not STOPPED, else the one that was stopped last. */
export function findDeploymentByName(
  db: Db,
  projectId: string,
  name: string,
): Promise<DeploymentRow | undefined> {
  return db
    .selectFrom('deployment')
    .selectAll()
    .where('projectId', '=', projectId)
    .where('name', '=', name)
    .orderBy(sql`state = 'STOPPED'`)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** By name, then id; one row more than asked for. */
export function listDeployments(db: Db, projectId: string, page: PageRequest): Promise<DeploymentRow[]> {
  return db
    .selectFrom('deployment')
    .selectAll()
    .where('projectId', '=', projectId)
    .$if(page.after !== undefined, (query) =>
      query.where(sql<boolean>`(name, id) > (${page.after?.[0]}, ${page.after?.[1]}::uuid)`),
    )
    .orderBy('name')
    .orderBy('id')
    .limit(page.first + 1)
    .execute();
}

/** Those that are retired too. */
export function findArms(db: Db, ids: readonly string[]): Promise<ArmRow[]> {
  return db.selectFrom('arm').selectAll().where('id', 'in', ids).execute();
}

/** Whether a rollout runs, which owns the shares of the arms. */
export async function hasRollout(db: Db, deploymentId: string): Promise<boolean> {
  const row = await db
    .selectFrom('rollout')
    .select('id')
    .where('deploymentId', '=', deploymentId)
    .where('finishedAt', 'is', null)
    .executeTakeFirst();
  return row !== undefined;
}

/** Whether a version is, or has been, an arm of a deployment that answered. */
export async function hasServed(db: Db, deploymentId: string, versionId: string): Promise<boolean> {
  const row = await db
    .selectFrom('arm')
    .select('id')
    .where('deploymentId', '=', deploymentId)
    .where('versionId', '=', versionId)
    .where('role', '=', 'STABLE')
    .executeTakeFirst();
  return row !== undefined;
}

/** By name; those that are retired are left out. */
export function listArms(db: Db, deploymentIds: readonly string[]): Promise<ArmRow[]> {
  return db
    .selectFrom('arm')
    .selectAll()
    .where('deploymentId', 'in', deploymentIds)
    .where('retiredAt', 'is', null)
    .orderBy('name')
    .execute();
}

/** Takes arms out of service; their replicas finish and end. */
export async function retireArms(db: Db, ids: readonly string[]): Promise<void> {
  await db
    .updateTable('arm')
    .set({ retiredAt: sql`clock_timestamp()`, weight: 0, shares: '[]' })
    .where('id', 'in', ids)
    .execute();
}

export async function setRole(db: Db, armId: string, role: ArmRow['role']): Promise<void> {
  await db.updateTable('arm').set({ role }).where('id', '=', armId).execute();
}

export function lockDeployment(db: Db, id: string): Promise<DeploymentRow | undefined> {
  return db.selectFrom('deployment').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
}

export type Reshaped = Pick<
  Updateable<Deployment>,
  'desiredReplicas' | 'threads' | 'memoryLimitBytes' | 'maxBatchRows' | 'maxBatchDelayMs' | 'spec'
>;

/** Changes what is wanted of a deployment's replicas. */
export function reshapeDeployment(db: Db, id: string, change: Reshaped): Promise<DeploymentRow> {
  return db
    .updateTable('deployment')
    .set({ ...change, changedAt: sql`clock_timestamp()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Changes when and how rollouts begin by themselves. */
export function setRollouts(
  db: Db,
  id: string,
  change: Pick<Updateable<Deployment>, 'defaultStrategy' | 'followsAliasId' | 'followedAt'>,
): Promise<DeploymentRow> {
  return db
    .updateTable('deployment')
    .set(change)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function setShares(
  db: Db,
  armId: string,
  weight: number,
  shares: readonly Share[],
): Promise<void> {
  await db
    .updateTable('arm')
    .set({ weight, shares: JSON.stringify(shares) })
    .where('id', '=', armId)
    .execute();
}

/** The arms of a deployment with what they serve, by name. */
export function listArmRecords(db: Db, deploymentId: string) {
  return db
    .selectFrom('arm as a')
    .innerJoin('version as v', 'v.id', 'a.versionId')
    .innerJoin('model as m', 'm.id', 'v.modelId')
    .select(['a.name', 'a.role', 'a.weight', 'v.id as version', 'm.name as model', 'v.number'])
    .where('a.deploymentId', '=', deploymentId)
    .where('a.retiredAt', 'is', null)
    .orderBy('a.name')
    .execute();
}

/** A deployment and a version of a model that it serves. */
export type PlacedDeployment = DeploymentRow & { readonly versionId: string; readonly modelId: string };

/** Those that are not STOPPED, by name; once for each of the versions that it serves. */
export function listPlaced(
  db: Db,
  of: { versionIds: readonly string[] } | { modelIds: readonly string[] },
): Promise<PlacedDeployment[]> {
  const placed = db
    .selectFrom('deployment as d')
    .innerJoin('arm as a', 'a.deploymentId', 'd.id')
    .innerJoin('version as v', 'v.id', 'a.versionId')
    .selectAll('d')
    .select(['v.id as versionId', 'v.modelId'])
    .where('d.state', '<>', 'STOPPED')
    .where('a.retiredAt', 'is', null)
    .orderBy('d.name');
  return 'versionIds' in of
    ? placed.where('v.id', 'in', of.versionIds).execute()
    : placed.where('v.modelId', 'in', of.modelIds).execute();
}

/** Changes the state if it is still one of `from`; undefined when it is not. */
export function changeState(
  db: Db,
  id: string,
  from: readonly DeploymentState[],
  change: { state: DeploymentState; stateReason: string | null; operationId?: string },
): Promise<DeploymentRow | undefined> {
  return db
    .updateTable('deployment')
    .set({ ...change, changedAt: sql`clock_timestamp()` })
    .where('id', '=', id)
    .where('state', 'in', from)
    .returningAll()
    .executeTakeFirst();
}

/** Marks that routes may differ, for the apis' poll. */
export async function touchDeployment(db: Db, id: string): Promise<void> {
  await db
    .updateTable('deployment')
    .set({ changedAt: sql`clock_timestamp()` })
    .where('id', '=', id)
    .execute();
}
