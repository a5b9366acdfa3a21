/**
 * What has to be done so that an arm has the replicas that are wanted of it: never fewer that answer than now, unless
 * fewer are wanted; at most one more than wanted while replicas are replaced. Pure.
 */
import type { ReplicaState } from '../platform/database.types.ts';

/** Replicas beside the wanted ones while they are replaced one after the other. */
const SURGE = 1;

export interface Wanted {
  readonly replicas: number;
  /** Replicas of another one are replaced. */
  readonly spec: number;
}

/** A replica that has not ended. */
export interface Present {
  readonly id: string;
  /** Its place among the arm's replicas; no two that have not ended share one. */
  readonly ordinal: number;
  readonly spec: number;
  readonly state: ReplicaState;
}

export interface Plan {
  /** Places to fill. */
  readonly add: readonly number[];
  /** Replicas that shall finish and end. */
  readonly drain: readonly string[];
}

export function planArm(wanted: Wanted, present: readonly Present[]): Plan {
  const active = present.filter(({ state }) => state !== 'DRAINING' && state !== 'EXITED');
  const current = active.filter(({ spec }) => spec === wanted.spec);
  const old = active.filter(({ spec }) => spec !== wanted.spec);
  const drain = [...surplus(current, wanted.replicas), ...replaced(wanted.replicas, current, old)];
  const left = active.length - drain.length;
  const count = Math.min(wanted.replicas - current.length, wanted.replicas + SURGE - left);
  return { add: freeOrdinals(present, Math.max(0, count)), drain: drain.map(({ id }) => id) };
}

const isReady = ({ state }: Present): boolean => state === 'READY';

/** Of more than are wanted: those that do not answer first, then the highest places. */
function surplus(current: readonly Present[], wanted: number): Present[] {
  const byUse = current.toSorted((a, b) => Number(isReady(a)) - Number(isReady(b)) || b.ordinal - a.ordinal);
  return byUse.slice(0, Math.max(0, current.length - wanted));
}

/** Old ones that do not answer are of no use; those that do may go as others take their place. */
function replaced(wanted: number, current: readonly Present[], old: readonly Present[]): Present[] {
  const useless = old.filter((replica) => !isReady(replica));
  const answering = old.filter(isReady);
  const spare = Math.min(current.length, wanted, current.filter(isReady).length) + answering.length - wanted;
  return [...useless, ...answering.slice(0, Math.max(0, spare))];
}

function freeOrdinals(present: readonly Present[], count: number): number[] {
  const taken = new Set(present.filter(({ state }) => state !== 'EXITED').map(({ ordinal }) => ordinal));
  const free: number[] = [];
  for (let ordinal = 0; free.length < count; ordinal++) if (!taken.has(ordinal)) free.push(ordinal);
  return free;
}
