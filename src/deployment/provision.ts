/** Provisioning and stopping, as the jobs do them. Safe to run twice and to be killed at any line. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Operation, Running } from '../operation/operation.ts';
import { isUnderWay } from '../operation/operation.queries.ts';
import { provisionJob } from './deployment.jobs.ts';
import type { Db } from '../platform/database.ts';
import { DomainError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { signal } from '../platform/process-identity.ts';
import type { ReplicaKeeper } from '../replica/keeper.ts';
import { lostCause } from '../replica/replica.state.ts';
import { drainReplicas, listReplicas, type ReplicaRow } from '../replica/replica.queries.ts';
import * as queries from './deployment.queries.ts';
import { readyOf } from './deployment.state.ts';
import { reconcile } from './reconcile.ts';
import { enter } from './transition.ts';

/** The version cannot be served on this host; its words are for the person who deployed it. */
class ProvisioningError extends DomainError {
  readonly code = 'PROVISIONING_FAILED';
}

const LOOK_MS = 50;

/** PENDING → PROVISIONING → LIVE: starts the wanted replicas and waits until all are ready. */
export async function provision(platform: Platform, keeper: ReplicaKeeper, running: Running): Promise<void> {
  const { operation, signal: cancelled } = running;
  const id = operation.subjectId;
  const deployment = await platform.database.db
    .transaction()
    .execute((tx) =>
      enter(tx, id, ['PENDING', 'PROVISIONING'], { state: 'PROVISIONING', stateReason: null }),
    );
  if (!deployment) return;
  announce(platform, operation);
  const arms = await queries.listArms(platform.db, [id]);
  await running.log(`Starting ${deployment.desiredReplicas * arms.length} replica(s).`);
  for (;;) {
    await reconcile(platform, id);
    keeper.hurry();
    const replicas = await listReplicas(platform.db, [id]);
    // It may be scaled meanwhile.
    const [now = deployment] = await queries.findDeployments(platform.db, [id]);
    const { ready, wanted } = readyOf(now.desiredReplicas, arms, replicas);
    running.progress(BigInt(ready), BigInt(wanted), stageOf(replicas));
    if (ready >= wanted) break;
    giveUpOn(replicas);
    await delay(LOOK_MS, undefined, { signal: cancelled });
  }
  await running.log('All replicas are ready.');
  await running.finish(async (tx) => {
    await enter(tx, id, ['PROVISIONING'], { state: 'LIVE', stateReason: null });
  });
  announce(platform, operation);
}

function announce(platform: Platform, about: { subjectId: string; projectId: string }): void {
  platform.announce('deployment', about.subjectId);
  platform.announce('ledger', about.projectId);
}

function stageOf(replicas: readonly ReplicaRow[]): string {
  const counts = new Map<string, number>();
  for (const { state } of replicas) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
}

/** @throws ProvisioningError when a replica will not come up. */
function giveUpOn(replicas: readonly ReplicaRow[]): void {
  const reason = lostCause(replicas);
  if (reason !== null)
    throw new ProvisioningError(reason, 'Undeploy it, mend the cause, and deploy it again.');
}

/** What a failed or cancelled provisioning leaves: a FAILED deployment with the reason, and no replica. */
export async function failProvisioning(
  platform: Platform,
  tx: Db,
  operation: Operation,
  reason: string,
): Promise<() => Promise<void>> {
  await drainReplicas(tx, operation.subjectId);
  const change = { state: 'FAILED', stateReason: reason } as const;
  await enter(tx, operation.subjectId, ['PENDING', 'PROVISIONING'], change);
  return async () => announce(platform, operation);
}

/** Whether no provisioning of the deployment runs any more, which could still add a replica. */
async function isProvisioned(platform: Platform, deploymentId: string): Promise<boolean> {
  return !(await isUnderWay(platform.db, deploymentId, provisionJob.name));
}

const DRAIN_MS = 30_000;

/** STOPPING → STOPPED: the replicas drain and end; one that does not is killed after half a minute. */
export async function stop(platform: Platform, keeper: ReplicaKeeper, running: Running): Promise<void> {
  const id = running.operation.subjectId;
  const until = Date.now() + DRAIN_MS;
  for (;;) {
    // Asked first: what a provisioning added before it ended is then seen below.
    const settled = await isProvisioned(platform, id);
    await drainReplicas(platform.db, id);
    keeper.hurry();
    const left = await listReplicas(platform.db, [id]);
    if (left.length === 0 && settled) break;
    running.progress(0n, BigInt(left.length), stageOf(left));
    if (Date.now() > until) killLocal(platform, left);
    await delay(LOOK_MS, undefined, { signal: running.signal });
  }
  await running.finish(async (tx) => {
    await enter(tx, id, ['STOPPING'], { state: 'STOPPED', stateReason: null });
  });
  announce(platform, running.operation);
}

function killLocal(platform: Platform, replicas: readonly ReplicaRow[]): void {
  for (const { hostId, pid, processStart } of replicas) {
    if (hostId !== platform.config.HOST_ID || pid === null || processStart === null) continue;
    signal({ pid, start: processStart }, 'SIGKILL');
  }
}
