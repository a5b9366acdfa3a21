import type { Work } from '#src/operation/operation.ts';
import { ingestVersion, rejectVersion } from '#src/version/ingest.ts';
import type { WorkerContext } from '../context.ts';

/** version.ingest */
export function ingestWork({ platform }: WorkerContext): Work {
  return {
    run: (running) => ingestVersion(platform, running),
    ended: (tx, operation, failure) => rejectVersion(platform, tx, operation.subjectId, failure.message),
  };
}
