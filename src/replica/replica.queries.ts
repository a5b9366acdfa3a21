import { sql, type Insertable, type Selectable, type Updateable } from 'kysely';
import type { Db } from '../platform/database.ts';
import { EXTERNAL_HOST } from './replica.state.ts';
import type { Replica } from '../platform/database.generated.ts';

export type ReplicaRow = Selectable<Replica>;

/** Adds a replica unless that place of the arm is taken. */
export async function insertReplica(db: Db, replica: Insertable<Replica>): Promise<void> {
  await db
    .insertInto('replica')
    .values(replica)
    .onConflict((conflict) =>
      conflict.columns(['armId', 'ordinal']).where('state', '<>', 'EXITED').doNothing(),
    )
    .execute();
}

/** Of several deployments; those that have ended only when asked for. */
export function listReplicas(db: Db, deploymentIds: readonly string[]): Promise<ReplicaRow[]> {
  return db
    .selectFrom('replica')
    .selectAll()
    .where('deploymentId', 'in', deploymentIds)
    .where('state', '<>', 'EXITED')
    .orderBy('ordinal')
    .execute();
}

/**
 * Takes or keeps charge of this host's replicas, and of those that run elsewhere (EXTERNAL_HOST): those nobody has looked after lately, and this keeper's own.
 * One statement, so two workers on a host never look after the same one.
 */
export function keepReplicas(
  db: Db,
  host: string,
  keeper: string,
  leaseSeconds: number,
): Promise<ReplicaRow[]> {
  return db
    .updateTable('replica')
    .set({ keeper, leaseUntil: sql`now() + make_interval(secs => ${leaseSeconds})` })
    .where('hostId', 'in', [host, EXTERNAL_HOST])
    .where('state', '<>', 'EXITED')
    .where((eb) =>
      eb.or([eb('keeper', '=', keeper), eb('keeper', 'is', null), eb('leaseUntil', '<', sql<Date>`now()`)]),
    )
    .returningAll()
    .execute();
}

/** Lets another worker on this host take over at once. */
export async function releaseReplicas(db: Db, keeper: string): Promise<void> {
  await db.updateTable('replica').set({ keeper: null }).where('keeper', '=', keeper).execute();
}

/**
 * Changes a replica unless somebody has changed it since `row` was read: another keeper, or whoever wants it drained.
 * True when it was changed.
 */
export async function changeReplica(db: Db, row: ReplicaRow, change: Updateable<Replica>): Promise<boolean> {
  const result = await db
    .updateTable('replica')
    .set(change)
    .where('id', '=', row.id)
    .where('keeper', '=', row.keeper)
    .where('state', '=', row.state)
    .where('launch', '=', row.launch)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

/** Tells the replicas of a deployment to finish and end. */
export async function drainReplicas(db: Db, deploymentId: string): Promise<void> {
  await db
    .updateTable('replica')
    .set({ state: 'DRAINING' })
    .where('deploymentId', '=', deploymentId)
    .where('state', 'not in', ['DRAINING', 'EXITED'])
    .execute();
}

/** The same for replicas that were started while their deployment failed or was stopped. Returns how many. */
export async function drainStrays(db: Db): Promise<number> {
  const result = await db
    .updateTable('replica')
    .from('deployment')
    .set({ state: 'DRAINING' })
    .whereRef('deployment.id', '=', 'replica.deploymentId')
    .where('deployment.state', 'in', ['FAILED', 'STOPPED'])
    .where('replica.state', 'not in', ['DRAINING', 'EXITED'])
    .executeTakeFirst();
  return Number(result.numUpdatedRows);
}

/** Replicas of hosts from which nothing has been heard for `seconds`. */
export function listLostReplicas(db: Db, seconds: number, limit: number): Promise<ReplicaRow[]> {
  return (
    db
      .selectFrom('replica')
      .selectAll()
      .where('state', '<>', 'EXITED')
      // One that nobody ever looked after counts from when it was wanted.
      .where(sql<boolean>`coalesce(lease_until, created_at) < now() - make_interval(secs => ${seconds})`)
      .limit(limit)
      .execute()
  );
}

/** Gives up a replica of a lost host, if it still is one; true when it was given up. */
export async function giveUpReplica(db: Db, id: string, seconds: number, reason: string): Promise<boolean> {
  const result = await db
    .updateTable('replica')
    .set({ state: 'EXITED', exitReason: reason })
    .where('id', '=', id)
    .where('state', '<>', 'EXITED')
    .where(sql<boolean>`coalesce(lease_until, created_at) < now() - make_interval(secs => ${seconds})`)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}
