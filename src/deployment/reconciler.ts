/** The loop that keeps deployments at what is wanted of them; every worker runs one, whoever comes first does the work. */
import type { Platform } from '../platform/platform.ts';
import type { ReplicaKeeper } from '../replica/keeper.ts';
import { reconcileAll } from './reconcile.ts';
import { forgetHosts, seeHost } from './reconcile.queries.ts';

const ROUND_MS = 1_000;
const FORGET_EVERY = 3_600;

export interface Reconciler {
  /** Resolves when its last round is over. */
  close(): Promise<void>;
}

export function openReconciler(platform: Platform, keeper: ReplicaKeeper): Reconciler {
  let round: Promise<void> | undefined;
  let rounds = 0;

  async function look(): Promise<void> {
    try {
      await seeHost(platform.db, platform.config.HOST_ID);
      if (rounds++ % FORGET_EVERY === 0) await forgetHosts(platform.db);
      if (await reconcileAll(platform)) keeper.hurry();
    } catch (error) {
      platform.logger.warn({ err: error }, 'deployments could not be looked at; trying again');
    }
  }
  const turn = (): void => {
    round ??= look().finally(() => (round = undefined));
  };
  const timer = setInterval(turn, ROUND_MS);
  turn();
  return {
    close: async () => {
      clearInterval(timer);
      await round;
    },
  };
}
