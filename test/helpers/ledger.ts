/** The events of a project as they stand in the database. */
import { sql } from 'kysely';
import { rowsOf } from '#test/fault/stack-facts.ts';
import type { Stack } from './stack.ts';

export interface EventRow {
  readonly sequence: number;
  /** RFC 3339, to the millisecond. */
  readonly at: string;
  readonly type: string;
  readonly actorName: string;
  /** Inner ids, not global ones. */
  readonly subjectId: string;
  readonly modelId: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The events of a project, oldest first. */
export async function eventsOf(stack: Stack, project: string): Promise<EventRow[]> {
  const rows = await rowsOf(
    stack,
    sql<Omit<EventRow, 'sequence' | 'at'> & { sequence: bigint; at: Date }>`
      select e.sequence, e.at, e.type, e.actor_name, e.subject_id, e.model_id, e.data
      from ledger_event e join project p on p.id = e.project_id
      where p.name = ${project} order by e.sequence`,
  );
  return rows.map((row) => ({ ...row, sequence: Number(row.sequence), at: row.at.toISOString() }));
}

/** A time so many milliseconds after another. */
export const later = (time: string, ms: number): string => new Date(Date.parse(time) + ms).toISOString();

/** The id within a global id. */
export const innerId = (globalId: string): string =>
  Buffer.from(globalId, 'base64').toString().split(':')[1] as string;
