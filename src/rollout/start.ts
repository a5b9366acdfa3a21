/** Beginning a rollout. */
import type { Actor, Viewer } from '../access/access.ts';
import { requireRole } from '../access/access.ts';
import { deploymentEvent } from '../deployment/deployment.events.ts';
import * as deployments from '../deployment/deployment.queries.ts';
import { answers, stableOf } from '../deployment/deployment.state.ts';
import { resolveDeployment } from '../deployment/deployment.ts';
import { reconcile } from '../deployment/reconcile.ts';
import { checkCompatible, holdUnarchived, servable } from '../deployment/servable.ts';
import { appendTo, changing, type Append } from '../ledger/ledger.ts';
import type { Db } from '../platform/database.ts';
import type { RolloutStrategy } from '../platform/database.types.ts';
import { ConflictError, ValidationError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { findProjects } from '../project/project.queries.ts';
import type { Signature } from '../signature/signature.ts';
import { resolveVersion } from '../version/resolve.ts';
import { findVersions } from '../version/version.queries.ts';
import type { VersionRow } from '../version/version.row.ts';
import { emptyEvidence } from './evidence.ts';
import { checkGates } from './gate.check.ts';
import { defaultGates } from './gate.defaults.ts';
import type { Gate } from './gate.ts';
import { told } from './machine.ts';
import { planRollout, type GivenPlan, type Plan } from './plan.ts';
import * as queries from './rollout.queries.ts';

export interface StartRollout extends GivenPlan {
  readonly deployment: string;
  /** A reference to the version that shall answer. */
  readonly version: string;
  /** null: the deployment's own. */
  readonly strategy: RolloutStrategy | null;
  /** null: those of the strategy. */
  readonly gates: readonly Gate[] | null;
  /** A reference to the version that is believed to answer now; null: whichever does. */
  readonly expectedVersion: string | null;
  /** Whether a version that the deployment has run before may take less than the present one. */
  readonly goesBack?: boolean;
}

/**
 * Begins to move a deployment to another version; it is PENDING when this returns, and a worker takes it on.
 * @throws NotFoundError, ForbiddenError (needs OPERATOR), NotReadyError (the version is not READY), ValidationError,
 * ConflictError (another rollout runs, the deployment does not answer, or another version does than is believed).
 */
export async function startRollout(
  platform: Platform,
  viewer: Viewer,
  input: StartRollout,
): Promise<queries.RolloutRow> {
  const deployment = await resolveDeployment(platform, viewer, ['deployment'], input.deployment);
  requireRole(viewer, deployment.projectId, 'OPERATOR', `Deployment ${deployment.name}`);
  const [project] = await findProjects(platform.db, [deployment.projectId]);
  const version = await servable(platform, viewer, project!, ['version'], input.version);
  const expected =
    input.expectedVersion === null
      ? null
      : await resolveVersion(platform, viewer, ['expectedVersion'], input.expectedVersion, project);
  const strategy = input.strategy ?? deployment.defaultStrategy;
  const plan = planRollout(strategy, input);
  const signature = version.signature!;
  const { mirrorShare } = plan;
  const gates = input.gates ?? defaultGates(strategy, signature, mirrorShare);
  checkGates(gates, { strategy, signature, mirrorShare, hasOutcomes: false }, ['gates']);
  const rollout = await changing(platform, deployment.projectId, viewer, (tx, append) =>
    begin(tx, append, viewer, {
      deploymentId: deployment.id,
      version,
      expectedId: expected?.id ?? null,
      strategy,
      plan,
      gates,
      goesBack: input.goesBack === true,
    }),
  );
  await announce(platform, rollout);
  return rollout;
}

/** Tells everybody, and has the candidate's replicas added. */
export async function announce(platform: Platform, { id, deploymentId }: queries.RolloutRow): Promise<void> {
  platform.announce('rollout', id);
  platform.announce('deployment', deploymentId);
  // What was done is done: the workers look at it by themselves.
  await reconcile(platform, deploymentId).catch((error: unknown) => {
    platform.logger.warn({ err: error, rollout: id }, 'replicas are added by a worker');
  });
}

export interface Beginning {
  readonly deploymentId: string;
  readonly version: VersionRow;
  readonly expectedId: string | null;
  readonly strategy: RolloutStrategy;
  readonly plan: Plan;
  readonly gates: readonly Gate[];
  /** Why, where nobody asked for it. */
  readonly reason?: string;
  readonly goesBack?: boolean;
}

/** The rollout and the arm that it brings, in one transaction. @throws as startRollout */
export async function begin(
  tx: Db,
  append: Append,
  actor: Actor,
  { deploymentId, version, expectedId, strategy, plan, gates, reason, goesBack }: Beginning,
): Promise<queries.RolloutRow> {
  await holdUnarchived(tx, version);
  const deployment = await deployments.lockDeployment(tx, deploymentId);
  const stable = await stableArm(tx, deployment, expectedId);
  const isKnown = goesBack === true && (await deployments.hasServed(tx, deploymentId, version.id));
  const expected = 'a version that takes and answers what the present one does';
  if (!isKnown) checkCompatible(stable.signature, version.signature, ['version'], expected);
  const now = await queries.databaseNow(tx);
  const id = newId();
  const rollout = await queries.insertRollout(tx, {
    id,
    deploymentId,
    projectId: version.projectId,
    strategy,
    state: 'PENDING',
    fromVersionId: stable.versionId,
    toVersionId: version.id,
    stableArmId: stable.armId,
    weightsBefore: JSON.stringify(stable.weights),
    steps: JSON.stringify(plan.steps),
    gates: JSON.stringify(gates),
    gateStatuses: '[]',
    mirrorShare: plan.mirrorShare,
    goesBack: goesBack === true,
    timeoutSeconds: plan.timeoutSeconds,
    startedAt: now,
    since: now,
    deadline: new Date(now.getTime() + plan.timeoutSeconds * 1000),
    evidence: JSON.stringify(emptyEvidence(gates.length)),
    reason: reason ?? null,
    byName: actor.name,
    byKind: actor.kind,
  });
  const armId = newId();
  await deployments.insertArm(tx, {
    id: armId,
    deploymentId,
    versionId: version.id,
    name: freeName(version.number, stable.names),
    role: strategy === 'SHADOW' ? 'SHADOW' : 'CANDIDATE',
    weight: 0,
    shares: '[]',
    rolloutId: id,
  });
  await deployments.touchDeployment(tx, deploymentId);
  const begun = await queries.changeRollout(tx, rollout.id, { candidateArmId: armId });
  const event = await deploymentEvent(tx, 'ROLLOUT_STARTED', deployment!);
  const { at } = await append({ ...event, data: { ...event.data, rollout: await told(tx, begun) } });
  // It is there at the time of the event that tells of it.
  return queries.changeRollout(tx, rollout.id, { startedAt: at });
}

interface Stable {
  readonly armId: string;
  readonly versionId: string;
  readonly signature: Signature | null;
  readonly names: readonly string[];
  readonly weights: readonly { readonly armId: string; readonly weight: number }[];
}

/** What answers now. @throws ConflictError where nothing does, or something else is believed to, or a rollout runs. */
async function stableArm(
  tx: Db,
  deployment: deployments.DeploymentRow | undefined,
  expectedId: string | null,
): Promise<Stable> {
  if (!deployment || !answers(deployment.state)) {
    const state = deployment?.state ?? 'STOPPED';
    const message = `The deployment is ${state}; one that is LIVE or DEGRADED can be moved to another version.`;
    throw new ConflictError(message, state, 'Watch subscription deployment(id) until it is LIVE.');
  }
  if (deployment.target === 'EXTERNAL') {
    throw ValidationError.of(['deployment'], 'a deployment on LOCAL replicas', 'an EXTERNAL one', {
      hint: 'What answers there is up to its server.',
    });
  }
  const [running] = await queries.listRunning(tx, [deployment.id]);
  if (running) {
    const hint = 'Wait for it, or call promoteRollout, abortRollout or rollBack first.';
    throw new ConflictError(
      `Another rollout of ${deployment.name} is ${running.state}.`,
      running.state,
      hint,
    );
  }
  const arms = await deployments.listArms(tx, [deployment.id]);
  const stable = stableOf(arms)!;
  const [version] = await findVersions(tx, [stable.versionId]);
  if (stable.weight === 0) {
    const message = `Arm ${stable.name} of ${deployment.name}, its stable one, has no traffic: nothing could be compared with it.`;
    throw new ConflictError(message, '0', 'Give it a share with scale.');
  }
  if (expectedId !== null && expectedId !== stable.versionId) {
    const found = String(version?.number);
    throw new ConflictError(
      `${deployment.name} is served by version ${found}; another one was expected.`,
      found,
    );
  }
  return {
    armId: stable.id,
    versionId: stable.versionId,
    signature: version?.signature ?? null,
    names: arms.map(({ name }) => name),
    weights: arms.map(({ id, weight }) => ({ armId: id, weight })),
  };
}

/** `v3`, or `v3-b` where another arm is called so. */
function freeName(number: number, taken: readonly string[]): string {
  const name = `v${number}`;
  for (let more = 0; ; more++) {
    const tried = more === 0 ? name : `${name}-${String.fromCodePoint(97 + more)}`;
    if (!taken.includes(tried)) return tried;
  }
}

/** A rollout that could not even begin, kept so that somebody learns of it. */
export async function refused(
  tx: Db,
  actor: Actor,
  deployment: deployments.DeploymentRow,
  { version, strategy, reason }: { version: VersionRow; strategy: RolloutStrategy; reason: string },
): Promise<queries.RolloutRow> {
  const arms = await deployments.listArms(tx, [deployment.id]);
  const stable = stableOf(arms)!;
  const now = await queries.databaseNow(tx);
  const rollout = await queries.insertRollout(tx, {
    id: newId(),
    deploymentId: deployment.id,
    projectId: deployment.projectId,
    strategy,
    state: 'FAILED',
    fromVersionId: stable.versionId,
    toVersionId: version.id,
    stableArmId: stable.id,
    weightsBefore: JSON.stringify(arms.map(({ id, weight }) => ({ armId: id, weight }))),
    steps: '[]',
    gates: '[]',
    gateStatuses: '[]',
    mirrorShare: 0,
    timeoutSeconds: 0,
    startedAt: now,
    since: now,
    deadline: now,
    finishedAt: now,
    reason,
    evidence: JSON.stringify(emptyEvidence(0)),
    byName: actor.name,
    byKind: actor.kind,
  });
  const event = await deploymentEvent(tx, 'ROLLOUT_FAILED', deployment);
  await appendTo(
    tx,
    deployment.projectId,
    actor,
  )({ ...event, data: { ...event.data, rollout: await told(tx, rollout) } });
  return rollout;
}
