/**
 * The place of a replica that is somebody else's server: its health is watched and its signature compared, which is all
 * that there is to do for it.
 */
import { checkReady, ExternalServerError, inspectServer } from '../inference/external-server.ts';
import { REPLICA_PROTOCOL_VERSION } from '../inference/replica-status.ts';
import type { Platform } from '../platform/platform.ts';
import * as queries from './replica.queries.ts';
import { restartOf } from './replica.state.ts';
import { findServed } from './served.queries.ts';

type Row = queries.ReplicaRow;

/** One look, as often as at replicas of our own. */
export async function lookAtExternal(
  platform: Platform,
  row: Row,
  onChange: (deploymentId: string) => Promise<void>,
): Promise<void> {
  const { db } = platform;
  if (row.state === 'DRAINING') {
    const ended = { state: 'EXITED', exitReason: row.ending ?? 'drained' } as const;
    if (await queries.changeReplica(db, row, ended)) await onChange(row.deploymentId);
    return;
  }
  if (row.nextRestartAt && row.nextRestartAt.getTime() > Date.now()) return;
  try {
    if (row.state === 'READY') return await checkStillReady(row.endpoint as string);
    if (await queries.changeReplica(db, row, await readyAt(platform, row))) await onChange(row.deploymentId);
  } catch (error) {
    if (!(error instanceof ExternalServerError)) throw error;
    await backOff(platform, row, error.message);
    await onChange(row.deploymentId);
  }
}

/** One that was ready is asked twice: it may have closed a connection just as that was used again, or been busy. */
async function checkStillReady(endpoint: string): Promise<void> {
  try {
    await checkReady(endpoint);
  } catch (error) {
    if (!(error instanceof ExternalServerError)) throw error;
    await checkReady(endpoint);
  }
}

/** The first look, and the first after it was away: another model may stand there now. */
async function readyAt(platform: Platform, row: Row) {
  const { endpoint, signature } = await findServed(platform.db, row.versionId, row.deploymentId);
  if (endpoint === null) throw new Error(`Deployment ${row.deploymentId} has no endpoint.`);
  const began = performance.now();
  const { binary } = await inspectServer(endpoint, signature);
  return {
    state: 'READY',
    endpoint,
    binaryTensors: binary,
    launch: row.launch + 1,
    protocolVersion: REPLICA_PROTOCOL_VERSION,
    loadMs: performance.now() - began,
    startedAt: row.startedAt ?? new Date(),
    readyAt: new Date(),
    nextRestartAt: null,
  } as const;
}

async function backOff(platform: Platform, row: Row, reason: string): Promise<void> {
  const restart = restartOf(row, Date.now());
  platform.logger.warn(
    { replica: row.id, reason, restarts: restart.restarts },
    'external server is not ready',
  );
  await queries.changeReplica(platform.db, row, {
    state: 'BACKING_OFF',
    ...restart,
    readyAt: null,
    exitReason: reason,
  });
}
