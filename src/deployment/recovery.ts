/** Replicas of a host from which nothing is heard: given up, so that others take their place. */
import type { Platform } from '../platform/platform.ts';
import { observe } from './observe.ts';
import { giveUpReplica, listLostReplicas } from '../replica/replica.queries.ts';

/**
 * Twice what lets a replica end itself whose worker is gone. A worker that is only cut off from the database keeps its
 * own: more of them than wanted for a while, rather than none.
 */
const SILENCE_FACTOR = 2;

/** @returns how many were given up. */
export async function recoverLostReplicas(platform: Platform): Promise<number> {
  const silence = platform.config.REPLICA_LEASE_SECONDS * SILENCE_FACTOR;
  const lost = await listLostReplicas(platform.db, silence, 100);
  for (const replica of lost) {
    if (replica.hostId === platform.config.HOST_ID) continue;
    const reason = `Host ${replica.hostId} has not been heard of for ${silence} s.`;
    if (!(await giveUpReplica(platform.db, replica.id, silence, reason))) continue;
    platform.logger.warn({ replica: replica.id, host: replica.hostId }, 'replica of a lost host given up');
    await observe(platform, replica.deploymentId);
  }
  return lost.length;
}
