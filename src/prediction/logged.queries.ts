import { sql, type Expression, type SqlBool } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { PredictionPayload, TagRecord } from '../platform/database.types.ts';
import { timeOfId } from '../platform/id.ts';

/** A request as it was logged, without its tensors. `id` is the request's. */
export interface LoggedRequest {
  readonly id: string;
  readonly projectId: string;
  readonly deploymentId: string;
  readonly versionId: string;
  readonly arm: string;
  readonly weight: number;
  readonly at: Date;
  readonly latencyMs: number;
  readonly rows: number;
  readonly error: string | null;
  readonly labels: TagRecord[] | null;
  readonly answerLabels: (string | null)[] | null;
  readonly answerNumbers: (number | null)[] | null;
  readonly payload: PredictionPayload;
  /** The rollout that ran then, and its step, from 0. */
  readonly rolloutId: string | null;
  readonly rolloutStep: number | null;
}

const columns = sql`
  p.request_id as id, p.deployment_id, p.version_id, p.arm, p.weight, p.at, p.latency_ms, p.rows, p.error, p.labels,
  p.answer_labels, p.answer_numbers, p.payload, p.rollout_id, p.rollout_step`;

/** By the ids of requests: the time in an id tells the partitions. */
export async function findPredictions(db: Db, ids: readonly string[]): Promise<LoggedRequest[]> {
  const { rows } = await sql<LoggedRequest>`
    select d.project_id, ${columns} from prediction p join deployment d on d.id = p.deployment_id
    where ${among(ids)}`.execute(db);
  return rows;
}

function among(ids: readonly string[]): Expression<SqlBool> {
  const times = [...new Set(ids.map((id) => timeOfId(id).getTime()))].map((time) => new Date(time));
  return sql<SqlBool>`p.at in (${sql.join(times)}) and p.request_id in (${sql.join(ids)})`;
}

export interface PackedPayload {
  readonly requestId: string;
  readonly versionId: string;
  readonly rows: number;
  readonly redacted: string[] | null;
  readonly inputs: Buffer | null;
  readonly outputs: Buffer | null;
}

export async function findPackedPayloads(db: Db, ids: readonly string[]): Promise<PackedPayload[]> {
  const { rows } = await sql<PackedPayload>`
    select p.request_id, p.version_id, p.rows, p.redacted, p.inputs, p.outputs
    from prediction p where ${among(ids)} and p.payload = 'LOGGED'`.execute(db);
  return rows;
}

/** Which predictions; what is not given does not matter. */
export interface PredictionFilter {
  readonly arm?: string | undefined;
  readonly versionId?: string | undefined;
  readonly slowerThanMs?: number | undefined;
  readonly failed?: boolean | undefined;
  readonly label?: TagRecord | undefined;
}

function matching({
  arm,
  versionId,
  slowerThanMs,
  failed,
  label,
}: PredictionFilter): Expression<SqlBool> | undefined {
  const conditions = [
    arm === undefined ? [] : sql<SqlBool>`p.arm = ${arm}`,
    versionId === undefined ? [] : sql<SqlBool>`p.version_id = ${versionId}`,
    slowerThanMs === undefined ? [] : sql<SqlBool>`p.latency_ms > ${slowerThanMs}::double precision`,
    failed === undefined ? [] : failed ? sql<SqlBool>`p.error is not null` : sql<SqlBool>`p.error is null`,
    label === undefined ? [] : sql<SqlBool>`p.labels @> ${JSON.stringify([label])}::jsonb`,
  ].flat();
  return conditions.length === 0 ? undefined : sql<SqlBool>`${sql.join(conditions, sql` and `)}`;
}

export interface Stretch {
  readonly deploymentId: string;
  readonly projectId: string;
  /** Retentions under which the deployment's rows may lie. */
  readonly retentions: readonly number[];
  /** From this request on, it included, to older ones. */
  readonly newest: { readonly at: Date; readonly id: string };
  /** Nothing older than that. */
  readonly since: Date;
  readonly limit: number;
  /** Most rows to look at. */
  readonly look: number;
}

/** Newest first. `matched` is false in the last row of what was looked at, where that does not match itself. */
export async function listRequests(
  db: Db,
  filter: PredictionFilter,
  { deploymentId, projectId, retentions, newest, since, limit, look }: Stretch,
): Promise<(LoggedRequest & { readonly matched: boolean; readonly place: number })[]> {
  const isMatch = matching(filter) ?? sql<SqlBool>`true`;
  const { rows } = await sql<LoggedRequest & { matched: boolean; place: number }>`
    select * from (
      select ${projectId}::uuid as project_id, ${columns}, coalesce(${isMatch}, false) as matched,
             (row_number() over (order by p.at desc, p.request_id desc))::integer as place
      from prediction p
      where p.deployment_id = ${deploymentId} and p.retention_days in (${sql.join(retentions)})
        and p.at >= ${since} and p.at <= ${newest.at} and (p.at, p.request_id) <= (${newest.at}, ${newest.id}::uuid)
      order by p.at desc, p.request_id desc limit ${look}
    ) as seen
    where matched or place = ${look}
    order by at desc, id desc limit ${limit}`.execute(db);
  return rows;
}
