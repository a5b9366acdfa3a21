/** Where an arm that has answered came from. */
import type { Db } from '../platform/database.ts';
import type { LoggedRequest } from './logged.queries.ts';

/** An arm of a deployment, also one that is retired. */
export interface ArmOrigin {
  readonly deploymentId: string;
  readonly name: string;
  readonly versionId: string;
  readonly createdAt: Date;
  /** The rollout that brought it; null: it is there from the deployment's creation on. */
  readonly rolloutId: string | null;
}

/** All that deployments have ever had, newest first: their number grows with rollouts, not with traffic. */
export function listArmOrigins(db: Db, deploymentIds: readonly string[]): Promise<ArmOrigin[]> {
  return db
    .selectFrom('arm')
    .select(['deploymentId', 'name', 'versionId', 'createdAt', 'rolloutId'])
    .where('deploymentId', 'in', deploymentIds)
    .orderBy('createdAt', 'desc')
    .orderBy('id', 'desc')
    .execute();
}

/**
 * The one of a deployment's arms, newest first, that answered a request. An arm may have another name by now, and clocks
 * may differ a little: what fits best is taken.
 */
export function armBehind(
  arms: readonly ArmOrigin[],
  { arm: name, versionId, at }: Pick<LoggedRequest, 'arm' | 'versionId' | 'at'>,
): ArmOrigin | undefined {
  const serving = arms.filter((arm) => arm.versionId === versionId);
  const then = serving.filter(({ createdAt }) => createdAt <= at);
  return then.find((arm) => arm.name === name) ?? then[0] ?? serving.at(-1);
}
