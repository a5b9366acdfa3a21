/**
 * Files that come bit by bit, over lines that break: received until they are whole, stored under their digest, and then
 * used by a version. One process at a time receives an upload; any may go on with it.
 */
import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { requireRole, type Viewer } from '../access/access.ts';
import { shown } from '../name/name.ts';
import type { Db } from '../platform/database.ts';
import { ConflictError, NotFoundError, ValidationError } from '../platform/errors.ts';
import { isId, newId } from '../platform/id.ts';
import type { Lock, LockOptions } from '../platform/locks.ts';
import type { Platform } from '../platform/platform.ts';
import { resolveProject } from '../project/project.ts';
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
  const pending = await queries.pendingUploads(platform.db, project.id);
  if (pending.count >= MOST_UPLOADS) {
    throw new ConflictError(
      `Project ${project.name} has ${pending.count} uploads that no version has used.`,
      String(pending.count),
      'Finish or cancel some; they expire by themselves.',
    );
  }
  const row = {
    id: newId(),
    projectId: project.id,
    path,
    bytes: input.bytes,
    expectedDigest: input.digest,
    createdByName: viewer.name,
    createdByKind: viewer.kind,
    expiresAt: expiry(platform),
  };
  const held =
    input.digest === null ? undefined : await insertHeld(platform, { ...row, digest: input.digest });
  if (held) return held;
  await checkQuota(platform, platform.db, project.id, pending.bytes + input.bytes);
  const upload = await queries.insertUpload(platform.db, row);
  try {
    await platform.store.resumable.begin(upload.id, Number(upload.bytes));
  } catch (error) {
    await queries.deleteUpload(platform.db, upload.id);
    throw error;
  }
  return upload.bytes === 0n ? finishUpload(platform, upload) : upload;
}

const expiry = ({ config }: Platform): Date => new Date(Date.now() + config.UPLOAD_EXPIRY_SECONDS * 1000);

/** An upload that is whole from the start; undefined where the project does not hold its bytes. */
async function insertHeld(
  platform: Platform,
  { digest, ...row }: Parameters<typeof queries.insertUpload>[1] & { readonly digest: string },
): Promise<Upload | undefined> {
  return platform.database.db.transaction().execute(async (tx) => {
    const bytes = (await shareBlobs(tx, row.projectId, [digest])).get(digest);
    if (bytes === undefined) return undefined;
    if (BigInt(bytes) !== row.bytes) {
      throw ValidationError.of(['bytes'], `${bytes}, which the file of this digest has`, String(row.bytes));
    }
    return queries.insertUpload(tx, { ...row, blobDigest: digest, storedAt: new Date() });
  });
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

/** How many bytes of it are here. */
export async function receivedBytes(platform: Platform, upload: Upload): Promise<bigint> {
  if (upload.storedAt) return upload.bytes;
  return BigInt((await platform.store.resumable.offset(upload.id)) ?? 0);
}

/** The lock under which an upload is received, finished or cancelled. */
export function lockUpload(platform: Platform, id: string, options: LockOptions): Promise<Lock> {
  return platform.locks.acquire(`upload ${id}`, options);
}

/** Digests that are computed on the way, as far as this process has seen all bytes; the oldest are forgotten. */
const onTheWay = new Map<string, { hash: Hash; offset: number }>();
const MOST_ON_THE_WAY = 1_000;

/**
 * Receives what comes of a locked upload. Answers the new offset; what came before a failure stays.
 * @throws NotFoundError, ConflictError (another offset), ValidationError (too much), the source's own error.
 */
export async function receive(
  platform: Platform,
  upload: Upload,
  offset: number,
  source: Readable,
  signal: AbortSignal,
): Promise<number> {
  await queries.touchUpload(platform.db, upload.id, expiry(platform));
  const known = onTheWay.get(upload.id);
  const digest = offset === 0 ? { hash: createHash('sha256'), offset: 0 } : known;
  onTheWay.delete(upload.id);
  const isSeen = digest?.offset === offset;
  const reached = await platform.store.resumable.append(upload.id, offset, source, {
    bytes: Number(upload.bytes),
    signal,
    ...(isSeen
      ? {
          onBytes: (chunk: Buffer) => {
            digest.hash.update(chunk);
            digest.offset += chunk.length;
          },
        }
      : {}),
  });
  if (isSeen && digest.offset === reached) remember(upload.id, digest);
  await queries.touchUpload(platform.db, upload.id, expiry(platform));
  return reached;
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

/** Forgets an upload of the viewer's own, and its bytes. @throws NotFoundError */
export async function cancelUpload(platform: Platform, viewer: Viewer, id: string): Promise<Upload> {
  const upload = await getUpload(platform, viewer, id);
  await alone(platform, id, () => discardUpload(platform, id));
  return upload;
}

const LOCK_MS = 15_000;

/** Does something short with an upload, when nobody else is at it. */
async function alone<T>(platform: Platform, id: string, work: () => Promise<T>): Promise<T> {
  const ignored = (): void => {};
  const signal = AbortSignal.timeout(LOCK_MS);
  const lock = await lockUpload(platform, id, { signal, onAsked: ignored, onLost: ignored });
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** Forgets a locked upload and its bytes. */
export async function discardUpload(platform: Platform, id: string): Promise<void> {
  onTheWay.delete(id);
  await queries.deleteUpload(platform.db, id);
  await platform.store.resumable.abandon(id);
}

/**
 * The viewer's own uploads, each whole and stored.
 * @throws NotFoundError, ConflictError that names how much is missing, ValidationError.
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
  if (received < upload.bytes && upload.blobDigest === null) {
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
