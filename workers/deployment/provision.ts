import { failProvisioning, provision } from '#src/deployment/provision.ts';
import type { Work } from '#src/operation/operation.ts';
import type { WorkerContext } from '../context.ts';

/** deployment.provision */
export function provisionWork({ platform, keeper }: WorkerContext): Work {
  return {
    run: (running) => provision(platform, keeper, running),
    ended: (tx, operation, failure) => failProvisioning(platform, tx, operation, failure.message),
  };
}
