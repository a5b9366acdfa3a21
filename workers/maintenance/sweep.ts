/** maintenance.sweep: makes up for what a crash or a lost Redis left undone. Cheap when there is nothing to do. */
import { jobOf } from '#src/jobs.ts';
import { listStrandedOperations } from '#src/operation/operation.queries.ts';
import { recoverLostReplicas } from '#src/deployment/recovery.ts';
import { removeAbandoned } from '#src/platform/abandoned.ts';
import { cacheFolder } from '#src/replica/model-cache.ts';
import { drainStrays } from '#src/replica/replica.queries.ts';
import { sweepBlobs } from '#src/version/blob.ts';
import { workFolder } from '#src/version/ingest.ts';
import type { WorkerContext } from '../context.ts';

const BATCH = 100;
const BYTES_EVERY_MS = 60_000;
let bytesSweptAt = 0;

export async function sweep({ platform }: WorkerContext): Promise<void> {
  for (const { id, kind } of await listStrandedOperations(platform.db, BATCH)) {
    const job = jobOf(kind);
    if (job) await platform.queue.add(job.queue, job.name, id, { operationId: id });
  }
  await recoverLostReplicas(platform);
  await drainStrays(platform.db);
  if (Date.now() - bytesSweptAt < BYTES_EVERY_MS) return;
  bytesSweptAt = Date.now();
  const freed = await sweepBlobs(platform);
  // Nothing begins uploads that go on after a break yet.
  let dropped = await platform.store.sweepStaging(async () => new Set());
  for (const folder of [workFolder(platform), cacheFolder(platform)])
    dropped += await removeAbandoned(folder);
  if (freed + dropped > 0) platform.logger.info({ freed, dropped }, 'freed bytes that nobody refers to');
}
