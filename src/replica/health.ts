/** What a replica's silence and its memory mean. Pure. */
import type { ProcessVitals } from '../platform/process-vitals.ts';

/** What is known of a replica that has not answered. */
export interface Silence {
  /** Milliseconds since it answered the last time. */
  readonly forMs: number;
  /** How it was when it was last asked without an answer; undefined the first time. */
  readonly before: ProcessVitals | undefined;
  readonly now: ProcessVitals;
}

/**
 * Why a silent replica is given up; undefined when it is to be left alone. A run of a model blocks its process, so
 * silence alone says nothing: one that uses processor time, or waits for a disk, is at work, and may take as long as
 * `busyMs`. One that does nothing at all will not answer any more.
 */
export function hangs({ forMs, before, now }: Silence, busyMs: number): string | undefined {
  const seconds = Math.round(forMs / 1000);
  if (now.isStopped) return `It has been stopped, and has not answered for ${seconds} s.`;
  if (forMs > busyMs)
    return `It has not answered for ${seconds} s, longer than a run may take (REPLICA_BUSY_SECONDS).`;
  const isIdle = before !== undefined && before.cpuTicks === now.cpuTicks && !now.isBusy;
  return isIdle ? `It has not answered for ${seconds} s, and does nothing.` : undefined;
}

/** Beyond its limit by this factor a replica is ended at once, else once another has taken its place. */
const HARD = 1.5;

export type MemoryVerdict = 'fits' | 'replace' | 'end';

/** @param canBeSpared whether it answers, so that another one may take its place first. */
export function memoryVerdict(
  residentBytes: number,
  limitBytes: bigint | null,
  canBeSpared: boolean,
): MemoryVerdict {
  if (limitBytes === null || residentBytes <= Number(limitBytes)) return 'fits';
  return canBeSpared && residentBytes <= Number(limitBytes) * HARD ? 'replace' : 'end';
}
