/** Reads on in the streams of metric windows, from where each rollout had come. */
import { decodeBatch, isAfter, shardOf, streamKey, type Batch } from '../metric/stream.ts';
import type { Platform } from '../platform/platform.ts';
import type { RolloutRow } from './rollout.queries.ts';

/** Batches behind a rollout's cursor, and the new cursor. */
export interface Read {
  readonly batches: readonly Batch[];
  readonly cursor: string;
  /** There is no more for now. */
  readonly isWhole: boolean;
}

/** Entries at a time, and most of a shard in one look; the rest is for the next. */
const COUNT = 500;
const MOST = 5_000;
/** How far the clocks of Redis and PostgreSQL may be apart: seconds of another step are left out by their own number. */
const SKEW_MS = 5_000;

type Entry = readonly [id: string, batch: Batch | undefined];

/** By rollout: what came since, as far as it is about its deployment. @throws Error when Redis is away. */
export async function readOn(platform: Platform, rows: readonly RolloutRow[]): Promise<Map<string, Read>> {
  const reads = new Map<string, Read>();
  const byShard = Map.groupBy(rows, (row) => shardOf(row.deploymentId));
  for (const [shard, watching] of byShard) {
    const from = new Map(watching.map((row) => [row, row.cursor ?? `${row.since.getTime() - SKEW_MS}-0`]));
    const first = [...from.values()].reduce((least, id) => (isAfter(least, id) ? id : least));
    const wanted = new Set(watching.map(({ deploymentId }) => deploymentId));
    const { entries, isWhole } = await entriesAfter(platform, shard, first, wanted);
    const last = entries.at(-1)?.[0] ?? first;
    for (const [row, cursor] of from) {
      const batches = entries.flatMap(([id, batch]) => (batch && isAfter(id, cursor) ? [batch] : []));
      reads.set(row.id, { batches, cursor: isAfter(last, cursor) ? last : cursor, isWhole });
    }
  }
  return reads;
}

async function entriesAfter(
  { redis, config, logger }: Platform,
  shard: number,
  after: string,
  wanted: ReadonlySet<string>,
): Promise<{ entries: Entry[]; isWhole: boolean }> {
  const entries: Entry[] = [];
  const key = streamKey(config.REDIS_PREFIX, shard);
  for (let from = after; entries.length < MOST; from = entries.at(-1)![0]) {
    const found = await redis.xrange(key, `(${from}`, '+', 'COUNT', COUNT);
    for (const [id, fields] of found) {
      try {
        entries.push([id, decodeBatch(fields, wanted)]);
      } catch (error) {
        logger.debug({ err: error, id }, 'rollouts: an entry that is not understood');
        entries.push([id, undefined]);
      }
    }
    if (found.length < COUNT) return { entries, isWhole: true };
  }
  return { entries, isWhole: false };
}
