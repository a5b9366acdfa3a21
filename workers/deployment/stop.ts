import { stop } from '#src/deployment/provision.ts';
import type { Work } from '#src/operation/operation.ts';
import type { WorkerContext } from '../context.ts';

/** deployment.stop. It cannot be cancelled and is tried until it is done: undeploying is not undone. */
export function stopWork({ platform, keeper }: WorkerContext): Work {
  return {
    run: (running) => stop(platform, keeper, running),
    ended: async () => undefined,
    attempts: Infinity,
  };
}
