/** What follows from how often a replica ended. Pure. */

/** Milliseconds before restart number `restarts` (1 is the first): 0.2 s, doubled each time, at most 30 s. */
export function restartDelayMs(restarts: number): number {
  return Math.min(200 * 2 ** Math.max(0, restarts - 1), 30_000);
}
