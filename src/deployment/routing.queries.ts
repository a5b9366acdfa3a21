import { sql } from 'kysely';
import { jsonArrayFrom, jsonObjectFrom } from 'kysely/helpers/postgres';
import type { Db } from '../platform/database.ts';
import type { Share } from './arm-shares.ts';
import type {
  ArmRole,
  DeploymentState,
  InvalidOutputPolicy,
  RolloutState,
  RolloutStrategy,
} from '../platform/database.types.ts';
import type { Gate } from '../rollout/gate.ts';

export interface RouteRow {
  id: string;
  projectId: string;
  /** `project/name` */
  label: string;
  state: DeploymentState;
  stateReason: string | null;
  invalidOutputs: InvalidOutputPolicy;
  /** Those that are not retired. */
  arms: {
    id: string;
    name: string;
    role: ArmRole;
    weight: number;
    shares: Share[];
    versionId: string;
    modelName: string;
  }[];
  replicas: {
    id: string;
    armId: string;
    hostId: string;
    launch: number;
    endpoint: string;
    token: string | null;
    binaryTensors: boolean;
  }[];
  /** The one that runs. */
  rollout: {
    id: string;
    step: number | null;
    strategy: RolloutStrategy;
    state: RolloutState;
    stableArmId: string;
    candidateArmId: string | null;
    mirrorShare: number;
    gates: Gate[];
  } | null;
}

/** Routes of some deployments, or of all that are not STOPPED (their number does not grow with traffic). */
export async function listRoutes(db: Db, ids: readonly string[] | null): Promise<RouteRow[]> {
  const rows = await db
    .selectFrom('deployment as d')
    .innerJoin('project as p', 'p.id', 'd.projectId')
    .select((eb) => [
      'd.id',
      'd.projectId',
      sql<string>`p.name || '/' || d.name`.as('label'),
      'd.state',
      'd.stateReason',
      'd.invalidOutputs',
      jsonArrayFrom(
        eb
          .selectFrom('arm as a')
          .innerJoin('version as v', 'v.id', 'a.versionId')
          .innerJoin('model as m', 'm.id', 'v.modelId')
          .whereRef('a.deploymentId', '=', 'd.id')
          .where('a.retiredAt', 'is', null)
          .where('v.signature', 'is not', null)
          .select([
            'a.id',
            'a.name',
            'a.role',
            'a.weight',
            'a.shares',
            'a.versionId as versionId',
            'm.name as modelName',
          ])
          .orderBy('a.name'),
      ).as('arms'),
      jsonArrayFrom(
        eb
          .selectFrom('replica as r')
          .whereRef('r.deploymentId', '=', 'd.id')
          .where('r.state', '=', 'READY')
          .where('r.endpoint', 'is not', null)
          .select([
            'r.id',
            'r.armId as armId',
            'r.hostId as hostId',
            'r.launch',
            'r.endpoint',
            'r.token',
            'r.binaryTensors as binaryTensors',
          ])
          .orderBy('r.ordinal'),
      ).as('replicas'),
      jsonObjectFrom(
        eb
          .selectFrom('rollout as o')
          .whereRef('o.deploymentId', '=', 'd.id')
          .where('o.finishedAt', 'is', null)
          .select([
            'o.id',
            'o.step',
            'o.strategy',
            'o.state',
            'o.stableArmId as stableArmId',
            'o.candidateArmId as candidateArmId',
            'o.mirrorShare as mirrorShare',
            'o.gates',
          ]),
      ).as('rollout'),
    ])
    .$if(ids === null, (query) => query.where('d.state', '<>', 'STOPPED'))
    .$if(ids !== null, (query) => query.where('d.id', 'in', ids ?? []))
    .execute();
  return rows.map(({ arms, replicas, rollout, ...row }) => ({
    ...row,
    arms: arms.map((arm) => camelKeys(arm) as unknown as RouteRow['arms'][number]),
    replicas: replicas.map((replica) => camelKeys(replica) as unknown as RouteRow['replicas'][number]),
    rollout: rollout && (camelKeys(rollout) as unknown as NonNullable<RouteRow['rollout']>),
  }));
}

/** Objects made by PostgreSQL have its names. */
function camelKeys(object: object): Record<string, unknown> {
  const entries = Object.entries(object).map(([key, value]: [string, unknown]) => [
    key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

/** Deployments whose routes may have changed lately. */
export async function listChanged(db: Db, seconds: number): Promise<string[]> {
  const rows = await db
    .selectFrom('deployment')
    .select('id')
    .where('changedAt', '>', sql<Date>`clock_timestamp() - make_interval(secs => ${seconds})`)
    .execute();
  return rows.map((row) => row.id);
}

/** The deployment called `project/name`; one that was stopped only when there is no other. */
export async function findIdByLabel(db: Db, label: string): Promise<string | undefined> {
  const [project, name, more] = label.split('/');
  if (!project || !name || more !== undefined) return undefined;
  const row = await db
    .selectFrom('deployment as d')
    .innerJoin('project as p', 'p.id', 'd.projectId')
    .select('d.id')
    .where('p.name', '=', project)
    .where('d.name', '=', name)
    .orderBy(sql`d.state = 'STOPPED'`)
    .orderBy('d.id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.id;
}
