/**
 * How windows travel through Redis: a fixed number of streams (shards), one entry per writer and second in each.
 *
 * A writer is one process since its boot. Its entries in a shard are numbered without gaps, also those that could
 * not be written, so that a reader sees what it missed. A writer that had nothing to tell for a while says so in
 * its last entry (`idle`); until then it writes every second, even an empty entry.
 */
import { MetricWindow, type Arm } from './window.ts';

export const SHARDS = 4;
/** Entries a shard keeps, about: more than ten minutes of twenty busy writers. */
export const STREAM_LENGTH = 20_000;

/** Key of a shard. The braces are a hash tag: a shard lives in one slot of a Redis Cluster. */
export function streamKey(prefix: string, shard: number): string {
  return `${prefix}:windows:{${shard}}`;
}

/** The shard of a deployment: FNV-1a over its id. */
export function shardOf(deploymentId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < deploymentId.length; i++) {
    hash = Math.imul(hash ^ deploymentId.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0) % SHARDS;
}

export interface ArmWindow {
  readonly arm: Arm;
  readonly window: MetricWindow;
}

/** One entry: all windows of one writer in one shard for one second. */
export interface Batch {
  readonly writer: string;
  /** Counts the writer's batches in this shard, from 1. */
  readonly sequence: number;
  /** The second, in seconds since 1970. */
  readonly second: number;
  /** The writer pauses: nothing is missing until its next batch. */
  readonly idle: boolean;
  readonly windows: readonly ArmWindow[];
}

const optional = <T>(cell: T | undefined): T[] => (cell === undefined ? [] : [cell]);

/** Fields and values of the stream entry. */
export function encodeBatch(batch: Batch): string[] {
  const windows = batch.windows.map(({ arm, window }) => [
    arm.deploymentId,
    arm.armId,
    arm.armName,
    window.encode(),
    // Older readers leave it unread.
    ...optional(window.encodeTally()),
  ]);
  const fields = {
    writer: batch.writer,
    sequence: String(batch.sequence),
    second: String(batch.second),
    idle: batch.idle ? '1' : '0',
    windows: JSON.stringify(windows),
  };
  return Object.entries(fields).flat();
}

/**
 * @param only the deployments whose windows are wanted; without it all.
 * @throws Error where the fields are not what `encodeBatch` writes.
 */
export function decodeBatch(fields: readonly string[], only?: ReadonlySet<string>): Batch {
  const field = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) field.set(fields[i] ?? '', fields[i + 1] ?? '');
  const sequence = Number(field.get('sequence'));
  const second = Number(field.get('second'));
  const rows: unknown = JSON.parse(field.get('windows') ?? '');
  const writer = field.get('writer');
  if (!writer || !Number.isInteger(sequence) || !Number.isInteger(second) || !Array.isArray(rows)) {
    throw new Error('Not a batch of metric windows.');
  }
  const wanted =
    only === undefined ? rows : rows.filter((row) => Array.isArray(row) && only.has(String(row[0])));
  return { writer, sequence, second, idle: field.get('idle') === '1', windows: wanted.map(decodeRow) };
}

function decodeRow(row: unknown): ArmWindow {
  const cells: unknown[] = Array.isArray(row) ? row : [];
  const [deploymentId, armId, armName, line, tally] = cells;
  if (
    typeof deploymentId !== 'string' ||
    typeof armId !== 'string' ||
    typeof armName !== 'string' ||
    typeof line !== 'string'
  ) {
    throw new Error('Not a batch of metric windows: a row.');
  }
  const window = MetricWindow.decode(line);
  if (tally !== undefined) window.decodeTally(tally);
  return { arm: { deploymentId, armId, armName }, window };
}

/** Compares ids of stream entries: milliseconds, then a number within them. */
export function isAfter(one: string, other: string): boolean {
  const [ms = 0, sequence = 0] = one.split('-').map(Number);
  const [otherMs = 0, otherSequence = 0] = other.split('-').map(Number);
  return ms > otherMs || (ms === otherMs && sequence > otherSequence);
}
