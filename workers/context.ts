import type { Platform } from '#src/platform/platform.ts';
import type { ReplicaKeeper } from '#src/replica/keeper.ts';

/** What a job's handler stands on. */
export interface WorkerContext {
  readonly platform: Platform;
  readonly keeper: ReplicaKeeper;
}
