import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { DeploymentRow } from './deployment.queries.ts';

/** A host counts as long as one of its workers was heard of within this. */
const HOST_SECONDS = 15;

/**
 * Deployments whose replicas are not what is wanted: too few, too many, or of an earlier spec. By what is there now, so
 * the cost follows the number of replicas, not their history. In no order: those that stay unsettled for long (a new
 * spec that does not come up) must not keep the others from their turn.
 */
export async function listUnsettled(db: Db, limit: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select d.id from deployment d
    where d.state in ('PROVISIONING', 'LIVE', 'DEGRADED') and exists (
      select 1 from arm a left join lateral (
        select count(*) filter (where r.spec = d.spec) as current, count(*) filter (where r.spec <> d.spec) as old
        from replica r where r.arm_id = a.id and r.state not in ('DRAINING', 'EXITED')
      ) present on true
      where a.deployment_id = d.id and a.retired_at is null
        and (present.current <> d.desired_replicas or present.old > 0)
    ) or d.state in ('PROVISIONING', 'LIVE', 'DEGRADED') and exists (
      select 1 from replica r join arm a on a.id = r.arm_id
      where r.deployment_id = d.id and r.state not in ('DRAINING', 'EXITED') and a.retired_at is not null
    ) order by random() limit ${limit}`.execute(db);
  return rows.map(({ id }) => id);
}

/** The deployment, held until the transaction ends; undefined when somebody else holds it, or it is not to be kept up. */
export function holdUnsettled(db: Db, id: string): Promise<DeploymentRow | undefined> {
  return db
    .selectFrom('deployment')
    .selectAll()
    .where('id', '=', id)
    .where('state', 'in', ['PROVISIONING', 'LIVE', 'DEGRADED'])
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
}

export async function drainReplicasById(db: Db, ids: readonly string[]): Promise<void> {
  await db
    .updateTable('replica')
    .set({ state: 'DRAINING' })
    .where('id', 'in', ids)
    .where('state', 'not in', ['DRAINING', 'EXITED'])
    .execute();
}

/** Says that a worker of this host is there. */
export async function seeHost(db: Db, id: string): Promise<void> {
  await db
    .insertInto('host')
    .values({ id })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ seenAt: sql`now()` }))
    .execute();
}

export interface HostLoad {
  readonly id: string;
  /** Replicas of the arm there, and of all. */
  readonly ofArm: number;
  readonly all: number;
}

/** Hosts that are there, with what runs on them. */
export async function listHosts(db: Db, armId: string): Promise<HostLoad[]> {
  const { rows } = await sql<HostLoad>`
    select h.id, count(r.id) filter (where r.arm_id = ${armId})::integer as "ofArm", count(r.id)::integer as "all"
    from host h left join replica r on r.host_id = h.id and r.state not in ('DRAINING', 'EXITED')
    where h.seen_at > now() - make_interval(secs => ${HOST_SECONDS}) group by h.id`.execute(db);
  return rows;
}

/** Forgets hosts that nobody has heard of for a day. */
export async function forgetHosts(db: Db): Promise<void> {
  await db
    .deleteFrom('host')
    .where('seenAt', '<', sql<Date>`now() - interval '1 day'`)
    .execute();
}
