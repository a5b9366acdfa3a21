import { sql } from 'kysely';
import type { Database, Db } from '../platform/database.ts';

/** Partitions of the log that hold rows, such as `prediction_30_20261128`; as many as there are days. */
export async function listPartitions(db: Db): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select c.relname as name
    from pg_inherits parent
    join pg_inherits child on child.inhparent = parent.inhrelid
    join pg_class c on c.oid = child.inhrelid
    where parent.inhparent = 'prediction'::regclass
    order by c.relname`.execute(db);
  return rows.map(({ name }) => name);
}

/** How long deployments that are in service keep their rows. */
export async function listRetentions(db: Db): Promise<number[]> {
  const rows = await db
    .selectFrom('deployment')
    .select('logRetentionDays')
    .distinct()
    .where('state', '<>', 'STOPPED')
    .execute();
  return rows.map(({ logRetentionDays }) => logRetentionDays);
}

/** Whoever waits for longer lets the others go on, and comes back. */
const LOCK_TIMEOUT = sql.lit('300ms');

export interface Bounds {
  readonly name: string;
  readonly parent: string;
  readonly from: Date;
  readonly to: Date;
}

/**
 * Makes a partition, unless it is there. It is made apart and attached then: that stops neither readers nor writers.
 * @throws a lock timeout (`isLockTimeout`).
 */
export async function addPartition(database: Database, { name, parent, from, to }: Bounds): Promise<void> {
  await database.db.transaction().execute(async (tx) => {
    await sql`set local lock_timeout = ${LOCK_TIMEOUT}`.execute(tx);
    // One at a time: of two that make the same, one would fail.
    await sql`select pg_advisory_xact_lock(hashtextextended('prediction.partition', 0))`.execute(tx);
    const { rows } = await sql<{ found: boolean }>`select to_regclass(${name}) is not null as found`.execute(
      tx,
    );
    if (rows[0]?.found) return;
    await sql`create table ${sql.id(name)} (like ${sql.id(parent)} including all)`.execute(tx);
    await sql`
      alter table ${sql.id(parent)} attach partition ${sql.id(name)}
      for values from (${sql.lit(from.toISOString())}) to (${sql.lit(to.toISOString())})`.execute(tx);
  });
}

/** @throws a lock timeout (`isLockTimeout`). */
export async function dropPartition(database: Database, name: string): Promise<void> {
  await database.db.transaction().execute(async (tx) => {
    await sql`set local lock_timeout = ${LOCK_TIMEOUT}`.execute(tx);
    await sql`drop table if exists ${sql.id(name)}`.execute(tx);
  });
}
