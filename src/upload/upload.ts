/**
 * Files that come bit by bit, over lines that break: received until they are whole, stored under their digest, and then
 * used by a version. One process at a time receives an upload; any may go on with it.
 */
import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { requireRole, type Viewer } from '../access/access.ts';
import { shown } from '../name/name.ts';
import type { Db } from '../platform/database.ts';
import { ConflictError, NotFoundError, NotReadyError, ValidationError } from '../platform/errors.ts';
import { isId, newId } from '../platform/id.ts';
import { consume } from '../platform/intake.ts';
import type { Lock, LockOptions } from '../platform/locks.ts';
import type { Platform } from '../platform/platform.ts';
import { resolveProject, type Project } from '../project/project.ts';
import { announceBlobs, holdBlobs, shareBlobs } from '../version/blob.queries.ts';
import { checkPath } from '../version/incoming.ts';
import { checkQuota } from '../version/quota.ts';
import * as queries from './upload.queries.ts';

export type Upload = queries.UploadRow;

export interface CreateUpload {
  /** A reference. */
  readonly project: string;
  /** The file's name. */
  readonly path: string;
  readonly bytes: bigint;
  /** SHA-256, where the sender knows it. */
  readonly digest: string | null;
}

/** Of a project at a time. */
const MOST_UPLOADS = 1_000;

/**
 * Makes room for a file. Where the project holds bytes of that digest already, nothing need be sent.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError, ConflictError (too many are unfinished),
 * OverloadedError (no room), NotReadyError (the store cannot be reached).
 */
export async function createUpload(platform: Platform, viewer: Viewer, input: CreateUpload): Promise<Upload> {
  const project = await resolveProject(platform, viewer, input.project);
  requireRole(viewer, project.id, 'AUTHOR', `Project ${project.name}`);
  const path = checkPath(['path'], input.path);
  const { MAX_FILE_BYTES: most } = platform.config;
  if (input.bytes < 0n || input.bytes > BigInt(most)) {
    throw ValidationError.of(['bytes'], `0 to ${most}`, String(input.bytes), {
      hint: 'The largest is MAX_FILE_BYTES.',
    });
  }
  const upload = await admitUpload(platform, project, {
    id: newId(),
    projectId: project.id,
    path,
    bytes: input.bytes,
    expectedDigest: input.digest,
    createdByName: viewer.name,
    createdByKind: viewer.kind,
    expiresAt: expiry(platform),
  });
  if (upload.storedAt) return upload;
  try {
    await platform.store.resumable.begin(upload.id, Number(upload.bytes));
  } catch (error) {
    await queries.deleteUpload(platform.db, upload.id);
    throw error;
  }
  return upload.bytes === 0n ? finishUpload(platform, upload) : upload;
}

const expiry = ({ config }: Platform): Date => new Date(Date.now() + config.UPLOAD_EXPIRY_SECONDS * 1000);

type NewUpload = Parameters<typeof queries.insertUpload>[1] & {
  readonly bytes: bigint;
  readonly expectedDigest: string | null;
};

/** Writes down an upload, as far as its project has room; whole from the start where its bytes are held. */
async function admitUpload(platform: Platform, project: Project, row: NewUpload): Promise<Upload> {
  return platform.database.db.transaction().execute(async (tx) => {
    await queries.lockUploads(tx, project.id);
    const pending = await queries.pendingUploads(tx, project.id);
    if (pending.count >= MOST_UPLOADS) {
      throw new ConflictError(
        `Project ${project.name} has ${pending.count} uploads that no version has used.`,
        String(pending.count),
        'Finish or cancel some; they expire by themselves.',
      );
    }
    if (await isHeld(tx, row)) {
      return queries.insertUpload(tx, { ...row, blobDigest: row.expectedDigest, storedAt: new Date() });
    }
    await checkQuota(platform, tx, project.id, pending.bytes + row.bytes);
    return queries.insertUpload(tx, row);
  });
}

/** Whether the project holds the bytes already. @throws ValidationError when their number is another. */
async function isHeld(tx: Db, { projectId, expectedDigest: digest, bytes }: NewUpload): Promise<boolean> {
  if (digest === null) return false;
  const held = (await shareBlobs(tx, projectId, [digest])).get(digest);
  if (held === undefined) return false;
  if (BigInt(held) === bytes) return true;
  throw ValidationError.of(['bytes'], `${held}, which the file of this digest has`, String(bytes));
}

/**
 * An upload of the viewer's own: nobody else's exists for them.
 * @throws NotFoundError, also for one that has expired or was used.
 */
