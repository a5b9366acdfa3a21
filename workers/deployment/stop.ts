import { stop } from '#src/deployment/provision.ts';
import type { Work } from '#src/operation/operation.ts';
import type { WorkerContext } from '../context.ts';

/** deployment.stop. A stop that fails leaves the deployment STOPPING; undeploying is not undone. */
export function stopWork({ platform, keeper }: WorkerContext): Work {
  return {
    run: (running) => stop(platform, keeper, running),
    ended: async () => undefined,
  };
}
