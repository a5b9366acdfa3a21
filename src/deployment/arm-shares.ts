/**
 * Which arm a routing key belongs to. The keys are spread over 1,000,000 places; each arm has as many of them as its
 * weight says. When weights change, an arm that shrinks gives up places and one that grows takes those: every other
 * place stays where it is, so a key moves only when its own arm's share has shrunk past it. Pure.
 */
import { hash } from 'node:crypto';

/** Places `from` up to but without `to`. An arm's own stand in the order in which it got them: the last go first. */
export type Share = readonly [from: number, to: number];

export const PLACES = 1_000_000;

export interface Weighed {
  /** A part of 1, from 0 to 1; all arms' weights add up to 1. */
  readonly weight: number;
  readonly shares: readonly Share[];
}

/** The place of a key: evenly spread, and another one in every deployment. */
export function placeOf(deploymentId: string, key: string): number {
  const bits = hash('sha1', `${deploymentId}\n${key}`, 'buffer').readUIntBE(0, 6);
  return Math.floor((bits / 2 ** 48) * PLACES);
}

/** The new shares of each arm, in their order, changed as little as its weights allow. */
export function reshare(arms: readonly Weighed[]): Share[][] {
  const quotas = quotasOf(arms.map(({ weight }) => weight));
  const kept = arms.map(({ shares }, index) => firstPlaces(shares, quotas[index]!));
  const free = gaps(kept.flat());
  return kept.map((shares, index) => joined([...shares, ...take(free, quotas[index]! - size(shares))]));
}

/** Places for each weight: whole numbers that add up to all of them, by the largest remainders. */
function quotasOf(weights: readonly number[]): number[] {
  const exact = weights.map((weight) => weight * PLACES);
  const quotas = exact.map(Math.floor);
  const byRemainder = exact
    .map((value, index) => ({ index, remainder: value - Math.floor(value) }))
    .toSorted((a, b) => b.remainder - a.remainder || a.index - b.index);
  const left = PLACES - quotas.reduce((sum, quota) => sum + quota, 0);
  for (let turn = 0; turn < left; turn++) quotas[byRemainder[turn % byRemainder.length]!.index]! += 1;
  return quotas;
}

const size = (shares: readonly Share[]): number => shares.reduce((sum, [from, to]) => sum + to - from, 0);

/** At most `count` of an arm's places: those that it has had longest. */
function firstPlaces(shares: readonly Share[], count: number): Share[] {
  const first: Share[] = [];
  let left = count;
  for (const [from, to] of shares) {
    if (left <= 0) break;
    first.push([from, Math.min(to, from + left)]);
    left -= to - from;
  }
  return first;
}

/** Places that no share holds. */
function gaps(shares: readonly Share[]): [number, number][] {
  const free: [number, number][] = [];
  let at = 0;
  for (const [from, to] of shares.toSorted((a, b) => a[0] - b[0])) {
    if (from > at) free.push([at, from]);
    at = Math.max(at, to);
  }
  if (at < PLACES) free.push([at, PLACES]);
  return free;
}

/** Takes `count` places off the free ones. */
function take(free: [number, number][], count: number): Share[] {
  const taken: Share[] = [];
  let left = count;
  while (left > 0) {
    const range = free[0]!;
    const to = Math.min(range[1], range[0] + left);
    taken.push([range[0], to]);
    left -= to - range[0];
    if (to === range[1]) free.shift();
    else range[0] = to;
  }
  return taken;
}

/** In their order, with neighbours made one. */
function joined(shares: readonly Share[]): Share[] {
  const all: [number, number][] = [];
  for (const [from, to] of shares) {
    const last = all.at(-1);
    if (last && last[1] === from) last[1] = to;
    else all.push([from, to]);
  }
  return all;
}