export async function getUpload(platform: Platform, viewer: Viewer, id: string): Promise<Upload> {
  const [found] = isId(id) ? await queries.findUploads(platform.db, [id]) : [];
  if (!found || !isOwn(viewer, found) || found.expiresAt.getTime() < Date.now()) {
    throw new NotFoundError(
      `Upload ${shown(id)}`,
      'It may have expired, or a version has used it: begin again.',
    );
  }
  requireRole(viewer, found.projectId, 'AUTHOR', `Upload ${id}`);
  return found;
}

const isOwn = (viewer: Viewer, upload: Upload): boolean =>
  upload.createdByName === viewer.name &&
  upload.createdByKind === viewer.kind &&
  (viewer.everywhere !== null || viewer.project?.id === upload.projectId);

/** Whether every byte has arrived, and which ones is known; whoever was about to store them may have been killed. */
const isWhole = (upload: Upload): boolean => upload.blobDigest !== null;

/** How many bytes of it are here. */
export async function receivedBytes(platform: Platform, upload: Upload): Promise<bigint> {
  if (isWhole(upload)) return upload.bytes;
  return BigInt((await platform.store.resumable.offset(upload.id)) ?? 0);
}

/** The lock under which an upload is received, finished or cancelled. */
export function lockUpload(platform: Platform, id: string, options: LockOptions): Promise<Lock> {
  return platform.locks.acquire(`upload ${id}`, options);
}

/** Digests that are computed on the way, as far as this process has seen all bytes; the oldest are forgotten. */
const onTheWay = new Map<string, { hash: Hash; offset: number }>();
const MOST_ON_THE_WAY = 1_000;

/** Under what lock bytes are received. */
export interface Receiving {
  /** Fires when the lock is lost. */
  readonly signal: AbortSignal;
  /** Rejects when the lock is lost. */
  readonly confirm: () => Promise<void>;
}

/**
 * Receives what comes of a locked upload. Answers the new offset; what came before a failure stays. What is sent again of
 * one that is whole is let pass.
 * @throws NotFoundError, ConflictError (another offset), ValidationError (too much), the source's own error.
 */
export async function receive(
  platform: Platform,
  upload: Upload,
  offset: number,
  source: Readable,
  { signal, confirm }: Receiving,
): Promise<number> {
  await queries.touchUpload(platform.db, upload.id, expiry(platform));
  if (isWhole(upload)) {
    await consume(source, () => undefined, signal);
    return Number(upload.bytes);
  }
  const known = onTheWay.get(upload.id);
  const digest = offset === 0 ? { hash: createHash('sha256'), offset: 0 } : known;
  onTheWay.delete(upload.id);
  const isSeen = digest?.offset === offset;
  const keepFresh = freshness(platform, upload);
  const reached = await platform.store.resumable.append(upload.id, offset, source, {
    bytes: Number(upload.bytes),
    signal,
    confirm,
    onBytes: (chunk) => {
      keepFresh();
      if (!isSeen) return;
      digest.hash.update(chunk);
      digest.offset += chunk.length;
    },
  });
  if (isSeen && digest.offset === reached) remember(upload.id, digest);
  await queries.touchUpload(platform.db, upload.id, expiry(platform));
  return reached;
}

/** While bytes come it does not expire, however long one request takes. */
function freshness(platform: Platform, { id }: Upload): () => void {
  const everyMs = platform.config.UPLOAD_EXPIRY_SECONDS * 250;
  let touchedAt = Date.now();
  return () => {
    if (Date.now() - touchedAt < everyMs) return;
    touchedAt = Date.now();
    // Where that fails, the next one may not; or the bytes fail, too.
    queries.touchUpload(platform.db, id, expiry(platform)).catch(() => undefined);
  };
}

function remember(id: string, digest: { hash: Hash; offset: number }): void {
  onTheWay.set(id, digest);
  const [oldest] = onTheWay.keys();
  if (onTheWay.size > MOST_ON_THE_WAY && oldest !== undefined) onTheWay.delete(oldest);
}

/** The digest, where every byte passed through this process. */
function digestSeen({ id, bytes }: Upload): string | undefined {
  const seen = onTheWay.get(id);
  onTheWay.delete(id);
  return seen && BigInt(seen.offset) === bytes ? seen.hash.digest('hex') : undefined;
}

/**
 * Gives the bytes of a locked upload their digest's name. Harmless twice, and goes on where a killed process was.
 * @throws ConflictError while bytes are missing, ValidationError when they are not those of the expected digest (the
 * upload is gone then), NotFoundError.
 */
