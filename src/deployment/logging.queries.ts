import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { DeploymentRow } from './deployment.queries.ts';

/** Also remembers how long rows were to stay before: they are still to be found there. */
export function setLogging(
  db: Db,
  id: string,
  logging: { logSampleRate: number; logRedact: string[]; logRetentionDays: number },
): Promise<DeploymentRow> {
  const days = logging.logRetentionDays;
  return db
    .updateTable('deployment')
    .set({
      ...logging,
      logRetentionDaysUsed: sql`array(select distinct unnest(log_retention_days_used || ${days}::smallint) order by 1)`,
    })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}
