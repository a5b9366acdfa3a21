/** The bytes behind versions: kept once, freed when the last version lets go. */
import type { StagedFile } from '../platform/artifact-store.ts';
import type { Db } from '../platform/database.ts';
import type { Platform } from '../platform/platform.ts';
import * as queries from './blob.queries.ts';
import { discharge } from './quota.queries.ts';

/**
 * Gives staged files their names in the store and runs `work`, which refers to them, in one transaction.
 * The blobs' rows are committed before the names exist, so a crash in between leaves a row that the sweep finds,
 * never bytes that nobody knows of; and they are locked while `work` runs, so nobody frees them meanwhile.
 */
export async function keepFiles<T>(
  platform: Platform,
  files: readonly StagedFile[],
  work: (tx: Db) => Promise<T>,
): Promise<T> {
  const blobs = [...new Map(files.map(({ digest, bytes }) => [digest, { digest, bytes }])).values()];
  if (blobs.length > 0) await queries.announceBlobs(platform.db, blobs);
  try {
    return await platform.database.db.transaction().execute(async (tx) => {
      await queries.holdBlobs(tx, blobs);
      for (const file of files) await platform.store.keep(file);
      return work(tx);
    });
  } catch (error) {
    for (const { digest } of blobs) await freeBlob(platform, digest).catch(() => undefined);
    throw error;
  }
}

/**
 * Deletes bytes unless a version holds them; the row's lock keeps an upload of the same bytes waiting. What may not be
 * freed now is left to the sweep.
 */
export async function freeBlob(platform: Platform, digest: string): Promise<boolean> {
  return platform.database.db.transaction().execute(async (tx) => {
    if (!(await queries.mayFree(tx))) return false;
    if (!(await queries.lockBlob(tx, digest))) return false;
    if (!(await queries.deleteFreeBlob(tx, digest))) return false;
    await platform.store.removeMany([digest], () => queries.confirmTransaction(tx));
    return true;
  });
}

const BATCH = 1_000;

/**
 * Frees bytes that nobody has held for ARTIFACT_GRACE_SECONDS, batch after batch. An upload of the same bytes waits while
 * its batch is being freed, and stores them anew then. While a backup runs it leaves everything to a later turn.
 * @returns how many.
 */
export async function sweepBlobs(platform: Platform): Promise<number> {
  const { database, store, config } = platform;
  for (let freed = 0; ;) {
    const { looked, free } = await database.db.transaction().execute(async (tx) => {
      if (!(await queries.mayFree(tx))) return { looked: 0, free: [] };
      const taken = await queries.takeFree(tx, config.ARTIFACT_GRACE_SECONDS, BATCH);
      await store.removeMany(taken.free, () => queries.confirmTransaction(tx));
      return taken;
    });
    freed += free.length;
    if (looked < BATCH) return freed;
  }
}

/**
 * Lets go of what versions hold and counts it no more; to be called when nothing but the ledger is left to lock. The
 * sweep frees it once nobody else holds it.
 * @returns the digests.
 */
export async function release(
  tx: Db,
  projectId: string,
  of: Parameters<typeof queries.releaseBlobs>[1],
): Promise<string[]> {
  const released = await queries.releaseBlobs(tx, of);
  await discharge(
    tx,
    projectId,
    released.filter(({ uses }) => uses > 0),
  );
  return released.map(({ digest }) => digest);
}
