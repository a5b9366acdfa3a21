import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';

export interface ParentRow {
  readonly versionId: string;
  readonly parentId: string;
  readonly modelId: string;
  readonly number: number;
}

/** The parents of versions, of each in their order. */
export function listParents(db: Db, versionIds: readonly string[]): Promise<ParentRow[]> {
  return db
    .selectFrom('versionParent as p')
    .innerJoin('version as v', 'v.id', 'p.parentId')
    .select(['p.versionId', 'p.parentId', 'v.modelId', 'v.number'])
    .where('p.versionId', 'in', versionIds)
    .orderBy('p.ordinal')
    .execute();
}

/** Of each of these, the newest versions that have it as a parent, newest first; so many at most. */
export async function listChildren(
  db: Db,
  versionIds: readonly string[],
  most: number,
): Promise<{ parentId: string; id: string }[]> {
  const { rows } = await sql<{ parentId: string; id: string }>`
    select parent.id as parent_id, child.id
    from unnest(${versionIds}::uuid[]) as parent(id)
    cross join lateral (
      select v.id from version_parent p join version v on v.id = p.version_id
      where p.parent_id = parent.id and v.deleted_at is null
      order by v.id desc limit ${most}
    ) child
    order by child.id desc`.execute(db);
  return rows;
}

/**
 * The first of the versions that are reached from `frontier` by going to parents, the frontier among them: by generation,
 * youngest first, so each comes before its parents. Each has as many descendants among them as lie between it and the
 * frontier, so none of the first n is more than n steps away.
 */
export async function listReached(
  db: Db,
  projectId: string,
  frontier: readonly string[],
  first: number,
): Promise<{ id: string; parents: string[] }[]> {
  const { rows } = await sql<{ id: string; parents: string[] }>`
    with recursive reached as (
      select id, 0 as steps from unnest(${frontier}::uuid[]) as id
      union
      select p.parent_id, steps + 1 from reached
      join version_parent p on p.version_id = reached.id
      where steps < ${first}
    )
    select v.id, array(select parent_id from version_parent where version_id = v.id order by ordinal) as parents
    from version v where v.id in (select id from reached) and v.project_id = ${projectId}
    order by v.generation desc, v.id desc limit ${first}`.execute(db);
  return rows;
}
