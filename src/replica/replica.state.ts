/** What follows from how often a replica ended. Pure. */

const FIRST_MS = 200;
/** Whoever has answered for this long had come up: that it ends then says nothing about its next start. */
const STEADY_MS = 60_000;

/**
 * Milliseconds before restart number `restarts` (1 is the first): 0.2 s, doubled each time, at most 30 s.
 * @param readyForMs how long it had answered before it ended; null: it never did.
 */
export function restartDelayMs(restarts: number, readyForMs: number | null): number {
  if (readyForMs !== null && readyForMs >= STEADY_MS) return FIRST_MS;
  return Math.min(FIRST_MS * 2 ** Math.max(0, restarts - 1), 30_000);
}

/** What a start that follows an end against our wish waits for. */
export function restartOf(
  { restarts, readyAt }: { readonly restarts: number; readonly readyAt: Date | null },
  now: number,
): { restarts: number; nextRestartAt: Date } {
  const delayMs = restartDelayMs(restarts + 1, readyAt && now - readyAt.getTime());
  return { restarts: restarts + 1, nextRestartAt: new Date(now + delayMs) };
}

/** The spec of a replica that another one shall take the place of, whatever the deployment's. */
export const REPLACED = 0;

/** The host of replicas that are not ours: any worker may look after them. */
export const EXTERNAL_HOST = 'external';

const hopeless = [/^The model could not be /, / serves something else: /];

/** Whether a start that ended for this reason will end so the next time: a model that does not load never will. */
function isHopeless(exitReason: string): boolean {
  return hopeless.some((pattern) => pattern.test(exitReason));
}

/** A first start that crashes this often is given up; once LIVE a replica is restarted for ever, with backoff. */
const MOST_RESTARTS = 3;

/** Why replicas of a version that is new somewhere will not come up, or not stay up; null while they may. */
export function lostCause(
  replicas: readonly {
    readonly state: string;
    readonly exitReason: string | null;
    readonly restarts: number;
  }[],
): string | null {
  for (const { state, exitReason, restarts } of replicas) {
    if (state !== 'BACKING_OFF' || exitReason === null) continue;
    if (isHopeless(exitReason) || restarts >= MOST_RESTARTS) return exitReason;
  }
  return null;
}
