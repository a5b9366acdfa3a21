/** maintenance.sweep: makes up for what a crash or a lost Redis left undone. Cheap when there is nothing to do. */
import { jobOf } from '#src/jobs.ts';
import { listStrandedOperations } from '#src/operation/operation.queries.ts';
import { recoverLostReplicas } from '#src/deployment/recovery.ts';
import { removeAbandoned } from '#src/platform/abandoned.ts';
import type { Platform } from '#src/platform/platform.ts';
import { sweepKeys } from '#src/prediction/idempotency.ts';
import { keepPartitions } from '#src/prediction/partition.ts';
import { cacheFolder } from '#src/replica/model-cache.ts';
import { drainStrays } from '#src/replica/replica.queries.ts';
import { receivingUploads, sweepUploads } from '#src/upload/upload.ts';
import { sweepBlobs } from '#src/version/blob.ts';
import { workFolder } from '#src/version/ingest.ts';
import type { WorkerContext } from '../context.ts';

const BATCH = 100;
/** Bytes are looked after less often, but soon enough for a short grace. */
const BYTES_EVERY_MS = 10_000;
let bytesSweptAt = 0;
/** A day is made two days ahead. */
const LOG_EVERY_MS = 30_000;
let logSweptAt = 0;

async function sweepLog(platform: Platform): Promise<void> {
  if (Date.now() - logSweptAt < LOG_EVERY_MS) return;
  logSweptAt = Date.now();
  await keepPartitions(platform);
  await sweepKeys(platform);
}

export async function sweep({ platform }: WorkerContext): Promise<void> {
  for (const { id, kind } of await listStrandedOperations(platform.db, BATCH)) {
    const job = jobOf(kind);
    if (job) await platform.queue.add(job.queue, job.name, id, { operationId: id });
  }
  await recoverLostReplicas(platform);
  await drainStrays(platform.db);
  await sweepLog(platform);
  const bytesEveryMs = Math.min(BYTES_EVERY_MS, platform.config.ARTIFACT_GRACE_SECONDS * 500);
  if (Date.now() - bytesSweptAt < bytesEveryMs) return;
  bytesSweptAt = Date.now();
  await sweepUploads(platform);
  const freed = await sweepBlobs(platform);
  let dropped = await platform.store.sweepStaging((ids) => receivingUploads(platform, ids));
  for (const folder of [workFolder(platform), cacheFolder(platform)])
    dropped += await removeAbandoned(folder);
  if (freed + dropped > 0) platform.logger.info({ freed, dropped }, 'freed bytes that nobody refers to');
}
