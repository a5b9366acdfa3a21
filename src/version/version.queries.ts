import type { Insertable, Selectable } from 'kysely';
import { numberAfter, type PageRequest } from '../paging/paging.ts';
import type { Database, Db, PreparedRead } from '../platform/database.ts';
import type { VersionArtifact } from '../platform/database.generated.ts';
import type { ArtifactRole, VersionStatus } from '../platform/database.types.ts';
import type { Signature } from '../signature/signature.ts';
import {
  fromPage,
  pagedColumns,
  type JoinedPage,
  type MetricRow,
  type PagedVersion,
  type VersionRow,
} from './version.row.ts';

export type ArtifactRow = Selectable<VersionArtifact>;

export async function insertArtifacts(
  db: Db,
  artifacts: readonly Insertable<VersionArtifact>[],
): Promise<void> {
  await db.insertInto('versionArtifact').values(artifacts).execute();
}

/** Deleted ones too: what they were can still be told. */
export function findVersions(db: Db, ids: readonly string[]): Promise<VersionRow[]> {
  return db.selectFrom('version').selectAll().where('id', 'in', ids).execute();
}

/** Locks a version against being changed, deleted or referred to; undefined when it is deleted. */
export function lockVersion(db: Db, id: string): Promise<VersionRow | undefined> {
  return db
    .selectFrom('version')
    .selectAll()
    .where('id', '=', id)
    .where('deletedAt', 'is', null)
    .forUpdate()
    .executeTakeFirst();
}

/**
 * Keeps a version from being changed, archived or deleted until the transaction ends; others may hold it too. Undefined
 * when it is deleted.
 */
export function holdVersion(db: Db, id: string): Promise<VersionRow | undefined> {
  return db
    .selectFrom('version')
    .selectAll()
    .where('id', '=', id)
    .where('deletedAt', 'is', null)
    .forShare()
    .executeTakeFirst();
}

/**
 * Keeps versions from being deleted until the transaction ends: all that it needs at once, in one order, so that nobody
 * deadlocks. Those that are deleted are not among the answer.
 */
export async function holdVersions(db: Db, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const rows = await db
    .selectFrom('version')
    .select('id')
    .where('id', 'in', ids)
    .where('deletedAt', 'is', null)
    .orderBy('id')
    .forKeyShare()
    .execute();
  return new Set(rows.map(({ id }) => id));
}

const page: PreparedRead<
  JoinedPage,
  [modelId: string, before: number, statuses: readonly VersionStatus[] | null, limit: number],
  PagedVersion[]
> = {
  name: 'version.page',
  text: `
    select ${pagedColumns}
    from version v
    where v.model_id = $1 and v.number < $2 and v.deleted_at is null and ($3::text[] is null or v.status = any($3))
    order by v.number desc
    limit $4`,
  shape: (rows) => rows.map(fromPage),
};

const BEYOND_ALL = 2 ** 31 - 1;

/** Newest first, one row more than asked for. */
export function listVersions(
  database: Database,
  modelId: string,
  statuses: readonly VersionStatus[] | null,
  request: PageRequest,
): Promise<PagedVersion[]> {
  const before = Number(numberAfter(request, 0, BigInt(BEYOND_ALL)) ?? BEYOND_ALL);
  return database.read(page, [modelId, before, statuses, request.first + 1]);
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
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
}

export function findLatestVersion(db: Db, modelId: string): Promise<VersionRow | undefined> {
  return db
    .selectFrom('version')
    .selectAll()
    .where('modelId', '=', modelId)
    .where('deletedAt', 'is', null)
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirst();
}

const paged: PreparedRead<JoinedPage, [ids: readonly string[]], PagedVersion[]> = {
  name: 'version.paged',
  text: `select ${pagedColumns} from version v where v.id = any($1)`,
  shape: (rows) => rows.map(fromPage),
};

/** Versions as they come in a page, in no order. */
export function findPaged(database: Database, ids: readonly string[]): Promise<PagedVersion[]> {
  return database.read(paged, [ids]);
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

/** By name. */
export function listMetrics(
  db: Db,
  versionIds: readonly string[],
): Promise<(MetricRow & { versionId: string })[]> {
  return db
    .selectFrom('versionMetric')
    .select(['versionId', 'name', 'value', 'source'])
    .where('versionId', 'in', versionIds)
    .orderBy('name')
    .execute();
}

/** Keeps a version from ceasing to be read until the transaction ends; false when that is over. */
export async function holdIngesting(db: Db, id: string): Promise<boolean> {
  const row = await db
    .selectFrom('version')
    .select('id')
    .where('id', '=', id)
    .where('status', '=', 'INGESTING')
    .forShare()
    .executeTakeFirst();
  return row !== undefined;
}

/** Forgets a derived graph of an earlier attempt. */
export async function deleteServing(db: Db, versionId: string): Promise<void> {
  await db
    .deleteFrom('versionArtifact')
    .where('versionId', '=', versionId)
    .where('role', '=', 'SERVING')
    .execute();
}

/** Moves a version on while it is being read; undefined when that is over. */
export function setVersion(
  db: Db,
  id: string,
  change: { status: VersionStatus; statusReason?: string | null; signature?: Signature; modelFile?: string },
): Promise<VersionRow | undefined> {
  const { signature, ...rest } = change;
  return db
    .updateTable('version')
    .set({ ...rest, ...(signature ? { signature: JSON.stringify(signature) } : {}) })
    .where('id', '=', id)
    .where('status', 'in', ['PENDING', 'INGESTING'])
    .returningAll()
    .executeTakeFirst();
}
