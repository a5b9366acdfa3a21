import { sql, type Insertable, type Selectable } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { Operation } from '../platform/database.generated.ts';
import type { ErrorRecord } from '../platform/database.types.ts';

export type OperationRow = Selectable<Operation>;

export function insertOperation(db: Db, operation: Insertable<Operation>): Promise<OperationRow> {
  return db.insertInto('operation').values(operation).returningAll().executeTakeFirstOrThrow();
}

export function findOperations(db: Db, ids: readonly string[]): Promise<OperationRow[]> {
  return db.selectFrom('operation').selectAll().where('id', 'in', ids).execute();
}

/**
 * Takes an operation that waits, or whose worker has not been heard of; undefined when somebody else has it or it
 * has ended. One statement, so two workers never both get it.
 */
export function claimOperation(
  db: Db,
  id: string,
  claimant: string,
  leaseSeconds: number,
): Promise<OperationRow | undefined> {
  return db
    .updateTable('operation')
    .set((eb) => ({
      status: sql`case when status = 'QUEUED' then 'RUNNING' else status end`,
      claimedBy: claimant,
      leaseUntil: sql`now() + make_interval(secs => ${leaseSeconds})`,
      attempts: eb('attempts', '+', 1),
      startedAt: sql`coalesce(started_at, now())`,
    }))
    .where('id', '=', id)
    .where((eb) =>
      eb.or([
        eb('status', '=', 'QUEUED'),
        eb.and([eb('status', 'in', ['RUNNING', 'CANCELLING']), eb('leaseUntil', '<', sql<Date>`now()`)]),
      ]),
    )
    .returningAll()
    .executeTakeFirst();
}

/** Keeps a claim; undefined when it was lost to another worker. The status tells whether to cancel. */
export function renewOperation(
  db: Db,
  id: string,
  claimant: string,
  leaseSeconds: number,
  progress: { done: bigint; total: bigint | null; stage: string | null },
): Promise<Pick<OperationRow, 'status'> | undefined> {
  return db
    .updateTable('operation')
    .set({ ...progress, leaseUntil: sql`now() + make_interval(secs => ${leaseSeconds})` })
    .where('id', '=', id)
    .where('claimedBy', '=', claimant)
    .where('status', 'in', ['RUNNING', 'CANCELLING'])
    .returning('status')
    .executeTakeFirst();
}

/** Ends an operation that this claimant holds; false when the claim was lost. */
export async function finishOperation(
  db: Db,
  id: string,
  claimant: string,
  status: 'SUCCEEDED' | 'FAILED' | 'CANCELLED',
  error: ErrorRecord | null,
): Promise<boolean> {
  const result = await db
    .updateTable('operation')
    .set({
      status,
      error: error ? JSON.stringify(error) : null,
      finishedAt: sql`now()`,
      leaseUntil: null,
      ...(status === 'SUCCEEDED' ? { done: sql`coalesce(total, done)` } : {}),
    })
    .where('id', '=', id)
    .where('claimedBy', '=', claimant)
    .where('status', 'in', ['RUNNING', 'CANCELLING'])
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

/** Gives an operation back, to be tried again; only by its claimant. */
export async function requeueOperation(db: Db, id: string, claimant: string): Promise<void> {
  await db
    .updateTable('operation')
    .set({ status: 'QUEUED', claimedBy: null, leaseUntil: null, queuedAt: sql`now()` })
    .where('id', '=', id)
    .where('claimedBy', '=', claimant)
    .where('status', '=', 'RUNNING')
    .execute();
}

/**
 * Asks for cancellation; undefined when it has ended already or was asked before. One that still waits can be claimed
 * at once by whoever has its job: what it is about has to hear of it, too.
 */
export function cancelOperation(db: Db, id: string): Promise<OperationRow | undefined> {
  return db
    .updateTable('operation')
    .set({
      status: 'CANCELLING',
      leaseUntil: sql`case when status = 'QUEUED' then now() else lease_until end`,
    })
    .where('id', '=', id)
    .where('status', 'in', ['QUEUED', 'RUNNING'])
    .returningAll()
    .executeTakeFirst();
}

/** Committed but perhaps never queued, or left by a worker that is gone; oldest first. */
export function listStrandedOperations(db: Db, limit: number): Promise<Pick<OperationRow, 'id' | 'kind'>[]> {
  return db
    .selectFrom('operation')
    .select(['id', 'kind'])
    .where((eb) =>
      eb.or([
        eb.and([eb('status', '=', 'QUEUED'), eb('queuedAt', '<', sql<Date>`now() - interval '2 seconds'`)]),
        eb.and([eb('status', 'in', ['RUNNING', 'CANCELLING']), eb('leaseUntil', '<', sql<Date>`now()`)]),
      ]),
    )
    .orderBy('queuedAt')
    .limit(limit)
    .execute();
}

/** Adds a line to an operation's log; only its claimant writes, so the numbers do not race. */
export async function appendLog(db: Db, id: string, line: string): Promise<void> {
  await sql`
    insert into operation_log (operation_id, sequence, line)
    select ${id}, coalesce(max(sequence), 0) + 1, ${line} from operation_log where operation_id = ${id}
    on conflict do nothing`.execute(db);
}

/** The last lines, oldest first. */
export async function tailLog(db: Db, id: string, tail: number): Promise<string[]> {
  const rows = await db
    .selectFrom('operationLog')
    .select(['at', 'line'])
    .where('operationId', '=', id)
    .orderBy('sequence', 'desc')
    .limit(tail)
    .execute();
  return rows.toReversed().map((row) => `${row.at.toISOString()} ${row.line}`);
}

/** Whether work of a kind on a subject has not ended. */
export async function isUnderWay(db: Db, subjectId: string, kind: string): Promise<boolean> {
  const row = await db
    .selectFrom('operation')
    .select('id')
    .where('subjectId', '=', subjectId)
    .where('kind', '=', kind)
    .where('status', 'in', ['QUEUED', 'RUNNING', 'CANCELLING'])
    .executeTakeFirst();
  return row !== undefined;
}
