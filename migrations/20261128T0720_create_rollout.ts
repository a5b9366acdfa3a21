import { sql, type Kysely } from 'kysely';

/**
 * Rollouts, what each has seen, and what follows an alias.
 *
 * An arm is never deleted, because replicas and predictions of the past refer to it: it is retired.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // One that has ended has `finished_at`. `revision` counts its changes: whoever changes it names the one that it saw.
  // `since` is when the present state began, by the time that counts: pauses are taken out of it.
  `create table rollout (
    id uuid constraint rollout_pkey primary key,
    deployment_id uuid not null constraint rollout_deployment_fkey references deployment,
    project_id uuid not null constraint rollout_project_fkey references project,
    strategy text not null constraint rollout_strategy_check
      check (strategy in ('ALL_AT_ONCE','CANARY','LINEAR','SHADOW')),
    state text not null constraint rollout_state_check check (state in
      ('PENDING','PROVISIONING','WARMING','SHIFTING','BAKING','FINISHING','SUCCEEDED','ROLLING_BACK','ROLLED_BACK',
       'FAILED','ABORTED')),
    from_version_id uuid not null constraint rollout_from_version_fkey references version,
    to_version_id uuid not null constraint rollout_to_version_fkey references version,
    stable_arm_id uuid not null constraint rollout_stable_arm_fkey references arm,
    candidate_arm_id uuid constraint rollout_candidate_arm_fkey references arm,
    weights_before jsonb not null,
    steps jsonb not null,
    step integer,
    gates jsonb not null,
    gate_statuses jsonb not null,
    mirror_share double precision not null,
    goes_back boolean not null default false,
    timeout_seconds integer not null,
    revision integer not null default 1,
    started_at timestamptz not null,
    since timestamptz not null,
    paused_at timestamptz,
    deadline timestamptz not null,
    missing_since timestamptz,
    finished_at timestamptz,
    ending text constraint rollout_ending_check check (ending in ('ROLLED_BACK','ABORTED')),
    reason text,
    evidence jsonb not null,
    cursor text,
    looked_at timestamptz not null default now(),
    by_name text not null,
    by_kind text not null
  ) with (fillfactor = 50)`,
  `create unique index rollout_active_key on rollout (deployment_id) where finished_at is null`,
  `create index rollout_deployment_idx on rollout (deployment_id, id)`,

  // What the mirrored requests of a rollout showed, by minute.
  `create table agreement (
    rollout_id uuid not null constraint agreement_rollout_fkey references rollout,
    minute timestamptz not null,
    compared bigint not null,
    disagreed bigint not null,
    dropped bigint not null,
    examples text[] not null,
    constraint agreement_pkey primary key (rollout_id, minute)
  ) with (fillfactor = 50)`,

  `alter table arm
    add column created_at timestamptz not null default now(),
    add column retired_at timestamptz,
    add column rollout_id uuid constraint arm_rollout_fkey references rollout`,
  `update arm set created_at = d.created_at from deployment d where d.id = arm.deployment_id`,
  `alter table arm drop constraint arm_name_key`,
  `create unique index arm_name_key on arm (deployment_id, name) where retired_at is null`,
  `create index arm_deployment_idx on arm (deployment_id)`,

  `alter table deployment
    add column default_strategy text not null default 'CANARY' constraint deployment_default_strategy_check
      check (default_strategy in ('ALL_AT_ONCE','CANARY','LINEAR','SHADOW')),
    add column follows_alias_id uuid constraint deployment_follows_alias_fkey references alias,
    add column followed_at timestamptz`,
  `create index deployment_follows_idx on deployment (follows_alias_id) where follows_alias_id is not null`,

  `alter table prediction add column rollout_id uuid, add column rollout_step smallint`,
];
