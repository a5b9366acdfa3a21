import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { VersionRow } from './version.row.ts';

export function markArchived(db: Db, id: string, at: Date | null): Promise<VersionRow> {
  return db
    .updateTable('version')
    .set({ archivedAt: at })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export function markDeleted(db: Db, id: string, at: Date): Promise<VersionRow> {
  return db
    .updateTable('version')
    .set({ deletedAt: at })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

const MOST_NAMED = 10;

/** What refers to a version, in words; ten at most. */
export async function listReferences(db: Db, id: string): Promise<string[]> {
  const { rows } = await sql<{ reference: string }>`
    (select 'alias ' || a.name as reference from alias a where a.version_id = ${id})
    union all
    (select 'deployment ' || d.name from arm join deployment d on d.id = arm.deployment_id
     where arm.version_id = ${id} and arm.retired_at is null and d.state <> 'STOPPED')
    union all
    (select 'child ' || m.name || ':' || v.number
     from version_parent p join version v on v.id = p.version_id join model m on m.id = v.model_id
     where p.parent_id = ${id} and v.deleted_at is null
     order by v.number limit ${MOST_NAMED})
    union all
    (select 'version restored from it ' || m.name || ':' || v.number
     from version v join model m on m.id = v.model_id
     where v.origin_version_id = ${id} and v.deleted_at is null
       and not exists (select from version_parent p where p.version_id = v.id and p.parent_id = ${id})
     limit ${MOST_NAMED})
    limit ${MOST_NAMED}`.execute(db);
  return rows.map(({ reference }) => reference);
}

/** What keeps a model from being deleted, in words; ten at most. Locks its versions, so that nothing is added. */
export async function listModelReferences(db: Db, modelId: string): Promise<string[]> {
  await sql`select id from version where model_id = ${modelId} and deleted_at is null order by id for update`.execute(
    db,
  );
  const { rows } = await sql<{ reference: string }>`
    (select distinct 'deployment ' || d.name as reference
     from version v join arm on arm.version_id = v.id join deployment d on d.id = arm.deployment_id
     where v.model_id = ${modelId} and arm.retired_at is null and d.state <> 'STOPPED')
    union all
    (select 'protected alias ' || name from alias where model_id = ${modelId} and version_id is not null and protected)
    union all
    (select 'child ' || m.name || ':' || v.number
     from version mine join version_parent p on p.parent_id = mine.id
     join version v on v.id = p.version_id join model m on m.id = v.model_id
     where mine.model_id = ${modelId} and v.model_id <> ${modelId} and v.deleted_at is null
     limit ${MOST_NAMED})
    union all
    (select 'version ' || number || ', which is being read' from version
     where model_id = ${modelId} and status in ('PENDING', 'INGESTING') and deleted_at is null)
    limit ${MOST_NAMED}`.execute(db);
  return rows.map(({ reference }) => reference);
}

/** Locks the aliases of a locked model. Returns how many versions it has. */
export async function lockAllOf(db: Db, modelId: string): Promise<number> {
  await sql`select id from alias where model_id = ${modelId} order by id for update`.execute(db);
  const { rows } = await sql<{ count: number }>`
    select count(*)::integer as count from version where model_id = ${modelId} and deleted_at is null`.execute(
    db,
  );
  return rows[0]?.count ?? 0;
}

/** Deletes a model's versions and aliases, which are locked. */
export async function deleteAllOf(db: Db, modelId: string, at: Date): Promise<void> {
  await sql`update alias set version_id = null, protected = false where model_id = ${modelId}`.execute(db);
  await sql`update version set deleted_at = ${at} where model_id = ${modelId} and deleted_at is null`.execute(
    db,
  );
}
