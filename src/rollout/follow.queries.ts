import { sql } from 'kysely';
import type { ActorKind } from '../platform/database.types.ts';
import type { Db } from '../platform/database.ts';

/** An alias that has moved, and the deployment that follows it. */
export interface Moved {
  readonly deploymentId: string;
  readonly projectId: string;
  readonly versionId: string;
  readonly movedAt: Date;
  readonly byName: string;
  readonly byKind: ActorKind;
  /** `fraud@champion` */
  readonly alias: string;
}

/**
 * Of deployments that answer and in which no rollout runs: what they have yet to follow, longest ago first. A version that
 * may still become READY is waited for.
 * @param deploymentId the only one that is of interest; null: all.
 */
export async function listMoved(db: Db, deploymentId: string | null, limit: number): Promise<Moved[]> {
  const { rows } = await sql<Moved>`
    select d.id as deployment_id, d.project_id, a.version_id, a.moved_at, a.moved_by_name as by_name,
           a.moved_by_kind as by_kind, m.name || '@' || a.name as alias
    from deployment d join alias a on a.id = d.follows_alias_id join model m on m.id = a.model_id
      join version v on v.id = a.version_id
    where d.follows_alias_id is not null and d.state in ('LIVE', 'DEGRADED') and a.version_id is not null
      and (d.followed_at is null or d.followed_at < a.moved_at)
      and not exists (select from rollout r where r.deployment_id = d.id and r.finished_at is null)
      and v.status not in ('PENDING', 'INGESTING', 'QUARANTINED')
      and (${deploymentId}::uuid is null or d.id = ${deploymentId}::uuid)
    order by a.moved_at, d.id limit ${limit}`.execute(db);
  return rows;
}

/** Notes up to which move of its alias a deployment has followed; null: to none. */
export async function setFollowed(db: Db, deploymentId: string, at: Date | null): Promise<void> {
  await db.updateTable('deployment').set({ followedAt: at }).where('id', '=', deploymentId).execute();
}
