/**
 * Deployments that follow an alias: when it has moved, a rollout of the deployment's default strategy begins. One that
 * moves while a rollout runs is followed afterwards, the latest move only; one whose version was taken back is not tried
 * again before it moves again.
 */
import { listArms, lockDeployment, type DeploymentRow } from '../deployment/deployment.queries.ts';
import { stableOf } from '../deployment/deployment.state.ts';
import { checkServable } from '../deployment/servable.ts';
import { appendTo } from '../ledger/ledger.ts';
import type { Db } from '../platform/database.ts';
import { DomainError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { findVersions } from '../version/version.queries.ts';
import * as queries from './follow.queries.ts';
import { defaultGates } from './gate.defaults.ts';
import { planRollout } from './plan.ts';
import type { RolloutRow } from './rollout.queries.ts';
import { announce, begin, refused } from './start.ts';

const BATCH = 50;

/** Begins what aliases ask for; one that cannot be looked at keeps no other waiting. @returns whether anything was begun. */
export async function follow(platform: Platform): Promise<boolean> {
  let any = false;
  for (const { deploymentId } of await queries.listMoved(platform.db, null, BATCH)) {
    try {
      if (await followOne(platform, deploymentId)) any = true;
    } catch (error) {
      platform.logger.warn({ err: error, deployment: deploymentId }, 'an alias could not be followed yet');
    }
  }
  return any;
}

async function followOne(platform: Platform, deploymentId: string): Promise<boolean> {
  const rollout = await platform.database.db.transaction().execute(async (tx) => {
    const deployment = await lockDeployment(tx, deploymentId);
    // What was seen before it was locked may have been done by somebody else, or be over.
    const [moved] = await queries.listMoved(tx, deploymentId, 1);
    return deployment && moved ? begunBy(tx, deployment, moved) : undefined;
  });
  if (!rollout) return false;
  platform.announce('ledger', rollout.projectId);
  await announce(platform, rollout);
  return true;
}

async function begunBy(
  tx: Db,
  deployment: DeploymentRow,
  moved: queries.Moved,
): Promise<RolloutRow | undefined> {
  const [version] = await findVersions(tx, [moved.versionId]);
  if (!version) return undefined;
  await queries.setFollowed(tx, deployment.id, moved.movedAt);
  if (stableOf(await listArms(tx, [deployment.id]))?.versionId === version.id) return undefined;
  const actor = { name: moved.byName, kind: moved.byKind };
  const strategy = deployment.defaultStrategy;
  try {
    checkServable(version, ['version']);
    const plan = planRollout(strategy, {});
    return await begin(tx, appendTo(tx, deployment.projectId, actor), actor, {
      deploymentId: deployment.id,
      version,
      expectedId: null,
      strategy,
      plan,
      gates: defaultGates(strategy, version.signature!, plan.mirrorShare),
      reason: `${moved.alias} moved to version ${version.number}.`,
    });
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    const reason = `${moved.alias} moved to version ${version.number}, which cannot be followed. ${error.message}`;
    return refused(tx, actor, deployment, { version, strategy, reason });
  }
}
