import { sql, type Selectable } from 'kysely';
import type { Actor } from '../access/access.ts';
import type { Db } from '../platform/database.ts';
import type { LedgerEvent } from '../platform/database.generated.ts';
import type { LedgerEventType, LedgerSubject } from '../platform/database.types.ts';
import { newId } from '../platform/id.ts';

export type LedgerRow = Selectable<LedgerEvent>;

/** What happened to what; who did it and when are added as it is written. */
export interface LedgerEntry {
  readonly type: LedgerEventType;
  readonly subject: { readonly type: LedgerSubject; readonly id: string };
  /** The model that it happened in: its own changes, its versions' and its aliases'. */
  readonly modelId?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Where in a project's history something was written. */
export interface Moment {
  readonly sequence: bigint;
  readonly at: Date;
}

/**
 * Writes events at the end of a project's ledger. The counter's row stays locked until the transaction ends, so commits
 * come in the order of the numbers and none is missing; the time goes up by a millisecond at least.
 */
export async function appendEvents(
  db: Db,
  projectId: string,
  actor: Actor,
  entries: readonly LedgerEntry[],
): Promise<Moment> {
  const events = entries.map(({ type, subject, modelId, data }, index) => ({
    ordinal: index + 1,
    id: newId(),
    type,
    subject_type: subject.type,
    subject_id: subject.id,
    model_id: modelId,
    data,
  }));
  const { rows } = await sql<Moment>`
    with counter as (
      insert into ledger_counter as c (project_id, sequence, at)
      values (${projectId}, ${entries.length}, date_trunc('milliseconds', clock_timestamp()))
      on conflict (project_id) do update set
        sequence = c.sequence + excluded.sequence,
        at = greatest(date_trunc('milliseconds', clock_timestamp()), c.at + interval '1 millisecond')
      returning sequence, at
    ), written as (
      insert into ledger_event
        (project_id, sequence, id, type, at, actor_name, actor_kind, subject_type, subject_id, model_id, data)
      select ${projectId}, counter.sequence - ${entries.length} + e.ordinal, e.id, e.type, counter.at,
             ${actor.name}, ${actor.kind}, e.subject_type, e.subject_id, e.model_id, e.data
      from counter, jsonb_to_recordset(${JSON.stringify(events)}::jsonb) as e(
        ordinal integer, id uuid, type text, subject_type text, subject_id uuid, model_id uuid, data jsonb)
    )
    select sequence, at from counter`.execute(db);
  return rows[0] as Moment;
}

export function findEvents(db: Db, ids: readonly string[]): Promise<LedgerRow[]> {
  return db.selectFrom('ledgerEvent').selectAll().where('id', 'in', ids).execute();
}

/** Which events of a project: all, those of one model and what is in it, or those of one other thing. */
export interface EventFilter {
  readonly modelId?: string | undefined;
  readonly subjectId?: string | undefined;
  readonly types?: readonly LedgerEventType[] | undefined;
}

/** Newest first, from below `before`. */
export async function listEvents(
  db: Db,
  projectId: string,
  filter: EventFilter,
  before: bigint | undefined,
  limit: number,
): Promise<LedgerRow[]> {
  const of = (type: LedgerEventType | undefined) =>
    db
      .selectFrom('ledgerEvent')
      .selectAll()
      .where('projectId', '=', projectId)
      .$if(type !== undefined, (query) => query.where('type', '=', type as LedgerEventType))
      .$if(filter.modelId !== undefined, (query) => query.where('modelId', '=', filter.modelId as string))
      .$if(filter.subjectId !== undefined, (query) =>
        query.where('subjectId', '=', filter.subjectId as string),
      )
      .$if(before !== undefined, (query) => query.where('sequence', '<', before as bigint))
      .orderBy('sequence', 'desc')
      .limit(limit);
  if (!filter.types) return of(undefined).execute();
  // A rare type among many others: each has an index of its own to walk.
  const [first, ...rest] = new Set(filter.types);
  if (first === undefined) return [];
  const all = rest.reduce(
    (query, type) => query.unionAll(db.selectFrom(of(type).as('e')).selectAll()),
    db.selectFrom(of(first).as('e')).selectAll(),
  );
  return all.orderBy('sequence', 'desc').limit(limit).execute();
}

/** Oldest first, from above `after`. */
export function listEventsAfter(
  db: Db,
  projectId: string,
  after: bigint,
  limit: number,
): Promise<LedgerRow[]> {
  return db
    .selectFrom('ledgerEvent')
    .selectAll()
    .where('projectId', '=', projectId)
    .where('sequence', '>', after)
    .orderBy('sequence')
    .limit(limit)
    .execute();
}

/** The last event of a project; 0 before the first. */
export async function lastSequence(db: Db, projectId: string): Promise<bigint> {
  const row = await db
    .selectFrom('ledgerCounter')
    .select('sequence')
    .where('projectId', '=', projectId)
    .executeTakeFirst();
  return row?.sequence ?? 0n;
}

/** The newest event about a thing, among those up to a number. */
export function findEventAt(
  db: Db,
  subjectId: string,
  sequence: bigint,
  types?: readonly LedgerEventType[],
): Promise<LedgerRow | undefined> {
  return db
    .selectFrom('ledgerEvent')
    .selectAll()
    .where('subjectId', '=', subjectId)
    .where('sequence', '<=', sequence)
    .$if(types !== undefined, (query) => query.where('type', 'in', types ?? []))
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export interface PastMoment {
  /** The last event up to the time. */
  readonly sequence: bigint;
  /** Something was written at or after the time: nothing can be written before it any more. */
  readonly settled: boolean;
  /** The database's clock. */
  readonly now: Date;
}

export async function findMoment(db: Db, projectId: string, time: Date): Promise<PastMoment> {
  const { rows } = await sql<PastMoment>`
    select coalesce((
             select sequence from ledger_event where project_id = ${projectId} and at <= ${time}
             order by at desc, sequence desc limit 1), 0) as sequence,
           exists (select from ledger_counter where project_id = ${projectId} and at >= ${time}) as settled,
           date_trunc('milliseconds', clock_timestamp()) as now`.execute(db);
  return rows[0] as PastMoment;
}

/** Waits for whoever is writing to a project's ledger; what comes after that is written at a later time. */
export async function awaitWriters(db: Db, projectId: string): Promise<void> {
  await db
    .selectFrom('ledgerCounter')
    .select('sequence')
    .where('projectId', '=', projectId)
    .forShare()
    .execute();
}
