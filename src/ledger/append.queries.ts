import { sql, type RawBuilder } from 'kysely';
import type { Actor } from '../access/access.ts';
import type { Db } from '../platform/database.ts';
import type { LedgerEventType, LedgerSubject } from '../platform/database.types.ts';
import { newId } from '../platform/id.ts';

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

type Fragment = RawBuilder<unknown>;

/**
 * The next numbers of a project, as `counter(sequence, at)` in a WITH. The row stays locked until the transaction ends, so
 * commits come in the order of the numbers and none is missing; the time goes up by a millisecond at least.
 */
export function counter(projectId: string, count: number): Fragment {
  return sql`counter as (
    insert into ledger_counter as c (project_id, sequence, at)
    values (${projectId}, ${count}, date_trunc('milliseconds', clock_timestamp()))
    on conflict (project_id) do update set
      sequence = c.sequence + excluded.sequence,
      at = greatest(date_trunc('milliseconds', clock_timestamp()), c.at + interval '1 millisecond')
    returning sequence, at)`;
}

/**
 * The events under those numbers, as `written` in the same WITH.
 * @param data what an event tells, where that is only known in the statement; else each event's own.
 */
export function written(
  projectId: string,
  actor: Actor,
  entries: readonly LedgerEntry[],
  data: Fragment = sql`e.data`,
): Fragment {
  const events = entries.map((entry, index) => ({
    ordinal: index + 1,
    id: newId(),
    type: entry.type,
    subject_type: entry.subject.type,
    subject_id: entry.subject.id,
    model_id: entry.modelId,
    data: entry.data,
  }));
  return sql`written as (
    insert into ledger_event
      (project_id, sequence, id, type, at, actor_name, actor_kind, subject_type, subject_id, model_id, data)
    select ${projectId}, counter.sequence - ${entries.length} + e.ordinal, e.id, e.type, counter.at,
           ${actor.name}, ${actor.kind}, e.subject_type, e.subject_id, e.model_id, ${data}
    from counter, jsonb_to_recordset(${JSON.stringify(events)}::jsonb) as e(
      ordinal integer, id uuid, type text, subject_type text, subject_id uuid, model_id uuid, data jsonb))`;
}

/** Writes events at the end of a project's ledger. */
export async function appendEvents(
  db: Db,
  projectId: string,
  actor: Actor,
  entries: readonly LedgerEntry[],
): Promise<Moment> {
  const { rows } = await sql<Moment>`
    with ${counter(projectId, entries.length)}, ${written(projectId, actor, entries)}
    select sequence, at from counter`.execute(db);
  return rows[0] as Moment;
}
