/** The days of the log: each is a partition for every retention in use. They are made ahead and dropped whole. */
import { isLockTimeout } from '../platform/database.ts';
import type { Platform } from '../platform/platform.ts';
import * as queries from './partition.queries.ts';

const DAY_MS = 86_400_000;
const DAYS_AHEAD = 2;

/** What a row belongs to. */
export interface Place {
  readonly retentionDays: number;
  readonly at: Date;
}

const dayOf = (at: number): number => Math.floor(at / DAY_MS) * DAY_MS;
const parentOf = (retentionDays: number): string => `prediction_${retentionDays}`;

/** The partition of a row, by its retention and its day (UTC). */
export function partitionOf({ retentionDays, at }: Place): queries.Bounds {
  const from = dayOf(at.getTime());
  const parent = parentOf(retentionDays);
  const name = `${parent}_${new Date(from).toISOString().slice(0, 10).replaceAll('-', '')}`;
  return { name, parent, from: new Date(from), to: new Date(from + DAY_MS) };
}

/** Whether the last row that a partition may hold has stayed for its time. */
export function isOver(name: string, now: number): boolean {
  const [, days, year, month, day] = /^prediction_(\d+)_(\d{4})(\d\d)(\d\d)$/.exec(name) ?? [];
  if (days === undefined) return false;
  const end = Date.UTC(Number(year), Number(month) - 1, Number(day)) + DAY_MS;
  return end + Number(days) * DAY_MS <= now;
}

/** Makes the partitions of rows that found none. */
export async function addPartitions(
  platform: Pick<Platform, 'database'>,
  places: readonly Place[],
): Promise<void> {
  const wanted = new Map(places.map((place) => partitionOf(place)).map((bounds) => [bounds.name, bounds]));
  for (const bounds of wanted.values()) await queries.addPartition(platform.database, bounds);
}

/**
 * Makes the partitions of the next days and drops those whose time is over. One that cannot be locked at once is left to
 * the next time.
 */
export async function keepPartitions(platform: Platform, now = Date.now()): Promise<void> {
  const there = new Set(await queries.listPartitions(platform.db));
  const retentions = await queries.listRetentions(platform.db);
  const ahead = Array.from({ length: DAYS_AHEAD + 1 }, (_, day) => new Date(now + day * DAY_MS));
  const wanted = retentions.flatMap((retentionDays) => ahead.map((at) => partitionOf({ retentionDays, at })));
  for (const bounds of wanted) {
    if (!there.has(bounds.name))
      await tried(platform, bounds.name, () => queries.addPartition(platform.database, bounds));
  }
  for (const name of there) {
    if (isOver(name, now)) await tried(platform, name, () => queries.dropPartition(platform.database, name));
  }
}

async function tried({ logger }: Platform, partition: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    logger.debug({ partition }, 'the partition is in use; later');
  }
}
