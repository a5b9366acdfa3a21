/**
 * Deployments that follow an alias: when it has moved, a rollout of the deployment's default strategy begins. One that
 * moves while a rollout runs is followed afterwards, the latest move only; one whose version was taken back is not tried
 * again before it moves again.
 */
import { listArms, lockDeployment } from '../deployment/deployment.queries.ts';
import { appendTo } from '../ledger/ledger.ts';
import type { Db } from '../platform/database.ts';
import type { VersionStatus } from '../platform/database.types.ts';
import { DomainError, ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { findVersions } from '../version/version.queries.ts';
import type { VersionRow } from '../version/version.row.ts';
import * as queries from './follow.queries.ts';
import { defaultGates } from './gate.defaults.ts';
import { planRollout } from './plan.ts';
import type { RolloutRow } from './rollout.queries.ts';
import { announce, begin, refused } from './start.ts';

const BATCH = 50;
/** What may still become READY is waited for. */
const waiting: readonly VersionStatus[] = ['PENDING', 'INGESTING', 'QUARANTINED'];

/** Begins what aliases ask for. @returns whether anything was begun. */
export async function follow(platform: Platform): Promise<boolean> {
  let any = false;
  for (const moved of await queries.listMoved(platform.db, BATCH)) {
    const rollout = await platform.database.db.transaction().execute((tx) => followOne(tx, moved));
    if (!rollout) continue;
    platform.announce('ledger', moved.projectId);
    await announce(platform, rollout);
    any = true;
  }
  return any;
}

async function followOne(tx: Db, moved: queries.Moved): Promise<RolloutRow | undefined> {
  const [version] = await findVersions(tx, [moved.versionId]);
  if (!version || waiting.includes(version.status)) return undefined;
  const deployment = await lockDeployment(tx, moved.deploymentId);
  if (!deployment) return undefined;
  const arms = await listArms(tx, [deployment.id]);
  await queries.setFollowed(tx, deployment.id, moved.movedAt);
  if (arms.find(({ role }) => role === 'STABLE')?.versionId === version.id) return undefined;
  const actor = { name: moved.byName, kind: moved.byKind };
  const strategy = deployment.defaultStrategy;
  try {
    checkServable(version);
    return await begin(tx, appendTo(tx, deployment.projectId, actor), actor, {
      deploymentId: deployment.id,
      version,
      expectedId: null,
      strategy,
      plan: planRollout(strategy, {}),
      gates: defaultGates(strategy, version.signature!),
      reason: `${moved.alias} moved to version ${version.number}.`,
    });
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    const reason = `${moved.alias} moved to version ${version.number}, which cannot be followed. ${error.message}`;
    return refused(tx, actor, deployment, { version, strategy, reason });
  }
}

/** @throws ValidationError */
function checkServable({ status, modelFile, signature, format }: VersionRow): void {
  if (status !== 'READY') throw ValidationError.of(['version'], 'a version that is READY', status);
  if (modelFile === null || !signature)
    throw ValidationError.of(
      ['version'],
      'a version that can be served, which ONNX models can',
      String(format),
    );
}
