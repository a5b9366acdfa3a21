/** Rollouts: moving a deployment from one version to another, watched and taken back where the new one is worse. */
import { may, requireRole, type Viewer } from '../access/access.ts';
import * as deployments from '../deployment/deployment.queries.ts';
import { resolveDeployment } from '../deployment/deployment.ts';
import { changing } from '../ledger/ledger.ts';
import { shown } from '../name/name.ts';
import { toPage, toPageRequest, type Page, type PageArgs } from '../paging/paging.ts';
import { ConflictError, NotFoundError, ValidationError } from '../platform/errors.ts';
import { isId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { listReplicas } from '../replica/replica.queries.ts';
import { findProjects } from '../project/project.queries.ts';
import { resolveVersion } from '../version/resolve.ts';
import { stableOf } from '../deployment/deployment.state.ts';
import { goingBackGates } from './gate.defaults.ts';
import { apply, machineOf, situationOf } from './machine.ts';
import * as queries from './rollout.queries.ts';
import { obey, verbsOf, type Verb } from './rollout.state.ts';
import { announce, startRollout } from './start.ts';

export type Rollout = queries.RolloutRow;

/** @throws NotFoundError when it does not exist for the viewer. */
export async function getRollout(platform: Platform, viewer: Viewer, id: string): Promise<Rollout> {
  const [rollout] = isId(id) ? await queries.findRollouts(platform.db, [id]) : [];
  if (!rollout || !may(viewer, rollout.projectId, 'READER')) throw new NotFoundError(`Rollout ${shown(id)}`);
  return rollout;
}

/**
 * The rollout that a reference means: its id, or `project/name` of a deployment for the one that runs there, else the last.
 * @throws ValidationError when it is neither, NotFoundError when there is none for the viewer.
 */
export async function resolveRollout(
  platform: Platform,
  viewer: Viewer,
  path: readonly string[],
  ref: string,
): Promise<Rollout> {
  if (isId(ref)) return getRollout(platform, viewer, ref);
  const { id } = await resolveDeployment(platform, viewer, path, ref);
  const [running] = await queries.listRunning(platform.db, [id]);
  const [last] = running
    ? [running]
    : await queries.listRollouts(platform.db, id, { first: 0, after: undefined });
  if (!last) throw new NotFoundError(`Rollout of deployment ${ref}`, 'Begin one with startRollout.');
  return last;
}

/** A page of a deployment's rollouts, newest first. */
export async function listRollouts(
  platform: Platform,
  deploymentId: string,
  args: PageArgs,
): Promise<Page<Rollout>> {
  const request = toPageRequest(args, 1);
  const id = request.after?.[0];
  if (id !== undefined && !isId(id))
    throw ValidationError.of(['after'], 'a cursor of this connection', 'something else');
  return toPage(await queries.listRollouts(platform.db, deploymentId, request), request);
}

/**
 * Pauses, resumes, promotes, aborts or rolls back a rollout; it has been done when this returns.
 * @throws NotFoundError, ForbiddenError (needs OPERATOR), ConflictError with the state and what is allowed in it.
 */
export async function steer(platform: Platform, viewer: Viewer, ref: string, verb: Verb): Promise<Rollout> {
  const { id, deploymentId, projectId } = await resolveRollout(platform, viewer, ['rollout'], ref);
  requireRole(viewer, projectId, 'OPERATOR', 'The rollout');
  const changed = await changing(platform, projectId, viewer, async (tx, append) => {
    const deployment = await deployments.lockDeployment(tx, deploymentId);
    const row = await queries.lockRollout(tx, id);
    if (!deployment || !row) throw new NotFoundError('Rollout');
    const now = (await queries.databaseNow(tx)).getTime();
    const situation = situationOf(row, deployment, await listReplicas(tx, [deploymentId]), now, false);
    const move = obey(machineOf(row), verb, situation, viewer.name);
    if (!move) throw refusal(row, verb, situation);
    return apply(tx, append, deployment, row, move);
  });
  await announce(platform, changed);
  return changed;
}

function refusal(
  row: Rollout,
  verb: Verb,
  { ready, wanted }: { ready: number; wanted: number },
): ConflictError {
  const state = row.pausedAt === null ? row.state : `${row.state}, paused`;
  const verbs = verbsOf(machineOf(row));
  if (verbs.includes(verb)) {
    const message = `${ready} of ${wanted} replicas of the candidate are ready: it cannot take all of the traffic.`;
    return new ConflictError(message, state, 'Watch subscription rollout(id) until they are.');
  }
  const allowed =
    verbs.length === 0 ? 'Nothing can be done to it any more.' : `Allowed now: ${verbs.join(', ')}.`;
  return new ConflictError(`The rollout is ${state}; ${verb} is not possible.`, state, allowed);
}

/** A roll-back has to be quick: the version has answered before. */
const BAKE_SECONDS = 30;

/**
 * Goes back to an earlier version. While a rollout runs, that is taken back; else the version that answered before the last
 * rollout, or `to`, is brought back with all of the traffic at once. One that has answered here before may take less than
 * the present one does: being able to go back is worth more than what callers have begun to send since.
 * @throws NotFoundError, ForbiddenError (needs OPERATOR), ConflictError, and as startRollout.
 */
export async function rollBack(
  platform: Platform,
  viewer: Viewer,
  input: { readonly deployment: string; readonly to: string | null },
): Promise<Rollout> {
  const deployment = await resolveDeployment(platform, viewer, ['deployment'], input.deployment);
  requireRole(viewer, deployment.projectId, 'OPERATOR', `Deployment ${deployment.name}`);
  const [running] = await queries.listRunning(platform.db, [deployment.id]);
  // Asked again: it is on its way already.
  if (running?.goesBack === true && (await isOnItsWay(platform, viewer, deployment, running, input.to)))
    return running;
  if (running && input.to !== null) {
    const message = `A rollout of ${deployment.name} is ${running.state}: it can only be taken back as a whole.`;
    throw new ConflictError(
      message,
      running.state,
      'Call rollBack without `to`, wait until it has ended, and call again.',
    );
  }
  if (running) return steer(platform, viewer, running.id, 'rollBack');
  return startRollout(platform, viewer, {
    deployment: deployment.id,
    version: input.to ?? (await versionBefore(platform, deployment)),
    strategy: 'ALL_AT_ONCE',
    steps: [{ weight: 1, bakeSeconds: BAKE_SECONDS }],
    gates: goingBackGates(),
    expectedVersion: null,
    goesBack: true,
  });
}

/** Whether a roll-back that runs leads where the caller wants to go. */
async function isOnItsWay(
  platform: Platform,
  viewer: Viewer,
  { projectId }: deployments.DeploymentRow,
  { toVersionId }: Rollout,
  to: string | null,
): Promise<boolean> {
  if (to === null) return true;
  const [project] = await findProjects(platform.db, [projectId]);
  return (await resolveVersion(platform, viewer, ['to'], to, project)).id === toVersionId;
}

/** @throws ConflictError where none did, or it answers already. */
async function versionBefore(platform: Platform, { id, name }: deployments.DeploymentRow): Promise<string> {
  const last = await queries.findLastForward(platform.db, id);
  const stable = stableOf(await deployments.listArms(platform.db, [id]));
  if (last && last.fromVersionId !== stable?.versionId) return last.fromVersionId;
  if (last)
    throw new ConflictError(
      `${name} is back already at what answered before.`,
      null,
      'Name the version that shall answer in `to`.',
    );
  throw new ConflictError(
    `${name} has been served by no other version.`,
    null,
    'Name the version that shall answer in `to`.',
  );
}
