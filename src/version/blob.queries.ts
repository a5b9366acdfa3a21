import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';

/** Lets go of versions' bytes, both as they came and as derived. Returns what they held. */
export async function releaseBlobs(db: Db, versionIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ digest: string }>`
    with held as (
      select version_id, role, path, blob_digest from version_artifact
      where version_id = any(${versionIds}) and blob_digest is not null for update
    ), released as (
      update version_artifact a set blob_digest = null from held
      where a.version_id = held.version_id and a.role = held.role and a.path = held.path
    )
    select distinct blob_digest as digest from held`.execute(db);
  return rows.map(({ digest }) => digest);
}

/** Writes down that bytes are coming, in a transaction of its own, before they get their name in the store. */
export async function announceBlobs(
  db: Db,
  blobs: readonly { digest: string; bytes: number }[],
): Promise<void> {
  await db
    .insertInto('blob')
    .values(blobs)
    .onConflict((conflict) => conflict.column('digest').doUpdateSet({ touchedAt: sql`now()` }))
    .execute();
}

/** Locks blobs (in one order, so that nobody deadlocks) and makes sure that they are there until the commit. */
export async function holdBlobs(db: Db, blobs: readonly { digest: string; bytes: number }[]): Promise<void> {
  for (const blob of blobs.toSorted((a, b) => (a.digest < b.digest ? -1 : 1)))
    await announceBlobs(db, [blob]);
}

/**
 * The sizes of bytes that a project's versions hold, in no order; they stay until the transaction ends. A digest that is
 * another project's alone is left out: knowing it gives nobody the bytes.
 */
export async function shareBlobs(
  db: Db,
  projectId: string,
  digests: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ digest: string; bytes: bigint }>`
    select b.digest, b.bytes from blob b
    where b.digest = any(${digests}) and exists (
      select from version_artifact a
      where a.project_id = ${projectId} and a.digest = b.digest and a.blob_digest is not null and a.role = 'UPLOADED'
      union all
      -- Written by a process of the release before, beside which this one may run.
      select from version_artifact a join version v on v.id = a.version_id
      where a.project_id is null and a.digest = b.digest and a.blob_digest is not null and a.role = 'UPLOADED'
        and v.project_id = ${projectId})
    order by b.digest
    for share of b`.execute(db);
  return new Map(rows.map(({ digest, bytes }) => [digest, Number(bytes)]));
}

/** Locks one blob; false when it is gone. */
export async function lockBlob(db: Db, digest: string): Promise<boolean> {
  const row = await db
    .selectFrom('blob')
    .select('digest')
    .where('digest', '=', digest)
    .forUpdate()
    .executeTakeFirst();
  return row !== undefined;
}

/** Deletes a locked blob's row unless a version holds it; true when it was deleted. A statement of its own: it must
 * see what was committed while it waited for the lock. */
export async function deleteFreeBlob(db: Db, digest: string): Promise<boolean> {
  const result = await db
    .deleteFrom('blob')
    .where('digest', '=', digest)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('versionArtifact').select('versionId').where('blobDigest', '=', digest))),
    )
    .executeTakeFirst();
  return result.numDeletedRows === 1n;
}

/** Bytes that no version holds and nobody has touched for an hour. */
export async function listFreeBlobs(db: Db, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('blob')
    .select('digest')
    .where('touchedAt', '<', sql<Date>`now() - interval '1 hour'`)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(selectFrom('versionArtifact').select('versionId').whereRef('blobDigest', '=', 'blob.digest')),
      ),
    )
    .limit(limit)
    .execute();
  return rows.map((row) => row.digest);
}
