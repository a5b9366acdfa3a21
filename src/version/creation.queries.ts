import { sql } from 'kysely';
import { counter, written } from '../ledger/append.queries.ts';
import type { LedgerEntry } from '../ledger/ledger.ts';
import type { Actor } from '../access/access.ts';
import type { Db } from '../platform/database.ts';
import type { VersionOrigin, VersionStatus, TagRecord } from '../platform/database.types.ts';
import type { Format } from '../safety/scan.ts';
import type { GivenSignature, Signature } from '../signature/signature.ts';
import type { ReportedMetric } from './annotation.ts';
import type { VersionRow } from './version.row.ts';

export interface NewArtifact {
  readonly role: 'UPLOADED' | 'SERVING';
  readonly path: string;
  readonly digest: string;
  readonly bytes: number;
  readonly mediaType: string;
  readonly transform: string | null;
}

export interface NewVersion {
  readonly id: string;
  readonly projectId: string;
  readonly modelId: string;
  readonly number: number;
  readonly status: VersionStatus;
  readonly message: string | null;
  readonly author: Actor;
  /** OPAQUE until it has been looked into. */
  readonly format: Format;
  readonly bytes: number;
  readonly digest: string;
  readonly givenSignature: GivenSignature | null;
  readonly signature: Signature | null;
  readonly modelFile: string | null;
  readonly operationId: string | null;
  readonly metadata: string | null;
  readonly tags: readonly TagRecord[];
  readonly metrics: readonly ReportedMetric[];
  readonly origin: VersionOrigin;
  readonly originVersionId: string | null;
  /** The version with the same bytes whose inspection holds for this one, too. */
  readonly inspectedAs: string | null;
  readonly artifacts: readonly NewArtifact[];
  /** null: the newest version of the model that was not rejected. */
  readonly parents: readonly string[] | null;
}

const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));

/**
 * Writes a version with its artifacts, metrics, parents and event. The model's row must be locked, and so must be the
 * parents that are given: nothing is locked here after the ledger's counter. It is created at the time of its event.
 * @param event to which the parents are added.
 */
export async function insertWhole(db: Db, version: NewVersion, event: LedgerEntry): Promise<VersionRow> {
  const artifacts = version.artifacts.map(({ mediaType, ...rest }) => ({ ...rest, media_type: mediaType }));
  const told = sql`e.data || jsonb_build_object('parents', array(select id from parent order by ordinal))`;
  const { rows } = await sql<VersionRow>`
    with parent as (${parentsOf(version)}),
    ${counter(version.projectId, 1)},
    ${written(version.projectId, version.author, [event], told)},
    inserted as (
      insert into version
        (id, project_id, model_id, number, status, message, author_name, author_kind, created_at, format, bytes, digest,
         given_signature, signature, model_file, operation_id, metadata, tags, origin, origin_version_id, generation)
      select ${version.id}::uuid, ${version.projectId}::uuid, ${version.modelId}::uuid, ${version.number}::integer,
             ${version.status}, ${version.message}, ${version.author.name}, ${version.author.kind}, counter.at,
             ${version.format}, ${version.bytes}::bigint, ${version.digest}, ${json(version.givenSignature)}::jsonb,
             ${json(version.signature)}::jsonb, ${version.modelFile}, ${version.operationId}::uuid,
             ${version.metadata}::jsonb, ${JSON.stringify(version.tags)}::jsonb, ${version.origin},
             ${version.originVersionId}::uuid, coalesce((select max(generation) from parent), 0) + 1
      from counter
      returning *
    ), artifacts as (
      insert into version_artifact
        (version_id, project_id, role, path, digest, blob_digest, bytes, media_type, transform)
      select v.id, v.project_id, a.role, a.path, a.digest, a.digest, a.bytes, a.media_type, a.transform
      from inserted v, jsonb_to_recordset(${JSON.stringify(artifacts)}::jsonb)
        as a(role text, path text, digest text, bytes bigint, media_type text, transform text)
    ), lineage as (
      insert into version_parent (version_id, ordinal, parent_id)
      select v.id, p.ordinal, p.id from inserted v, parent p
    ), inspection as (
      insert into version_inspection
        (version_id, verdict, findings, truncated, contents, inspected_at,
         release_reason, released_at, released_by_name, released_by_kind)
      select v.id, i.verdict, i.findings, i.truncated, i.contents, i.inspected_at,
             i.release_reason, i.released_at, i.released_by_name, i.released_by_kind
      from inserted v, version_inspection i where i.version_id = ${version.inspectedAs}::uuid
    ), metrics as (
      insert into version_metric (version_id, project_id, name, value)
      select v.id, v.project_id, m.name, m.value
      from inserted v, jsonb_to_recordset(${JSON.stringify(version.metrics)}::jsonb)
        as m(name text, value double precision)
    )
    select * from inserted`.execute(db);
  return rows[0] as VersionRow;
}

function parentsOf({ parents, modelId }: NewVersion) {
  if (parents === null) {
    return sql`
      select id, generation, 1 as ordinal from version
      where model_id = ${modelId} and deleted_at is null and status <> 'REJECTED'
      order by number desc limit 1`;
  }
  return sql`
    select v.id, v.generation, g.ordinal
    from unnest(${parents}::uuid[]) with ordinality as g(id, ordinal) join version v on v.id = g.id`;
}

/** What reading the same bytes told before: of the newest such version of a project. */
export interface Twin {
  readonly id: string;
  readonly format: Format;
  readonly signature: Signature | null;
  readonly modelFile: string | null;
  readonly serving: NewArtifact | null;
}

export async function findTwin(
  db: Db,
  projectId: string,
  digest: string,
  paths: readonly string[],
  given: GivenSignature | null,
): Promise<Twin | undefined> {
  const { rows } = await sql<Twin>`
    select v.id, v.format, v.signature, v.model_file,
           (select json_build_object('role', a.role, 'path', a.path, 'digest', a.digest, 'bytes', a.bytes,
                                     'mediaType', a.media_type, 'transform', a.transform)
            from version_artifact a where a.version_id = v.id and a.role = 'SERVING' limit 1) as serving
    from version v
    where v.project_id = ${projectId} and v.digest = ${digest} and v.status = 'READY' and v.deleted_at is null
      -- Whoever takes a risk takes it for one version.
      and exists (select from version_inspection i where i.version_id = v.id and i.verdict = 'SAFE')
      and v.given_signature is not distinct from ${json(given)}::jsonb
      and array(select a.path from version_artifact a where a.version_id = v.id and a.role = 'UPLOADED' order by a.path collate "C")
        = ${paths.toSorted()}::text[]
    order by v.id desc limit 1`.execute(db);
  return rows[0];
}

/** Of a locked model: the highest number, 0 while there is none, and the version that the next one builds on. */
export async function findNewest(
  db: Db,
  modelId: string,
): Promise<{ readonly number: number; readonly base: string | null }> {
  const { rows } = await sql<{ number: number; base: string | null }>`
    select coalesce((select number from version where model_id = ${modelId} and deleted_at is null
                     order by number desc limit 1), 0) as number,
           (select id from version where model_id = ${modelId} and deleted_at is null and status <> 'REJECTED'
            order by number desc limit 1) as base`.execute(db);
  return rows[0] as { number: number; base: string | null };
}
