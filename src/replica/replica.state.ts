/** What follows from how often a replica ended. Pure. */

/** Milliseconds before restart number `restarts` (1 is the first): 0.2 s, doubled each time, at most 30 s. */
export function restartDelayMs(restarts: number): number {
  return Math.min(200 * 2 ** Math.max(0, restarts - 1), 30_000);
}

/** The spec of a replica that another one shall take the place of, whatever the deployment's. */
export const REPLACED = 0;

/** The host of replicas that are not ours: any worker may look after them. */
export const EXTERNAL_HOST = 'external';

const hopeless = [/^The model could not be /, / serves something else: /];

/** Whether a start that ended for this reason will end so the next time: a model that does not load never will. */
export function isHopeless(exitReason: string): boolean {
  return hopeless.some((pattern) => pattern.test(exitReason));
}
