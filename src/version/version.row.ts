import type { Selectable } from 'kysely';
import type { Alias, Version } from '../platform/database.generated.ts';
import type { MetricSource, TagRecord } from '../platform/database.types.ts';

export type VersionRow = Selectable<Version>;
/** A version as it comes in a list: without what may be large. */
export type ListedVersion = Omit<
  VersionRow,
  'givenSignature' | 'signature' | 'metadata' | 'tags' | 'generation'
>;

export interface MetricRow {
  readonly name: string;
  readonly value: number;
  readonly source: MetricSource;
}
export type AliasRow = Selectable<Alias>;

/** A version with what a page of versions shows of each, read in the same statement. */
export interface PagedVersion extends ListedVersion {
  readonly tags: readonly TagRecord[];
  readonly metrics: readonly MetricRow[];
  readonly aliases: readonly AliasRow[];
}

/** A version joined as `v`, under names of its own: `joinedColumns` selects it, `fromJoined` reads it. */
export interface JoinedVersion {
  v_id: string | null;
  v_number: number;
  v_status: VersionRow['status'];
  v_status_reason: string | null;
  v_message: string | null;
  v_author_name: string;
  v_author_kind: VersionRow['authorKind'];
  v_created_at: Date;
  v_format: VersionRow['format'];
  v_bytes: bigint;
  v_digest: string;
  v_model_file: string | null;
  v_operation_id: string | null;
  v_origin: VersionRow['origin'];
  v_origin_version_id: string | null;
  v_archived_at: Date | null;
  v_deleted_at: Date | null;
}

export const joinedColumns = `
  v.id as v_id, v.number as v_number, v.status as v_status, v.status_reason as v_status_reason, v.message as v_message,
  v.author_name as v_author_name, v.author_kind as v_author_kind, v.created_at as v_created_at, v.format as v_format,
  v.bytes as v_bytes, v.digest as v_digest, v.model_file as v_model_file, v.operation_id as v_operation_id,
  v.origin as v_origin, v.origin_version_id as v_origin_version_id, v.archived_at as v_archived_at,
  v.deleted_at as v_deleted_at`;

/** The joined version of a model, or null where the outer join found none. */
export function fromJoined(
  row: JoinedVersion,
  model: { id: string; projectId: string },
): ListedVersion | null {
  if (row.v_id === null) return null;
  return {
    id: row.v_id,
    projectId: model.projectId,
    modelId: model.id,
    number: row.v_number,
    status: row.v_status,
    statusReason: row.v_status_reason,
    message: row.v_message,
    authorName: row.v_author_name,
    authorKind: row.v_author_kind,
    createdAt: row.v_created_at,
    format: row.v_format,
    bytes: row.v_bytes,
    digest: row.v_digest,
    modelFile: row.v_model_file,
    operationId: row.v_operation_id,
    origin: row.v_origin,
    originVersionId: row.v_origin_version_id,
    archivedAt: row.v_archived_at,
    deletedAt: row.v_deleted_at,
  };
}

/** A version of a page: joined, with its model's and project's ids and what `pagedColumns` adds. */
export interface JoinedPage extends JoinedVersion {
  model_id: string;
  project_id: string;
  v_tags: TagRecord[];
  v_metrics: MetricRow[] | null;
  v_aliases: (Omit<AliasRow, 'movedAt'> & { movedAt: string })[] | null;
}

/** Of the version `v`; metrics and aliases are null where there are none. */
export const pagedColumns = `v.model_id, v.project_id, ${joinedColumns}, v.tags as v_tags,
  (select json_agg(json_build_object('name', x.name, 'value', x.value, 'source', x.source) order by x.name)
   from version_metric x where x.version_id = v.id) as v_metrics,
  (select json_agg(json_build_object('id', a.id, 'projectId', a.project_id, 'modelId', a.model_id, 'name', a.name,
     'versionId', a.version_id, 'protected', a.protected, 'movedAt', a.moved_at, 'movedByName', a.moved_by_name,
     'movedByKind', a.moved_by_kind) order by a.name)
   from alias a where a.version_id = v.id) as v_aliases`;

export function fromPage(row: JoinedPage): PagedVersion {
  const version = fromJoined(row, { id: row.model_id, projectId: row.project_id }) as ListedVersion;
  return {
    ...version,
    tags: row.v_tags,
    metrics: row.v_metrics ?? [],
    aliases: (row.v_aliases ?? []).map((alias) => ({ ...alias, movedAt: new Date(alias.movedAt) })),
  };
}
