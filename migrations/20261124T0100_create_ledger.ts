import { sql, type Kysely } from 'kysely';

/**
 * The ledger; what lineage, aliases, annotations and search of versions stand on; marks in place of deleted rows. What
 * was there before gets the events that it would have had, as far as its times are known.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Trusted: whoever may create in the database may create it.
  `create extension if not exists pg_trgm`,

  `create table ledger_counter (
    project_id uuid constraint ledger_counter_pkey primary key
      constraint ledger_counter_project_fkey references project,
    sequence bigint not null default 0,
    at timestamptz not null default 'epoch'
  ) with (fillfactor = 50)`,
  `create table ledger_event (
    project_id uuid not null constraint ledger_event_project_fkey references project,
    sequence bigint not null,
    id uuid not null constraint ledger_event_id_key unique,
    type text not null,
    at timestamptz not null,
    actor_name text not null,
    actor_kind text not null,
    subject_type text not null constraint ledger_event_subject_type_check
      check (subject_type in ('Project','ApiToken','Model','Version','Alias','Deployment','Operation')),
    subject_id uuid not null,
    model_id uuid,
    data jsonb not null,
    constraint ledger_event_pkey primary key (project_id, sequence)
  )`,
  `create index ledger_event_at_idx on ledger_event (project_id, at, sequence)`,
  `create index ledger_event_type_idx on ledger_event (project_id, type, sequence)`,
  `create index ledger_event_subject_idx on ledger_event (subject_id, sequence)`,
  `create index ledger_event_model_idx on ledger_event (model_id, sequence) where model_id is not null`,

  `alter table model add column deleted_at timestamptz`,
  `alter table model drop constraint model_name_key`,
  `create unique index model_name_key on model (project_id, name) where deleted_at is null`,
  `create index model_name_trgm_idx on model using gin (name gin_trgm_ops) where deleted_at is null`,
  `create index model_name_prefix_idx on model (project_id, name text_pattern_ops) where deleted_at is null`,

  `alter table version
    alter column operation_id drop not null,
    add column metadata jsonb,
    add column tags jsonb not null default '[]',
    add column origin text not null default 'UPLOADED'
      constraint version_origin_check check (origin in ('UPLOADED','RESTORED')),
    add column origin_version_id uuid constraint version_origin_version_fkey references version,
    add column generation integer not null default 1,
    add column archived_at timestamptz,
    add column deleted_at timestamptz`,
  // A search reads what it can in here alone: an entry is a tenth of a version's size.
  `create index version_search_idx on version (project_id, id)
    include (model_id, status, author_name, created_at, archived_at, number, bytes, format) where deleted_at is null`,
  `alter table version drop constraint version_number_key,
    add constraint version_number_key unique (model_id, number) include (id)`,
  `create index version_author_idx on version (project_id, author_name text_pattern_ops)`,
  `create index version_created_idx on version (project_id, created_at)`,
  `create index version_digest_idx on version (project_id, digest, id)`,
  `create index version_origin_idx on version (origin_version_id) where origin_version_id is not null`,
  `create index version_tags_idx on version using gin (tags jsonb_path_ops)`,
  `create index version_message_idx on version using gin (message gin_trgm_ops)`,

  `alter table version_artifact add column project_id uuid`,
  `update version_artifact set project_id = version.project_id from version where version.id = version_id`,
  `create index version_artifact_project_idx on version_artifact (project_id, digest) where blob_digest is not null`,

  `create table version_parent (
    version_id uuid not null constraint version_parent_version_fkey references version,
    ordinal smallint not null,
    parent_id uuid not null constraint version_parent_parent_fkey references version,
    constraint version_parent_pkey primary key (version_id, ordinal),
    constraint version_parent_check check (parent_id <> version_id)
  )`,
  `create index version_parent_parent_idx on version_parent (parent_id)`,

  `create table version_metric (
    version_id uuid not null constraint version_metric_version_fkey references version,
    name text not null,
    project_id uuid not null,
    value double precision not null,
    source text not null default 'REPORTED'
      constraint version_metric_source_check check (source in ('REPORTED')),
    constraint version_metric_pkey primary key (version_id, name)
  )`,
  `create index version_metric_value_idx on version_metric (project_id, name, value, version_id)`,

  `create table alias (
    id uuid constraint alias_pkey primary key,
    project_id uuid not null constraint alias_project_fkey references project,
    model_id uuid not null constraint alias_model_fkey references model,
    name text not null,
    version_id uuid constraint alias_version_fkey references version,
    protected boolean not null default false,
    moved_at timestamptz not null,
    moved_by_name text not null,
    moved_by_kind text not null,
    constraint alias_name_key unique (model_id, name)
  )`,
  `create index alias_version_idx on alias (version_id)`,
  `create index alias_project_idx on alias (project_id, name, version_id)`,

  `with happened as (
    select id as project_id, created_at as at, 1 as rank, 'PROJECT_CREATED' as type, created_by_name as actor_name,
           created_by_kind as actor_kind, 'Project' as subject_type, id as subject_id, null::uuid as model_id,
           jsonb_build_object('name', name, 'description', description) as data
    from project
    union all
    select project_id, created_at, 2, 'TOKEN_CREATED', created_by_name, 'USER', 'ApiToken', id, null,
           jsonb_build_object('name', name, 'role', role, 'expiresAt', expires_at)
    from api_token
    union all
    select project_id, revoked_at, 3, 'TOKEN_REVOKED', 'unknown', 'SYSTEM', 'ApiToken', id, null,
           jsonb_build_object('name', name)
    from api_token where revoked_at is not null
    union all
    select project_id, created_at, 2, 'MODEL_CREATED', created_by_name, created_by_kind, 'Model', id, id,
           jsonb_build_object('name', name, 'description', description, 'tags', tags)
    from model
    union all
    select v.project_id, v.created_at, 3, 'VERSION_CREATED', v.author_name, v.author_kind, 'Version', v.id, v.model_id,
           jsonb_build_object('model', m.name, 'number', v.number, 'status', 'PENDING', 'digest', v.digest,
             'bytes', v.bytes, 'format', v.format, 'message', v.message, 'parents', '[]'::jsonb,
             'origin', v.origin, 'tags', v.tags, 'metadata', v.metadata, 'metrics', '{}'::jsonb)
    from version v join model m on m.id = v.model_id
    union all
    select v.project_id, greatest(o.finished_at, v.created_at), 4, 'VERSION_' || v.status, 'modelarium', 'SYSTEM',
           'Version', v.id, v.model_id,
           jsonb_build_object('model', m.name, 'number', v.number, 'reason', v.status_reason)
    from version v join model m on m.id = v.model_id join operation o on o.id = v.operation_id
    where v.status in ('READY', 'REJECTED') and o.finished_at is not null
    union all
    select d.project_id, d.created_at, 5, 'DEPLOYMENT_CREATED', d.created_by_name, d.created_by_kind, 'Deployment',
           d.id, null, jsonb_build_object('name', d.name, 'state', 'PENDING', 'reason', null, 'arms', ${armsOf('d')})
    from deployment d
    union all
    select d.project_id, greatest(coalesce(o.finished_at, d.changed_at), d.created_at), 6, 'DEPLOYMENT_' || d.state, 'modelarium', 'SYSTEM',
           'Deployment', d.id, null,
           jsonb_build_object('name', d.name, 'state', d.state, 'reason', d.state_reason, 'arms', ${armsOf('d')})
    from deployment d left join operation o on o.id = d.operation_id where d.state <> 'PENDING'
  )
  insert into ledger_event
    (project_id, sequence, id, type, at, actor_name, actor_kind, subject_type, subject_id, model_id, data)
  select project_id, row_number() over (partition by project_id order by at, rank, subject_id), gen_random_uuid(),
         type, date_trunc('milliseconds', at), actor_name, actor_kind, subject_type, subject_id, model_id, data
  from happened`,
  `insert into ledger_counter (project_id, sequence, at)
  select p.id, coalesce(max(e.sequence), 0), coalesce(max(e.at), 'epoch')
  from project p left join ledger_event e on e.project_id = p.id group by p.id`,
];

function armsOf(deployment: string): string {
  return `(
    select coalesce(jsonb_agg(jsonb_build_object('name', a.name, 'role', a.role, 'weight', a.weight,
      'version', a.version_id, 'model', m.name, 'number', v.number) order by a.name), '[]')
    from arm a join version v on v.id = a.version_id join model m on m.id = v.model_id
    where a.deployment_id = ${deployment}.id)`;
}