export async function finishUpload(platform: Platform, { id }: Upload): Promise<Upload> {
  const [upload] = await queries.findUploads(platform.db, [id]);
  if (!upload) throw new NotFoundError(`Upload ${id}`);
  if (upload.storedAt) return upload;
  const { store, database } = platform;
  const staged = await store.resumable.seal(
    id,
    Number(upload.bytes),
    upload.blobDigest ?? digestSeen(upload),
  );
  if (upload.expectedDigest !== null && upload.expectedDigest !== staged.digest) {
    await discardUpload(platform, id);
    throw ValidationError.of(['digest'], upload.expectedDigest, staged.digest, {
      hint: 'The bytes were damaged on their way, or are others: send them again.',
    });
  }
  const blob = { digest: staged.digest, bytes: staged.bytes };
  // The row refers to the digest before the bytes get its name: from then on nobody frees them.
  await database.db.transaction().execute(async (tx) => {
    await announceBlobs(tx, [blob]);
    await queries.setDigest(tx, id, blob.digest);
  });
  const stored = await database.db.transaction().execute(async (tx) => {
    await holdBlobs(tx, [blob]);
    await store.keep(staged);
    return queries.setStored(tx, id);
  });
  if (!stored) throw new NotFoundError(`Upload ${id}`);
  return stored;
}

/**
 * Forgets an upload of the viewer's own, and its bytes.
 * @throws NotFoundError, NotReadyError (it is being sent, by somebody who does not let go).
 */
export async function cancelUpload(platform: Platform, viewer: Viewer, id: string): Promise<Upload> {
  const upload = await getUpload(platform, viewer, id);
  const isMine = await alone(platform, id, () => discardUpload(platform, id));
  if (!isMine) throw new NotFoundError(`Upload ${upload.path}`, 'A version has used it, or it has expired.');
  return upload;
}

const LOCK_MS = 5_000;

/** Does something short with an upload, when nobody else is at it. @throws NotReadyError */
async function alone<T>(platform: Platform, id: string, work: () => Promise<T>): Promise<T> {
  const ignored = (): void => {};
  const signal = AbortSignal.timeout(LOCK_MS);
  const lock = await lockUpload(platform, id, { signal, onAsked: ignored, onLost: ignored }).catch(
    (error) => {
      if (!signal.aborted) throw error;
      throw new NotReadyError(
        `Upload ${id} is being sent; whoever sends it was asked to stop.`,
        1_000,
        'Try again, or stop sending it.',
      );
    },
  );
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** Forgets a locked upload and its bytes; false when it was gone already. */
export async function discardUpload(platform: Platform, id: string): Promise<boolean> {
  onTheWay.delete(id);
  const wasThere = await queries.deleteUpload(platform.db, id);
  await platform.store.resumable.abandon(id);
  return wasThere;
}

/**
 * The viewer's own uploads, each whole and stored.
 * @throws NotFoundError, ConflictError that names how much is missing, ValidationError, NotReadyError (one is being sent).
 */
export async function wholeUploads(
  platform: Platform,
  viewer: Viewer,
  ids: readonly string[],
): Promise<Upload[]> {
  const uploads: Upload[] = [];
  for (const id of ids) {
    const upload = await getUpload(platform, viewer, id);
    uploads.push(upload.storedAt ? upload : await finishAlone(platform, upload));
  }
  return uploads;
}

/** Its last bytes arrived, and whoever received them was killed. */
async function finishAlone(platform: Platform, upload: Upload): Promise<Upload> {
  const received = await receivedBytes(platform, upload);
  if (received < upload.bytes) {
    throw new ConflictError(
      `Upload ${upload.path} holds ${received} of ${upload.bytes} bytes.`,
      String(received),
      'Send the rest first.',
    );
  }
  return alone(platform, upload.id, () => finishUpload(platform, upload));
}

/**
 * Takes whole uploads out of their rows, for a version that holds their bytes from now on.
 * @throws NotFoundError when one was used by somebody else meanwhile.
 */
export async function useUploads(tx: Db, uploads: readonly Upload[]): Promise<void> {
  if (uploads.length === 0) return;
  const taken = new Set(
    (
      await queries.takeUploads(
        tx,
        uploads.map(({ id }) => id),
      )
    ).map(({ id }) => id),
  );
  const gone = uploads.find(({ id }) => !taken.has(id));
  if (gone) throw new NotFoundError(`Upload ${gone.path}`, 'A version has used it: begin again.');
}

const BATCH = 100;

/** Forgets uploads that have expired, a batch at a time, and what was staged of them. Returns how many. */
export async function sweepUploads(platform: Platform): Promise<number> {
  const expired = await queries.deleteExpired(platform.db, BATCH);
  for (const id of expired) await platform.store.resumable.abandon(id);
  return expired.length;
}

/** Which of these uploads are still being received; for the sweep of what is staged. */
export function receivingUploads(platform: Platform, ids: readonly string[]): Promise<ReadonlySet<string>> {
  return queries.findReceiving(platform.db, ids.filter(isId));
}
