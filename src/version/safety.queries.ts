import { sql, type Selectable } from 'kysely';
import type { Actor } from '../access/access.ts';
import type { Db } from '../platform/database.ts';
import type { VersionInspection } from '../platform/database.generated.ts';
import type { SafetyReport } from './safety.ts';

export type InspectionRow = Selectable<VersionInspection>;

/** Keeps what was seen in a version's files while it is being read, in the place of what an earlier attempt saw. */
export async function keepInspection(db: Db, versionId: string, report: SafetyReport): Promise<void> {
  const { verdict, truncated } = report;
  await sql`
    with version as (
      update version set format = ${report.format}
      where id = ${versionId} and status in ('PENDING', 'INGESTING') returning id
    )
    insert into version_inspection (version_id, verdict, findings, truncated, contents)
    select id, ${verdict}, ${JSON.stringify(report.findings)}::jsonb, ${truncated}, ${JSON.stringify(report.contents)}::jsonb
    from version
    on conflict (version_id) do update
    set verdict = excluded.verdict, findings = excluded.findings, truncated = excluded.truncated,
        contents = excluded.contents, inspected_at = now()`.execute(db);
}

export function findInspections(db: Db, versionIds: readonly string[]): Promise<InspectionRow[]> {
  return db.selectFrom('versionInspection').selectAll().where('versionId', 'in', versionIds).execute();
}

/** Writes down who took the risk, why and when. */
export async function markReleased(
  db: Db,
  versionId: string,
  by: Actor,
  reason: string,
  at: Date,
): Promise<void> {
  await db
    .updateTable('versionInspection')
    .set({ releaseReason: reason, releasedAt: at, releasedByName: by.name, releasedByKind: by.kind })
    .where('versionId', '=', versionId)
    .execute();
}
