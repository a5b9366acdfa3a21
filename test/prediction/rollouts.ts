/** Rollouts as rows: what predictions make of them does not depend on who moves them. */
import { sql } from 'kysely';
import { openRedis, whenReady } from '#src/platform/redis.ts';
import { decodeBatch, shardOf, streamKey } from '#src/metric/stream.ts';
import { MetricWindow } from '#src/metric/window.ts';
import { newId } from '#src/platform/id.ts';
import { rowsOf } from '#test/fault/stack-facts.ts';
import { PROJECT, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn } from '#test/helpers/work.ts';

export interface RolledOut {
  /** The deployment, as the api names it, and its own. */
  readonly id: string;
  readonly deploymentId: string;
  readonly rolloutId: string;
  readonly arms: Readonly<Record<'stable' | 'candidate', string>>;
}

export interface RollOut {
  readonly name: string;
  readonly stable: string;
  readonly candidate: string;
  readonly weight: number;
  readonly role?: 'CANDIDATE' | 'SHADOW';
  readonly mirrorShare?: number;
  readonly step?: number;
  readonly invalidOutputs?: 'FAIL' | 'RETURN';
}

/**
 * Deploys two arms, the second of which is the candidate of a rollout that bakes before anybody can predict. No worker
 * moves it on: it was last looked at in a time that is still to come.
 */
export async function rollOut(stack: Stack, options: RollOut): Promise<RolledOut> {
  const { name, stable, candidate, weight, role = 'CANDIDATE', mirrorShare = 0, step = 0 } = options;
  const id = await createDeployment(stack, {
    project: PROJECT,
    name,
    invalidOutputs: options.invalidOutputs ?? 'FAIL',
    arms: [
      { name: 'stable', version: stable, weight: 1 - weight },
      { name: 'candidate', version: candidate, weight },
    ],
  });
  const rolloutId = newId();
  const arms = await rowsOf<{ id: string; name: 'stable' | 'candidate'; deploymentId: string }>(
    stack,
    sql`select a.id, a.name, a.deployment_id from arm a join deployment d on d.id = a.deployment_id where d.name = ${name}`,
  );
  const armId = (wanted: string): string => arms.find((arm) => arm.name === wanted)!.id;
  await rowsOf(
    stack,
    sql`insert into rollout
      (id, deployment_id, project_id, strategy, state, from_version_id, to_version_id, stable_arm_id, candidate_arm_id,
       weights_before, steps, step, gates, gate_statuses, mirror_share, timeout_seconds, started_at, since, deadline,
       evidence, by_name, by_kind, looked_at)
    select ${rolloutId}, d.id, d.project_id, ${role === 'SHADOW' ? 'SHADOW' : 'CANARY'}, 'BAKING', s.version_id,
      c.version_id, s.id, c.id, '[]', '[]', ${step}, '[{"metric": "DISAGREEMENT_RATE", "tolerance": null}]', '[]',
      ${mirrorShare}, 600, '2026-11-01T10:00:00Z', now(), now() + interval '1 hour', '{}', 'olga', 'TOKEN', '2100-01-01'
    from deployment d, arm s, arm c
    where d.name = ${name} and s.id = ${armId('stable')} and c.id = ${armId('candidate')}`,
  );
  await rowsOf(
    stack,
    sql`update arm set role = ${role}, rollout_id = ${rolloutId} where id = ${armId('candidate')}`,
  );
  // From its next change on, of which being LIVE is one, every api knows it.
  await deploymentIn(stack, id, 'LIVE');
  return {
    id,
    deploymentId: arms[0]!.deploymentId,
    rolloutId,
    arms: { stable: armId('stable'), candidate: armId('candidate') },
  };
}

/** What an arm's windows come to, as soon as that is as wanted. */
export async function counted(
  stack: Stack,
  deploymentId: string,
  armId: string,
  isWanted: (window: MetricWindow) => boolean,
): Promise<MetricWindow> {
  const redis = openRedis({ url: stack.redisUrl, mode: 'patient' });
  try {
    await whenReady(redis);
    const key = streamKey(stack.redisPrefix, shardOf(deploymentId));
    const total = new MetricWindow();
    for (let cursor = '0-0'; ;) {
      const reply = await redis.xread('BLOCK', 1_000, 'STREAMS', key, cursor);
      for (const [entry, fields] of reply?.[0]?.[1] ?? []) {
        cursor = entry;
        for (const { arm, window } of decodeBatch(fields).windows)
          if (arm.armId === armId) total.addAfter(window);
      }
      if (isWanted(total)) return total;
    }
  } finally {
    redis.disconnect();
  }
}

/** Pids of an arm's replicas. */
export async function pidsOf(stack: Stack, armId: string): Promise<number[]> {
  const rows = await rowsOf<{ pid: number }>(
    stack,
    sql`select pid from replica where arm_id = ${armId} and state = 'READY'`,
  );
  return rows.map(({ pid }) => pid);
}
