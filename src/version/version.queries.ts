import { sql, type Insertable, type Selectable } from 'kysely';
import type { PageRequest } from '../paging/paging.ts';
import type { Db } from '../platform/database.ts';
import type { Version, VersionArtifact } from '../platform/database.generated.ts';
import type { ArtifactRole, VersionStatus } from '../platform/database.types.ts';
import type { Signature } from '../signature/signature.ts';
import type { VersionRow } from './version.row.ts';

export type ArtifactRow = Selectable<VersionArtifact>;

export function insertVersion(db: Db, version: Insertable<Version>): Promise<VersionRow> {
  return db.insertInto('version').values(version).returningAll().executeTakeFirstOrThrow();
}

export async function insertArtifacts(
  db: Db,
  artifacts: readonly Insertable<VersionArtifact>[],
): Promise<void> {
  await db.insertInto('versionArtifact').values(artifacts).execute();
}

export function findVersions(db: Db, ids: readonly string[]): Promise<VersionRow[]> {
  return db.selectFrom('version').selectAll().where('id', 'in', ids).execute();
}

export function findVersionByNumber(
  db: Db,
  modelId: string,
  number: number,
): Promise<VersionRow | undefined> {
  return db
    .selectFrom('version')
    .selectAll()
    .where('modelId', '=', modelId)
    .where('number', '=', number)
    .executeTakeFirst();
}

/** Newest first, one row more than asked for. */
export function listVersions(db: Db, modelId: string, page: PageRequest): Promise<VersionRow[]> {
  return db
    .selectFrom('version')
    .selectAll()
    .where('modelId', '=', modelId)
    .$if(page.after !== undefined, (query) => query.where('number', '<', Number(page.after?.[0])))
    .orderBy('number', 'desc')
    .limit(page.first + 1)
    .execute();
}

export function listArtifacts(
  db: Db,
  versionIds: readonly string[],
  role: ArtifactRole,
): Promise<ArtifactRow[]> {
  return db
    .selectFrom('versionArtifact')
    .selectAll()
    .where('versionId', 'in', versionIds)
    .where('role', '=', role)
    .orderBy('path')
    .execute();
}

/** Forgets a derived graph of an earlier attempt. */
export async function deleteServing(db: Db, versionId: string): Promise<void> {
  await db
    .deleteFrom('versionArtifact')
    .where('versionId', '=', versionId)
    .where('role', '=', 'SERVING')
    .execute();
}

export async function setVersion(
  db: Db,
  id: string,
  change: { status: VersionStatus; statusReason?: string | null; signature?: Signature; modelFile?: string },
): Promise<void> {
  const { signature, ...rest } = change;
  await db
    .updateTable('version')
    .set({ ...rest, ...(signature ? { signature: JSON.stringify(signature) } : {}) })
    .where('id', '=', id)
    .where('status', 'in', ['PENDING', 'INGESTING'])
    .execute();
}

/** Lets go of a version's bytes, both as they came and as derived. Returns what it held. */
export async function releaseBlobs(db: Db, versionId: string): Promise<string[]> {
  const held = await db
    .selectFrom('versionArtifact')
    .select('blobDigest')
    .where('versionId', '=', versionId)
    .where('blobDigest', 'is not', null)
    .execute();
  await db
    .updateTable('versionArtifact')
    .set({ blobDigest: null })
    .where('versionId', '=', versionId)
    .execute();
  return [...new Set(held.map((row) => row.blobDigest as string))];
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
