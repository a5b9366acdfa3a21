import { sql, type Kysely } from 'kysely';

/**
 * The prediction log, how each deployment keeps it, and the answers that are kept under an idempotency key.
 *
 * `prediction` has a row per request. It is partitioned by how many days a row stays, and below that by the day (UTC) that
 * it is of: `prediction_30_20261128`. Days are made ahead, and dropped whole, by the program.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const retentions = [1, 7, 30, 90, 365];

const statements = [
  `create table prediction (
    request_id uuid not null,
    at timestamptz not null,
    retention_days smallint not null,
    deployment_id uuid not null,
    version_id uuid not null,
    weight double precision not null,
    latency_ms real not null,
    rows integer not null,
    arm text not null,
    error text,
    labels jsonb,
    answer_labels text[],
    answer_numbers double precision[],
    payload text not null,
    redacted text[],
    inputs bytea,
    outputs bytea,
    constraint prediction_pkey primary key (request_id, at, retention_days)
  ) partition by list (retention_days)`,
  `create index prediction_deployment_idx on prediction (deployment_id, at, request_id)`,
  ...retentions.map(
    (days) =>
      `create table prediction_${days} partition of prediction for values in (${days}) partition by range (at)`,
  ),

  `alter table deployment
    add column log_sample_rate double precision not null default 1,
    add column log_redact text[] not null default '{}',
    add column log_retention_days smallint not null default 30
      constraint deployment_log_retention_days_check check (log_retention_days in (${retentions.join(',')})),
    add column log_retention_days_used smallint[] not null default '{30}'`,

  `create table prediction_drop (
    deployment_id uuid constraint prediction_drop_pkey primary key
      constraint prediction_drop_deployment_fkey references deployment,
    dropped bigint not null
  ) with (fillfactor = 50)`,

  `create table idempotency_key (
    deployment_id uuid not null constraint idempotency_key_deployment_fkey references deployment,
    key text not null,
    digest bytea not null,
    owner uuid not null,
    asked_at timestamptz not null,
    lease_until timestamptz not null,
    expires_at timestamptz not null,
    answer bytea,
    constraint idempotency_key_pkey primary key (deployment_id, key)
  )`,
  `create index idempotency_key_expires_idx on idempotency_key (expires_at)`,
];
