import { sql, type Insertable, type Selectable } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { Upload } from '../platform/database.generated.ts';

export type UploadRow = Selectable<Upload>;

export function insertUpload(db: Db, upload: Insertable<Upload>): Promise<UploadRow> {
  return db.insertInto('upload').values(upload).returningAll().executeTakeFirstOrThrow();
}

export function findUploads(db: Db, ids: readonly string[]): Promise<UploadRow[]> {
  return db.selectFrom('upload').selectAll().where('id', 'in', ids).execute();
}

/** One at a time makes uploads in a project, until its transaction ends. */
export async function lockUploads(db: Db, projectId: string): Promise<void> {
  await db.selectFrom('project').select('id').where('id', '=', projectId).forNoKeyUpdate().execute();
}

/** Of a project: how many have not been used yet, and how many bytes those announce. */
export async function pendingUploads(db: Db, projectId: string): Promise<{ count: number; bytes: bigint }> {
  const row = await db
    .selectFrom('upload')
    .select(({ fn }) => [
      fn.countAll<bigint>().as('count'),
      fn.coalesce(fn.sum<string>('bytes'), sql<string>`0`).as('bytes'),
    ])
    .where('projectId', '=', projectId)
    .executeTakeFirstOrThrow();
  return { count: Number(row.count), bytes: BigInt(row.bytes) };
}

/** Somebody is at it: it expires later. */
export async function touchUpload(db: Db, id: string, expiresAt: Date): Promise<void> {
  await db.updateTable('upload').set({ expiresAt }).where('id', '=', id).execute();
}

/** From now on its bytes are not freed. */
export async function setDigest(db: Db, id: string, digest: string): Promise<void> {
  await db.updateTable('upload').set({ blobDigest: digest }).where('id', '=', id).execute();
}

/** Undefined when it is gone. */
export function setStored(db: Db, id: string): Promise<UploadRow | undefined> {
  return db
    .updateTable('upload')
    .set({ storedAt: sql<Date>`now()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst();
}

/** Takes whole uploads away: their bytes belong to whoever deletes the rows. In no order. */
export function takeUploads(db: Db, ids: readonly string[]): Promise<UploadRow[]> {
  return db
    .deleteFrom('upload')
    .where('id', 'in', ids)
    .where('storedAt', 'is not', null)
    .returningAll()
    .execute();
}

/** False when it is gone already. */
export async function deleteUpload(db: Db, id: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('upload').where('id', '=', id).executeTakeFirstOrThrow();
  return numDeletedRows > 0n;
}

/** Those whose time is over. */
export async function deleteExpired(db: Db, limit: number): Promise<string[]> {
  const rows = await db
    .deleteFrom('upload')
    .where('id', 'in', (query) =>
      query
        .selectFrom('upload')
        .select('id')
        .where('expiresAt', '<', sql<Date>`now()`)
        .orderBy('expiresAt')
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returning('id')
    .execute();
  return rows.map(({ id }) => id);
}

/** Which of these are still being received. */
export async function findReceiving(db: Db, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await db
    .selectFrom('upload')
    .select('id')
    .where('id', 'in', ids)
    .where('storedAt', 'is', null)
    .execute();
  return new Set(rows.map(({ id }) => id));
}
