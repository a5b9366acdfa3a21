/**
 * Looks at the rollouts that run and moves them on. Level-triggered, as the reconciler is: what each has seen and how far
 * it has come are in its row, so whoever looks goes on from there, and a look that was lost is made up for by the next.
 */
import { isDeepStrictEqual } from 'node:util';
import { findDeployments, lockDeployment } from '../deployment/deployment.queries.ts';
import { reconcile } from '../deployment/reconcile.ts';
import { changing, system } from '../ledger/ledger.ts';
import type { Platform } from '../platform/platform.ts';
import { listReplicas, type ReplicaRow } from '../replica/replica.queries.ts';
import { collect, type MinuteOfAgreement } from './collect.ts';
import type { Evidence } from './evidence.ts';
import { evaluateGates } from './gate.evaluate.ts';
import type { GateStatus } from './gate.ts';
import { apply, machineOf, situationOf } from './machine.ts';
import { readOn, type Read } from './read.ts';
import * as queries from './rollout.queries.ts';
import { isBaked, look } from './rollout.state.ts';

/** Nobody else has looked for this long. */
const DUE_MS = 400;
/** Rollouts in one look; the rest is for the next. */
const BATCH = 200;
/** False alarms of a whole rollout without any difference, at most; its steps and gates share it (Bonferroni). */
export const ALPHA = 0.05;
const MOST_EXAMPLES = 20;

type Claimed = queries.RolloutRow & { readonly now: Date };

/** One look at all rollouts that are due. @returns whether a deployment's replicas are wanted otherwise. */
export async function drive(platform: Platform): Promise<boolean> {
  const claimed = await queries.claimRollouts(platform.db, DUE_MS, BATCH);
  if (claimed.length === 0) return false;
  const rows = await judge(platform, claimed);
  const ids = [...new Set(rows.map(({ deploymentId }) => deploymentId))];
  const deployments = new Map((await findDeployments(platform.db, ids)).map((row) => [row.id, row]));
  const replicas = Map.groupBy(await listReplicas(platform.db, ids), (row) => row.deploymentId);
  let changed = false;
  for (const row of rows) {
    const deployment = deployments.get(row.deploymentId);
    if (!deployment) continue;
    const situation = situationOf(row, deployment, replicas.get(row.deploymentId) ?? [], row.now.getTime());
    if (look(machineOf(row), situation) && (await moveOn(platform, row))) changed = true;
  }
  return changed;
}

/** Looks again with everything locked, and does what follows. @returns whether anything did. */
async function moveOn(
  platform: Platform,
  { id, projectId, deploymentId, revision }: Claimed,
): Promise<boolean> {
  const moved = await changing(platform, projectId, system, async (tx, append) => {
    const deployment = await lockDeployment(tx, deploymentId);
    const row = await queries.lockRollout(tx, id);
    if (!deployment || row?.revision !== revision) return undefined;
    const replicas: ReplicaRow[] = await listReplicas(tx, [deploymentId]);
    const now = (await queries.databaseNow(tx)).getTime();
    const move = look(machineOf(row), situationOf(row, deployment, replicas, now));
    return move ? apply(tx, append, deployment, row, move) : undefined;
  });
  if (!moved) return false;
  platform.announce('rollout', id);
  platform.announce('deployment', deploymentId);
  await reconcile(platform, deploymentId);
  return true;
}

// Evidence

interface Judged {
  readonly row: Claimed;
  readonly reading: queries.Reading;
}

/** Reads on for those that bake, and keeps what their gates say; the rows as they are then. */
async function judge(platform: Platform, claimed: readonly Claimed[]): Promise<Claimed[]> {
  const baking = claimed.filter(({ state }) => state === 'BAKING');
  if (baking.length === 0) return [...claimed];
  let reads = new Map<string, Read>();
  try {
    reads = await readOn(platform, baking);
  } catch (error) {
    platform.logger.debug({ err: error }, 'rollouts: Redis is away; what was seen before stays');
  }
  const judged = baking.flatMap((row) => judgeOne(row, reads.get(row.id)) ?? []);
  const readings = judged.map(({ reading }) => reading);
  const kept = new Set(
    readings.length > 0 ? await queries.keepReadings(platform.db, readings, MOST_EXAMPLES) : [],
  );
  for (const id of kept) platform.announce('rollout', id);
  const now = new Map(judged.map(({ row }) => [row.id, row]));
  // One that somebody else has read on, or moved, meanwhile is looked at the next time.
  return claimed.filter(({ id }) => !now.has(id) || kept.has(id)).map((row) => now.get(row.id) ?? row);
}

/** null: nothing new. */
function judgeOne(row: Claimed, read: Read | undefined): Judged | null {
  const since = row.since.getTime();
  const collected = read && collect(row.evidence, { ...row, since }, read.batches);
  const evidence = collected?.evidence ?? row.evidence;
  const baked = isBaked(machineOf(row), row.now.getTime());
  const alpha = ALPHA / (row.gates.length * row.steps.length);
  const { statuses, p } = evaluateGates(row.gates, evidence, { alpha, baked });
  const cursor = read?.cursor ?? row.cursor;
  if (!collected && cursor === row.cursor && isDeepStrictEqual(statuses, row.gateStatuses)) return null;
  const seen: Evidence = { ...evidence, p };
  const steps = row.steps.map((step, index) =>
    index === row.step ? { ...step, samples: seen.candidate.requests } : step,
  );
  return {
    row: { ...row, evidence: seen, gateStatuses: statuses, steps, cursor },
    reading: readingOf(row, seen, statuses, steps, cursor, collected?.agreement ?? []),
  };
}

function readingOf(
  row: Claimed,
  evidence: Evidence,
  statuses: readonly GateStatus[],
  steps: Claimed['steps'],
  cursor: string | null,
  agreement: readonly MinuteOfAgreement[],
): queries.Reading {
  const { id, revision, cursor: from } = row;
  return { id, revision, from, cursor, evidence, statuses, steps, agreement };
}
