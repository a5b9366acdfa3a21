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
import { collect } from './collect.ts';
import type { Evidence } from './evidence.ts';
import { evaluateGates } from './gate.evaluate.ts';
import { apply, machineOf, situationOf } from './machine.ts';
import { readOn, type Read } from './read.ts';
import * as queries from './rollout.queries.ts';
import { isBaked, look } from './rollout.state.ts';

/** Nobody else has looked for this long. */
const DUE_MS = 400;
/** Rollouts in one look; the rest is for the next. */
const BATCH = 200;
/** False alarms of a whole rollout without any difference, at most; its steps and gates share it (Bonferroni). */
const ALPHA = 0.05;
const MOST_EXAMPLES = 20;
const COMPLAIN_MS = 10_000;

type Claimed = queries.RolloutRow & { readonly now: Date };

/** One look at all rollouts that are due. @returns whether a deployment's replicas are wanted otherwise. */
export async function drive(platform: Platform): Promise<boolean> {
  const claimed = await queries.claimRollouts(platform.db, DUE_MS, BATCH);
  if (claimed.length === 0) return false;
  const looked = await judge(platform, claimed);
  const ids = [...new Set(looked.map(({ row }) => row.deploymentId))];
  const deployments = new Map((await findDeployments(platform.db, ids)).map((row) => [row.id, row]));
  const replicas = Map.groupBy(await listReplicas(platform.db, ids), (row) => row.deploymentId);
  let changed = false;
  for (const { row, isRead } of looked) {
    const deployment = deployments.get(row.deploymentId);
    if (!deployment) continue;
    const present = replicas.get(row.deploymentId) ?? [];
    const situation = situationOf(row, deployment, present, row.now.getTime(), isRead);
    if (!look(machineOf(row), situation)) continue;
    try {
      if (await moveOn(platform, row, isRead)) changed = true;
    } catch (error) {
      // It keeps no other waiting, and is looked at again.
      platform.logger.warn({ err: error, rollout: row.id }, 'a rollout could not be moved on yet');
    }
  }
  return changed;
}

/** Looks again with everything locked, and does what follows. @returns whether anything did. */
async function moveOn(
  platform: Platform,
  { id, projectId, deploymentId, revision }: Claimed,
  isRead: boolean,
): Promise<boolean> {
  const moved = await changing(platform, projectId, system, async (tx, append) => {
    const deployment = await lockDeployment(tx, deploymentId);
    const row = await queries.lockRollout(tx, id);
    if (!deployment || row?.revision !== revision) return undefined;
    const replicas: ReplicaRow[] = await listReplicas(tx, [deploymentId]);
    const now = (await queries.databaseNow(tx)).getTime();
    const move = look(machineOf(row), situationOf(row, deployment, replicas, now, isRead));
    return move ? apply(tx, append, deployment, row, move) : undefined;
  });
  if (!moved) return false;
  platform.announce('rollout', id);
  platform.announce('deployment', deploymentId);
  await reconcile(platform, deploymentId);
  return true;
}

// Evidence

/** A rollout as it is after its evidence was read. */
interface Looked {
  readonly row: Claimed;
  /** Whether all of it was: while Redis is away, or there is more than one look takes, it was not. */
  readonly isRead: boolean;
}

interface Judged extends Looked {
  /** null: nothing is new. */
  readonly reading: queries.Reading | null;
  /** Whether anybody can see a difference. */
  readonly isSeen: boolean;
}

/** Reads on for those that bake, and keeps what their gates say. */
async function judge(platform: Platform, claimed: readonly Claimed[]): Promise<Looked[]> {
  const [baking, others] = [
    claimed.filter(({ state }) => state === 'BAKING'),
    claimed.filter(({ state }) => state !== 'BAKING'),
  ];
  const looked: Looked[] = others.map((row) => ({ row, isRead: true }));
  if (baking.length === 0) return looked;
  let reads = new Map<string, Read>();
  try {
    reads = await readOn(platform, baking);
  } catch (error) {
    complain(platform, error, 'rollouts: Redis is away; what was seen before stays, and no step passes');
  }
  const judged = baking.map((row) => judgeOrLeave(platform, row, reads.get(row.id)));
  const kept = await keep(
    platform,
    judged.flatMap(({ reading }) => reading ?? []),
  );
  for (const { row, reading, isSeen, isRead } of judged) {
    // One that somebody else has read on, or moved, meanwhile is looked at the next time.
    if (reading && !kept.has(row.id)) continue;
    if (isSeen) platform.announce('rollout', row.id);
    looked.push({ row, isRead });
  }
  return looked;
}

/** All at once; where that fails, one by one, so that none keeps the others from it. @returns the ids of those kept. */
async function keep(platform: Platform, readings: readonly queries.Reading[]): Promise<Set<string>> {
  if (readings.length === 0) return new Set();
  try {
    return new Set(await queries.keepReadings(platform.db, readings, MOST_EXAMPLES));
  } catch (error) {
    if (readings.length === 1) {
      platform.logger.warn({ err: error, rollout: readings[0]!.id }, 'what a rollout saw could not be kept');
      return new Set();
    }
    const kept = new Set<string>();
    for (const reading of readings) for (const id of await keep(platform, [reading])) kept.add(id);
    return kept;
  }
}

/** One whose gates cannot be asked stays as it is, and can still be too late. */
function judgeOrLeave(platform: Platform, row: Claimed, read: Read | undefined): Judged {
  try {
    return judgeOne(row, read);
  } catch (error) {
    complain(platform, error, 'the gates of a rollout could not be asked');
    return { row, isRead: false, reading: null, isSeen: false };
  }
}

function judgeOne(row: Claimed, read: Read | undefined): Judged {
  const since = row.since.getTime();
  const isRead = read?.isWhole === true;
  const collected = read && collect(row.evidence, { ...row, since }, read.batches);
  const evidence = collected?.evidence ?? row.evidence;
  const baked = isRead && isBaked(machineOf(row), row.now.getTime());
  const alpha = ALPHA / (row.gates.length * row.steps.length);
  const { statuses, p } = evaluateGates(row.gates, evidence, { alpha, baked });
  const cursor = read?.cursor ?? row.cursor;
  const isSeen = collected !== undefined || !isDeepStrictEqual(statuses, row.gateStatuses);
  if (!isSeen && cursor === row.cursor) return { row, isRead, reading: null, isSeen };
  const seen: Evidence = { ...evidence, p };
  const steps = row.steps.map((step, index) =>
    index === row.step ? { ...step, samples: seen.candidate.requests } : step,
  );
  const { id, revision, cursor: from } = row;
  const agreement = collected?.agreement ?? [];
  return {
    row: { ...row, evidence: seen, gateStatuses: statuses, steps, cursor },
    isRead,
    reading: { id, revision, from, cursor, evidence: seen, statuses, steps, agreement },
    isSeen,
  };
}

let complained = 0;

/** What goes wrong twice a second is told once in a while. */
function complain({ logger }: Platform, error: unknown, what: string): void {
  if (Date.now() - complained < COMPLAIN_MS) return;
  complained = Date.now();
  logger.warn({ err: error }, what);
}
