import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';
import { KEPT_BYTES_LOCK } from '../platform/locks.ts';

/** A digest that versions let go of, and how many of their uploaded files had it. */
export interface Released {
  readonly digest: string;
  readonly uses: number;
}

/** Lets go of bytes, both as they came and as derived: of some versions, or of all of a model. */
export async function releaseBlobs(
  db: Db,
  of: { readonly versionId: string } | { readonly modelId: string },
): Promise<Released[]> {
  const which =
    'versionId' in of
      ? sql`a.version_id = ${of.versionId}`
      : sql`a.version_id in (select id from version where model_id = ${of.modelId})`;
  const { rows } = await sql<Released>`
    with held as (
      select version_id, role, path, blob_digest from version_artifact a
      where ${which} and blob_digest is not null for update
    ), released as (
      update version_artifact a set blob_digest = null from held
      where a.version_id = held.version_id and a.role = held.role and a.path = held.path
    )
    select blob_digest as digest, count(*) filter (where role = 'UPLOADED')::integer as uses
    from held group by blob_digest`.execute(db);
  return rows;
}

/**
 * Writes down that bytes are coming, in a transaction of its own, before they get their name in the store. In one order,
 * so that nobody deadlocks.
 */
export async function announceBlobs(
  db: Db,
  blobs: readonly { digest: string; bytes: number }[],
): Promise<void> {
  await db
    .insertInto('blob')
    .values(blobs.toSorted((a, b) => (a.digest < b.digest ? -1 : 1)))
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

/**
 * Asks PostgreSQL whether a transaction goes on, and its locks with it: a process that stood still, or whose line broke,
 * may find that others have stored the same bytes meanwhile.
 * @throws Error
 */
export async function confirmTransaction(tx: Db): Promise<void> {
  await sql`select`.execute(tx);
}

/**
 * Whether bytes may be freed until the transaction ends: not while a backup or a verification reads what rows refer to,
 * nor while somebody else frees some.
 */
export async function mayFree(db: Db): Promise<boolean> {
  const { rows } = await sql<{ may: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended(${KEPT_BYTES_LOCK}, 0)) as may`.execute(db);
  return rows[0]?.may === true;
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

/** Deletes a locked blob's row unless a version or an upload holds it; true when it was deleted. A statement of its own: it must
 * see what was committed while it waited for the lock. */
export async function deleteFreeBlob(db: Db, digest: string): Promise<boolean> {
  const result = await db
    .deleteFrom('blob')
    .where('digest', '=', digest)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('versionArtifact').select('versionId').where('blobDigest', '=', digest))),
    )
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('upload').select('id').where('blobDigest', '=', digest))),
    )
    .executeTakeFirst();
  return result.numDeletedRows === 1n;
}

/**
 * Takes a batch of bytes that may have become free some time ago, locks them, and deletes the rows of those that nobody
 * holds. What somebody has locked is left for later.
 */
export async function takeFree(
  db: Db,
  graceSeconds: number,
  limit: number,
): Promise<{ readonly looked: number; readonly free: string[] }> {
  // What is held now is a candidate again once whoever holds it lets go.
  const { rows } = await sql<{ digest: string; held: boolean }>`
    delete from blob_candidate c where id in (
      select id from blob_candidate where at <= now() - make_interval(secs => ${graceSeconds})
      order by at, id limit ${limit} for update skip locked)
    returning digest, exists (select from version_artifact a where a.blob_digest = c.digest)
      or exists (select from upload u where u.blob_digest = c.digest) as held`.execute(db);
  const digests = [...new Set(rows.flatMap(({ digest, held }) => (held ? [] : [digest])))];
  if (digests.length === 0) return { looked: rows.length, free: [] };
  const locked = await sql<{ digest: string }>`
    select digest from blob where digest = any(${digests}) for update skip locked`.execute(db);
  const mine = locked.rows.map(({ digest }) => digest);
  await sql`
    insert into blob_candidate (digest)
    select digest from blob where digest = any(${digests}) and digest <> all(${mine})`.execute(db);
  // A statement of its own: it must see what was committed until the locks were had.
  const deleted = await sql<{ digest: string }>`
    delete from blob b where b.digest = any(${mine})
      and not exists (select from version_artifact a where a.blob_digest = b.digest)
      and not exists (select from upload u where u.blob_digest = b.digest)
    returning digest`.execute(db);
  return { looked: rows.length, free: deleted.rows.map(({ digest }) => digest) };
}
