import type { Db } from '../platform/database.ts';
import type { TagRecord } from '../platform/database.types.ts';
import type { ReportedMetric } from './annotation.ts';
import { listMetrics } from './version.queries.ts';
import type { VersionRow } from './version.row.ts';

export function annotate(
  db: Db,
  id: string,
  change: { tags: readonly TagRecord[]; metadata?: string | null },
): Promise<VersionRow> {
  const { tags, ...rest } = change;
  return db
    .updateTable('version')
    .set({ ...rest, tags: JSON.stringify(tags) })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Adds, changes and removes metrics of a locked version. Returns all it has then, by name. */
export async function putMetrics(
  db: Db,
  { id, projectId }: VersionRow,
  metrics: readonly ReportedMetric[],
  remove: readonly string[],
): Promise<ReportedMetric[]> {
  if (remove.length > 0) {
    await db.deleteFrom('versionMetric').where('versionId', '=', id).where('name', 'in', remove).execute();
  }
  if (metrics.length > 0) {
    await db
      .insertInto('versionMetric')
      .values(metrics.map((metric) => ({ ...metric, versionId: id, projectId })))
      .onConflict((conflict) =>
        conflict.columns(['versionId', 'name']).doUpdateSet((eb) => ({ value: eb.ref('excluded.value') })),
      )
      .execute();
  }
  return listMetrics(db, [id]);
}
