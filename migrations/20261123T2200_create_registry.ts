import { sql, type Kysely } from 'kysely';

/**
 * Projects and who may use them, models, versions and the bytes they refer to, long work, deployments with their
 * arms and replicas.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table installation (
    id uuid constraint installation_pkey primary key default gen_random_uuid(),
    singleton boolean not null default true constraint installation_key unique constraint installation_check check (singleton)
  )`,
  `insert into installation default values`,

  `create table project (
    id uuid constraint project_pkey primary key,
    name text not null constraint project_name_key unique,
    description text,
    created_at timestamptz not null default now(),
    created_by_name text not null,
    created_by_kind text not null
  )`,

  `create table api_token (
    id uuid constraint api_token_pkey primary key,
    project_id uuid not null constraint api_token_project_fkey references project,
    name text not null,
    role text not null constraint api_token_role_check check (role in ('READER','AUTHOR','OPERATOR','ADMIN')),
    hash bytea not null constraint api_token_hash_key unique,
    created_at timestamptz not null default now(),
    created_by_name text not null,
    last_used_at timestamptz,
    expires_at timestamptz,
    revoked_at timestamptz
  )`,
  `create unique index api_token_name_key on api_token (project_id, name) where revoked_at is null`,

  `create table model (
    id uuid constraint model_pkey primary key,
    project_id uuid not null constraint model_project_fkey references project,
    name text not null,
    description text,
    tags jsonb not null default '[]',
    last_number integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    created_by_name text not null,
    created_by_kind text not null,
    constraint model_name_key unique (project_id, name)
  )`,

  `create table operation (
    id uuid constraint operation_pkey primary key,
    project_id uuid not null constraint operation_project_fkey references project,
    kind text not null,
    subject_id uuid not null,
    status text not null default 'QUEUED' constraint operation_status_check
      check (status in ('QUEUED','RUNNING','CANCELLING','SUCCEEDED','FAILED','CANCELLED')),
    done bigint not null default 0,
    total bigint,
    unit text not null,
    stage text,
    error jsonb,
    attempts integer not null default 0,
    by_name text not null,
    by_kind text not null,
    queued_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    claimed_by text,
    lease_until timestamptz
  )`,
  `create index operation_unfinished_idx on operation (queued_at) where status in ('QUEUED','RUNNING','CANCELLING')`,
  `create index operation_project_idx on operation (project_id, id)`,
  `create index operation_subject_idx on operation (subject_id) where status in ('QUEUED','RUNNING','CANCELLING')`,

  `create table operation_log (
    operation_id uuid not null constraint operation_log_operation_fkey references operation on delete cascade,
    sequence integer not null,
    at timestamptz not null default now(),
    line text not null,
    constraint operation_log_pkey primary key (operation_id, sequence)
  )`,

  `create table blob (
    digest text constraint blob_pkey primary key constraint blob_digest_check check (digest ~ '^[0-9a-f]{64}$'),
    bytes bigint not null,
    touched_at timestamptz not null default now()
  )`,

  `create table version (
    id uuid constraint version_pkey primary key,
    project_id uuid not null constraint version_project_fkey references project,
    model_id uuid not null constraint version_model_fkey references model,
    number integer not null,
    status text not null default 'PENDING' constraint version_status_check
      check (status in ('PENDING','INGESTING','READY','QUARANTINED','REJECTED')),
    status_reason text,
    message text,
    author_name text not null,
    author_kind text not null,
    created_at timestamptz not null default now(),
    format text not null,
    bytes bigint not null,
    digest text not null,
    given_signature jsonb,
    signature jsonb,
    model_file text,
    operation_id uuid not null constraint version_operation_fkey references operation,
    constraint version_number_key unique (model_id, number)
  )`,

  `create table version_artifact (
    version_id uuid not null constraint version_artifact_version_fkey references version,
    role text not null constraint version_artifact_role_check check (role in ('UPLOADED','SERVING')),
    path text not null,
    digest text not null,
    bytes bigint not null,
    media_type text not null,
    transform text,
    blob_digest text constraint version_artifact_blob_fkey references blob,
    constraint version_artifact_pkey primary key (version_id, role, path)
  )`,
  `create index version_artifact_blob_idx on version_artifact (blob_digest)`,

  `create table deployment (
    id uuid constraint deployment_pkey primary key,
    project_id uuid not null constraint deployment_project_fkey references project,
    name text not null,
    state text not null default 'PENDING' constraint deployment_state_check
      check (state in ('PENDING','PROVISIONING','LIVE','DEGRADED','FAILED','STOPPING','STOPPED')),
    state_reason text,
    target text not null default 'LOCAL',
    desired_replicas integer not null,
    threads integer not null default 1,
    invalid_outputs text not null default 'FAIL',
    operation_id uuid constraint deployment_operation_fkey references operation,
    created_at timestamptz not null default now(),
    created_by_name text not null,
    created_by_kind text not null,
    changed_at timestamptz not null default clock_timestamp()
  )`,
  `create unique index deployment_name_key on deployment (project_id, name) where state <> 'STOPPED'`,
  `create index deployment_project_idx on deployment (project_id, name, id)`,
  `create index deployment_changed_idx on deployment (changed_at)`,

  `create table arm (
    id uuid constraint arm_pkey primary key,
    deployment_id uuid not null constraint arm_deployment_fkey references deployment,
    version_id uuid not null constraint arm_version_fkey references version,
    name text not null,
    role text not null constraint arm_role_check check (role in ('STABLE','CANDIDATE','SHADOW')),
    weight double precision not null,
    constraint arm_name_key unique (deployment_id, name)
  )`,
  `create index arm_version_idx on arm (version_id)`,

  `create table replica (
    id uuid constraint replica_pkey primary key,
    deployment_id uuid not null constraint replica_deployment_fkey references deployment,
    arm_id uuid not null constraint replica_arm_fkey references arm,
    version_id uuid not null constraint replica_version_fkey references version,
    ordinal integer not null,
    host_id text not null,
    state text not null default 'STARTING' constraint replica_state_check
      check (state in ('STARTING','LOADING','WARMING','READY','DRAINING','BACKING_OFF','EXITED')),
    endpoint text,
    token text,
    launch integer not null default 0,
    protocol_version integer not null,
    pid integer,
    process_start text,
    keeper text,
    lease_until timestamptz,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    ready_at timestamptz,
    load_ms double precision,
    warm_up_ms double precision,
    memory_bytes bigint,
    in_flight integer not null default 0,
    restarts integer not null default 0,
    next_restart_at timestamptz,
    exit_reason text
  )`,
  `create unique index replica_ordinal_key on replica (arm_id, ordinal) where state <> 'EXITED'`,
  `create index replica_deployment_idx on replica (deployment_id)`,
  `create index replica_host_idx on replica (host_id) where state <> 'EXITED'`,
  `create index replica_lease_idx on replica (lease_until) where state <> 'EXITED'`,
];
