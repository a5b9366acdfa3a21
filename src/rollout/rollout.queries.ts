import type { Selectable } from 'kysely';
import type { Rollout } from '../platform/database.generated.ts';
import type { Db } from '../platform/database.ts';

export type RolloutRow = Selectable<Rollout>;

export function findRollouts(db: Db, ids: readonly string[]): Promise<RolloutRow[]> {
  return db.selectFrom('rollout').selectAll().where('id', 'in', ids).execute();
}
