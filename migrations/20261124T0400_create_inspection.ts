import { sql, type Kysely } from 'kysely';

/**
 * What the safety inspection of a version saw, uploads that can be resumed, what a project stores, and which bytes may
 * have become free.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table version_inspection (
    version_id uuid constraint version_inspection_pkey primary key
      constraint version_inspection_version_fkey references version,
    verdict text not null constraint version_inspection_verdict_check
      check (verdict in ('SAFE','SUSPICIOUS','DANGEROUS','UNREADABLE')),
    findings jsonb not null,
    truncated boolean not null,
    contents jsonb not null,
    inspected_at timestamptz not null default now(),
    release_reason text,
    released_at timestamptz,
    released_by_name text,
    released_by_kind text
  )`,

  `create table upload (
    id uuid constraint upload_pkey primary key,
    project_id uuid not null constraint upload_project_fkey references project,
    path text not null,
    bytes bigint not null,
    expected_digest text,
    created_by_name text not null,
    created_by_kind text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    blob_digest text constraint upload_blob_fkey references blob,
    stored_at timestamptz
  )`,
  `create index upload_project_idx on upload (project_id)`,
  `create index upload_expiry_idx on upload (expires_at)`,
  `create index upload_blob_idx on upload (blob_digest) where blob_digest is not null`,

  `create table project_blob (
    project_id uuid not null constraint project_blob_project_fkey references project,
    digest text not null,
    bytes bigint not null,
    uses integer not null,
    constraint project_blob_pkey primary key (project_id, digest)
  )`,
  `create table project_storage (
    project_id uuid constraint project_storage_pkey primary key
      constraint project_storage_project_fkey references project,
    bytes bigint not null
  )`,
  `insert into project_blob (project_id, digest, bytes, uses)
  select v.project_id, a.digest, max(a.bytes), count(*)
  from version_artifact a join version v on v.id = a.version_id
  where a.role = 'UPLOADED' and a.blob_digest is not null group by v.project_id, a.digest`,
  `insert into project_storage (project_id, bytes)
  select project_id, sum(bytes) from project_blob group by project_id`,

  // Bytes that nobody may hold any more: new ones, whose upload may break off, and those that somebody let go of. Triggers
  // write it, so that nobody forgets; no row of another table is locked for it.
  `create table blob_candidate (
    id bigint generated always as identity constraint blob_candidate_pkey primary key,
    digest text not null,
    at timestamptz not null default now()
  )`,
  `create index blob_candidate_at_idx on blob_candidate (at)`,
  `insert into blob_candidate (digest) select digest from blob`,
  `create function blob_added() returns trigger language plpgsql as $$
  begin
    insert into blob_candidate (digest) select digest from added;
    return null;
  end $$`,
  `create function blob_let_go() returns trigger language plpgsql as $$
  begin
    insert into blob_candidate (digest) select distinct blob_digest from before where blob_digest is not null;
    return null;
  end $$`,
  `create trigger blob_added after insert on blob
    referencing new table as added for each statement execute function blob_added()`,
  ...['version_artifact', 'upload'].flatMap((table) =>
    ['update', 'delete'].map(
      (change) => `create trigger ${table}_${change} after ${change} on ${table}
        referencing old table as before for each statement execute function blob_let_go()`,
    ),
  ),

  `alter table installation add column link_key bytea not null
    default decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')`,
];
