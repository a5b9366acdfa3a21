import type { Db } from '../platform/database.ts';
import type { VersionRow } from './version.row.ts';

/** A locked version that is QUARANTINED becomes READY. */
export function setReleased(db: Db, id: string): Promise<VersionRow> {
  return db
    .updateTable('version')
    .set({ status: 'READY', statusReason: null })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}
