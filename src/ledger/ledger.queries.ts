import { sql, type Selectable } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { LedgerEvent } from '../platform/database.generated.ts';
import type { LedgerEventType } from '../platform/database.types.ts';

export type LedgerRow = Selectable<LedgerEvent>;

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

/** An event, and how many bytes its data takes as text. */
export interface SizedEvent {
  readonly event: LedgerRow;
  readonly bytes: number;
}

/** How much of a ledger to read at once; at least one event is. */
export interface Portion {
  readonly events: number;
  readonly bytes: number;
}

export interface Excerpt {
  readonly events: readonly SizedEvent[];
  /** There is nothing more: the portion was not what ended it. */
  readonly complete: boolean;
}

/** Oldest first, from above `after`. */
export async function listEventsAfter(
  db: Db,
  projectId: string,
  after: bigint,
  portion: Portion,
  types?: readonly LedgerEventType[],
): Promise<Excerpt> {
  if (types?.length === 0) return { events: [], complete: true };
  const bytes = sql<number>`octet_length(data::text)`;
  const sized = db
    .selectFrom(inSequence(db, projectId, after, portion.events, types).as('e'))
    .selectAll()
    .select([
      bytes.as('bytes'),
      sql<bigint>`sum(${bytes}) over (order by sequence) - ${bytes}`.as('bytesBefore'),
      sql<bigint>`count(*) over ()`.as('found'),
    ]);
  const rows = await db
    .selectFrom(sized.as('s'))
    .selectAll()
    .where('bytesBefore', '<', BigInt(portion.bytes))
    .orderBy('sequence')
    .execute();
  const events = rows.map((row) => {
    const { bytes: size, bytesBefore: _, found: __, ...event } = row;
    return { event, bytes: size };
  });
  const found = Number(rows[0]?.found ?? 0);
  return { events, complete: found < portion.events && found === rows.length };
}

function inSequence(
  db: Db,
  projectId: string,
  after: bigint,
  limit: number,
  types: readonly LedgerEventType[] | undefined,
) {
  const of = (type: LedgerEventType | undefined) =>
    db
      .selectFrom('ledgerEvent')
      .selectAll()
      .where('projectId', '=', projectId)
      .where('sequence', '>', after)
      .$if(type !== undefined, (query) => query.where('type', '=', type as LedgerEventType))
      .orderBy('sequence')
      .limit(limit);
  const [first, ...rest] = new Set(types);
  // A rare type among many others: each has an index of its own to walk.
  return rest
    .reduce(
      (query, type) => query.unionAll(db.selectFrom(of(type).as('e')).selectAll()),
      db.selectFrom(of(first).as('e')).selectAll(),
    )
    .orderBy('sequence')
    .limit(limit);
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
