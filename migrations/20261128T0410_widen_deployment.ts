import { sql, type Kysely } from 'kysely';

/** Resources, batching and targets of deployments, shares of arms, hosts, and which of a deployment's replicas are of its present shape. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // `spec` counts the changes that need other processes: a replica of an earlier one is replaced.
  `alter table deployment
    add column spec integer not null default 1,
    add column memory_limit_bytes bigint,
    add column max_batch_rows integer not null default 256,
    add column max_batch_delay_ms double precision not null default 0,
    add column endpoint text`,
  `alter table deployment add constraint deployment_target_check check (target in ('LOCAL','EXTERNAL'))`,

  // Which part of the keys an arm answers: disjoint ranges [from, to) of 0 to 1,000,000.
  `alter table arm add column shares jsonb not null default '[[0, 1000000]]'`,

  // `ending` is why we are ending it, which is known before it has ended.
  `alter table replica
    add column spec integer not null default 1,
    add column memory_limit_bytes bigint,
    add column binary_tensors boolean not null default true,
    add column ending text`,
  `create index replica_arm_idx on replica (arm_id) where state <> 'EXITED'`,

  // Hosts with a worker, and when one was last heard of.
  `create table host (
    id text constraint host_pkey primary key,
    seen_at timestamptz not null default now()
  )`,
];
