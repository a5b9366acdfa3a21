import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';

/** Bytes that a project's versions hold, the same ones counted once. */
export async function storedBytes(db: Db, projectId: string): Promise<bigint> {
  const row = await db
    .selectFrom('projectStorage')
    .select('bytes')
    .where('projectId', '=', projectId)
    .executeTakeFirst();
  return row?.bytes ?? 0n;
}

/** The same of many projects; those that store nothing are left out. */
export function listStored(
  db: Db,
  projectIds: readonly string[],
): Promise<{ projectId: string; bytes: bigint }[]> {
  return db.selectFrom('projectStorage').selectAll().where('projectId', 'in', projectIds).execute();
}

/** Adds to what a project stores. In one order, so that nobody deadlocks. */
export async function charge(
  db: Db,
  projectId: string,
  files: readonly { readonly digest: string; readonly bytes: number }[],
): Promise<{ before: bigint; after: bigint }> {
  const { rows } = await sql<{ before: bigint; after: bigint }>`
    with given as (
      select digest, max(bytes) as bytes, count(*)::integer as uses
      from jsonb_to_recordset(${JSON.stringify(files.map(({ digest, bytes }) => ({ digest, bytes })))}::jsonb)
        as f(digest text, bytes bigint)
      group by digest order by digest
    ), added as (
      insert into project_blob (project_id, digest, bytes, uses)
      select ${projectId}::uuid, digest, bytes, uses from given
      on conflict (project_id, digest) do update set uses = project_blob.uses + excluded.uses
      returning bytes, xmax = 0 as is_new
    ), total as (select coalesce(sum(bytes) filter (where is_new), 0)::bigint as more from added)
    insert into project_storage (project_id, bytes) select ${projectId}::uuid, more from total
    on conflict (project_id) do update set bytes = project_storage.bytes + excluded.bytes
    returning bytes - (select more from total) as before, bytes as after`.execute(db);
  return rows[0] as { before: bigint; after: bigint };
}

/** Takes away from what a project stores what some of its versions held; none of them holds anything of it any more. */
export async function discharge(
  db: Db,
  projectId: string,
  files: readonly { readonly digest: string; readonly uses: number }[],
): Promise<void> {
  if (files.length === 0) return;
  const given = sql`jsonb_to_recordset(${JSON.stringify(files)}::jsonb) as f(digest text, uses integer)`;
  await sql`
    select b.digest from project_blob b join ${given} using (digest)
    where b.project_id = ${projectId} order by b.digest for update of b`.execute(db);
  // A statement of its own: it must see what was committed until the locks were had.
  await sql`
    with given as (select digest, uses from ${given}),
    less as (
      update project_blob b set uses = b.uses - g.uses
      from given g where b.project_id = ${projectId} and b.digest = g.digest and b.uses > g.uses
    ), gone as (
      delete from project_blob b using given g
      where b.project_id = ${projectId} and b.digest = g.digest and b.uses <= g.uses
      returning b.bytes
    )
    update project_storage set bytes = greatest(0, bytes - (select coalesce(sum(bytes), 0) from gone))
    where project_id = ${projectId}`.execute(db);
}
