import { sql, type Insertable, type Selectable, type Updateable } from 'kysely';
import type { PageRequest } from '../paging/paging.ts';
import type { Db } from '../platform/database.ts';
import type { Rollout } from '../platform/database.generated.ts';

export type RolloutRow = Selectable<Rollout>;

export function findRollouts(db: Db, ids: readonly string[]): Promise<RolloutRow[]> {
  return db.selectFrom('rollout').selectAll().where('id', 'in', ids).execute();
}

/** Of several deployments, the rollout that runs. */
export function listRunning(db: Db, deploymentIds: readonly string[]): Promise<RolloutRow[]> {
  return db
    .selectFrom('rollout')
    .selectAll()
    .where('deploymentId', 'in', deploymentIds)
    .where('finishedAt', 'is', null)
    .execute();
}

/** Newest first; one row more than asked for. */
export function listRollouts(db: Db, deploymentId: string, page: PageRequest): Promise<RolloutRow[]> {
  return db
    .selectFrom('rollout')
    .selectAll()
    .where('deploymentId', '=', deploymentId)
    .$if(page.after !== undefined, (query) => query.where('id', '<', page.after?.[0] as string))
    .orderBy('id', 'desc')
    .limit(page.first + 1)
    .execute();
}

/** The last one that brought another version into service, those that went back left out. */
export function findLastForward(db: Db, deploymentId: string): Promise<RolloutRow | undefined> {
  return db
    .selectFrom('rollout')
    .innerJoin('arm', 'arm.id', 'rollout.candidateArmId')
    .selectAll('rollout')
    .where('rollout.deploymentId', '=', deploymentId)
    .where('rollout.state', '=', 'SUCCEEDED')
    .where('arm.role', '=', 'STABLE')
    .where('rollout.goesBack', '=', false)
    .whereRef('rollout.fromVersionId', '<>', 'rollout.toVersionId')
    .orderBy('rollout.id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export function lockRollout(db: Db, id: string): Promise<RolloutRow | undefined> {
  return db.selectFrom('rollout').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
}

export function insertRollout(db: Db, rollout: Insertable<Rollout>): Promise<RolloutRow> {
  return db.insertInto('rollout').values(rollout).returningAll().executeTakeFirstOrThrow();
}

/** Changes a rollout that is locked; whoever read it before sees by `revision` that it is another one now. */
export function changeRollout(db: Db, id: string, change: Updateable<Rollout>): Promise<RolloutRow> {
  return db
    .updateTable('rollout')
    .set((eb) => ({ ...change, revision: eb('revision', '+', 1) }))
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** The time by which rollouts go. */
export async function databaseNow(db: Db): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db);
  return rows[0]!.now;
}

/**
 * Rollouts that run and that nobody has looked at for a while, claimed for this look. Whoever else looks meanwhile finds
 * others, or none; that two look at the same one costs time, not truth.
 */
export async function claimRollouts(
  db: Db,
  afterMs: number,
  limit: number,
): Promise<(RolloutRow & { readonly now: Date })[]> {
  return db
    .updateTable('rollout')
    .set({ lookedAt: sql`clock_timestamp()` })
    .where('id', 'in', (eb) =>
      eb
        .selectFrom('rollout')
        .select('id')
        .where('finishedAt', 'is', null)
        .where('lookedAt', '<', sql<Date>`clock_timestamp() - make_interval(secs => ${afterMs / 1000})`)
        .orderBy('lookedAt')
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returningAll()
    .returning(sql<Date>`clock_timestamp()`.as('now'))
    .execute();
}

/** Evidence that was read on, and how far. */
export interface Reading {
  readonly id: string;
  /** As they were when it was read: somebody who read on meanwhile, or moved it, comes first. */
  readonly revision: number;
  readonly from: string | null;
  readonly cursor: string | null;
  readonly evidence: unknown;
  readonly statuses: unknown;
  readonly steps: unknown;
  /** What the mirrored requests showed since, by minute. */
  readonly agreement: readonly {
    readonly minute: string;
    readonly compared: number;
    readonly disagreed: number;
    readonly dropped: number;
    readonly examples: readonly string[];
  }[];
}

/** Keeps what was read of several rollouts; those that are not as they were are left. @returns the ids of those kept. */
export async function keepReadings(
  db: Db,
  readings: readonly Reading[],
  mostExamples: number,
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    with given as (
      select * from jsonb_to_recordset(${JSON.stringify(readings)}::jsonb) as g(
        id uuid, revision integer, "from" text, cursor text, evidence jsonb, statuses jsonb, steps jsonb, agreement jsonb)),
    kept as (
      update rollout r set evidence = g.evidence, gate_statuses = g.statuses, steps = g.steps, cursor = g.cursor
      from given g
      where r.id = g.id and r.revision = g.revision and r.cursor is not distinct from g."from"
      returning r.id),
    seen as (
      insert into agreement as a (rollout_id, minute, compared, disagreed, dropped, examples)
      select g.id, m.minute, m.compared, m.disagreed, m.dropped, m.examples
      from given g join kept k on k.id = g.id, jsonb_to_recordset(g.agreement) as m(
        minute timestamptz, compared bigint, disagreed bigint, dropped bigint, examples text[])
      on conflict (rollout_id, minute) do update set
        compared = a.compared + excluded.compared, disagreed = a.disagreed + excluded.disagreed,
        dropped = a.dropped + excluded.dropped,
        examples = (a.examples || excluded.examples)[1:${sql.lit(mostExamples)}])
    select id from kept`.execute(db);
  return rows.map(({ id }) => id);
}
