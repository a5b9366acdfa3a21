/** Every job has exactly one handler: a missing or a second one does not compile. */
import type { OperationJobName } from '#src/jobs.ts';
import type { Work } from '#src/operation/operation.ts';
import type { WorkerContext } from './context.ts';
import { provisionWork } from './deployment/provision.ts';
import { stopWork } from './deployment/stop.ts';
import { ingestWork } from './version/ingest.ts';

export const handlers: Record<OperationJobName, (context: WorkerContext) => Work> = {
  'version.ingest': ingestWork,
  'deployment.provision': provisionWork,
  'deployment.stop': stopWork,
};
