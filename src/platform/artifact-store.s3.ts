/**
 * Artifacts in a bucket of S3, below a prefix: `sha256/ab/<digest>` is kept, `staging/<mark>/<uuid>` and
 * `staging/upload~<id>/…` are on their way. Keeping is a copy by the server, so nothing is relied on but that what was
 * written is seen by who reads next; uniqueness lives in PostgreSQL.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UPLOAD_DATA, s3Uploads } from './artifact-store.s3.resumable.ts';
import type { ArtifactStore, StagedFile } from './artifact-store.ts';
import { BlobCache } from './blob-cache.ts';
import { checkRange, type ByteRange } from './byte-range.ts';
import { onDisk } from './disk.ts';
import { NotFoundError } from './errors.ts';
import { Tally } from './intake.ts';
import { readObject } from './s3.read.ts';
import { MAX_PARTS, S3Bucket, type S3Options } from './s3.ts';
import { isOrphaned, stagingMark, uploadIn } from './staging.ts';

export interface S3StoreOptions extends S3Options {
  /** Without a slash at its ends; empty for the bucket itself. */
  readonly prefix: string;
  readonly hostId: string;
  readonly databaseId: string;
  /** Where this host's copies are. */
  readonly cacheFolder: string;
  readonly cacheBytes: number;
  readonly reserveBytes: number;
  /** What is larger is copied in parts: S3 copies at most 5 GB at once, and a large copy is silent for long. */
  readonly copyInPartsBeyond?: number;
  readonly copyPartBytes?: number;
}

const MB = 1024 ** 2;
const MIN_PART_BYTES = 8 * MB;

/** Parts as small as so many bytes allow: each is held in memory while it is on its way. */
function partBytesFor(bytes: number): number {
  return Math.max(MIN_PART_BYTES, Math.ceil(bytes / MAX_PARTS / MB) * MB);
}

/** @throws Error when the place belongs to another database, NotReadyError when S3 cannot be used. */
export async function openS3Store(options: S3StoreOptions): Promise<ArtifactStore> {
  const { hostId, copyInPartsBeyond = 256 * MB, copyPartBytes = 256 * MB } = options;
  const bucket = new S3Bucket(options);
  const base = options.prefix === '' ? '' : `${options.prefix}/`;
  await claim(bucket, `${base}store-id/`, options);
  const staging = `${base}staging/`;
  const kept = `${base}sha256/`;
  const own = `${staging}${stagingMark(hostId)}/`;
  const keyOf = (digest: string): string => `${kept}${digest.slice(0, 2)}/${digest}`;
  const sizeOf = (digest: string): Promise<number | undefined> => bucket.sizeOf(keyOf(digest));
  const sizeOfKept = async (digest: string): Promise<number> => {
    const bytes = await sizeOf(digest);
    if (bytes === undefined) throw new NotFoundError(`File ${digest}`);
    return bytes;
  };
  const readKept = (digest: string, range: ByteRange, signal?: AbortSignal): Promise<Readable> =>
    readObject(bucket, keyOf(digest), `File ${digest}`, range, signal);
  const cache = new BlobCache({
    folder: options.cacheFolder,
    maxBytes: options.cacheBytes,
    reserveBytes: options.reserveBytes,
    sizeOf: sizeOfKept,
    read: (digest, bytes, signal) => readKept(digest, { start: 0, end: bytes - 1 }, signal),
  });

  async function stage(source: Readable, maxBytes: number, expectedBytes?: number): Promise<StagedFile> {
    const stagedAt = own + randomUUID();
    try {
      const tally = new Tally(maxBytes, expectedBytes);
      await upload(bucket, stagedAt, source, tally, partBytesFor(expectedBytes ?? maxBytes));
      return { stagedAt, digest: tally.digest(), bytes: tally.bytes };
    } catch (error) {
      source.destroy();
      throw error;
    }
  }

  /** A resumable upload leaves more than its bytes. */
  const forget = async ({ stagedAt }: StagedFile): Promise<void> => {
    if (!stagedAt.endsWith(UPLOAD_DATA)) return bucket.remove([stagedAt]);
    await removeAll(bucket, stagedAt.slice(0, -UPLOAD_DATA.length));
  };

  async function keep(staged: StagedFile): Promise<void> {
    const { stagedAt, digest, bytes } = staged;
    const target = keyOf(digest);
    if ((await bucket.sizeOf(target)) !== bytes) {
      if (bytes > copyInPartsBeyond) await bucket.copyInParts(stagedAt, target, bytes, copyPartBytes);
      else if (!(await bucket.copy(stagedAt, target))) throw new NotFoundError(`Staged file ${digest}`);
    }
    // The sweep takes away what this could not.
    await forget(staged).catch(() => undefined);
  }

  const resumable = s3Uploads({
    bucket,
    folder: staging,
    partBytesFor,
    isKept: async (digest, bytes) => (await sizeOf(digest)) === bytes,
  });

  const removeMany = async (digests: readonly string[], confirm?: () => Promise<void>): Promise<void> => {
    await confirm?.();
    await bucket.remove(digests.map(keyOf));
    await onDisk(() => cache.forget(digests));
  };

  const read = async (digest: string, range?: ByteRange): Promise<Readable> => {
    const bytes = await sizeOfKept(digest);
    if (range) checkRange(range, bytes);
    const end = Math.min(range?.end ?? bytes, bytes - 1);
    return readKept(digest, { start: range?.start ?? 0, end });
  };

  return {
    kind: 's3',
    stage,
    stageFile: async (path) => {
      const { size } = await onDisk(() => stat(path));
      const staged = await stage(createReadStream(path, { highWaterMark: MB }), size, size);
      await onDisk(() => rm(path, { force: true }));
      return staged;
    },
    keep,
    discard: forget,
    resumable,
    read,
    open: async (digest, range) => {
      const stream = await read(digest, range);
      return {
        pour: (into) => pipeline(stream, into, { end: false }),
        close: async () => void stream.destroy(),
      };
    },
    sizeOf,
    localise: (digest, signal) => cache.pathOf(digest, signal),
    remove: (digest) => removeMany([digest]),
    removeMany,
    list: () => list(bucket, kept),
    sweepStaging: (isLive) => sweep(bucket, staging, hostId, isLive, (id) => resumable.abandon(id)),
    check: async () => {
      const id = await bucket.sizeOf(`${base}store-id/${options.databaseId}`, AbortSignal.timeout(5_000));
      if (id === undefined) throw new Error('The artifact store has lost its id.');
    },
  };
}

/** @throws the source's own error, or what is wrong with the bytes, or NotReadyError. */
async function upload(
  bucket: S3Bucket,
  key: string,
  source: Readable,
  tally: Tally,
  partBytes: number,
): Promise<void> {
  const body = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      try {
        tally.add(chunk);
      } catch (error) {
        return done(error as Error);
      }
      done(null, chunk);
    },
  });
  // Its failure becomes the body's, and so the upload's.
  pipeline(source, body).catch(() => undefined);
  await bucket.upload(key, body, partBytes);
}

async function removeAll(bucket: S3Bucket, prefix: string): Promise<number> {
  const keys = (await Array.fromAsync(bucket.list(prefix))).map(({ key }) => key);
  if (keys.length > 0) await bucket.remove(keys);
  return keys.length;
}

async function* list(bucket: S3Bucket, prefix: string): AsyncGenerator<{ digest: string; bytes: number }> {
  for await (const { key, bytes } of bucket.list(prefix)) {
    const digest = key.slice(key.lastIndexOf('/') + 1);
    if (/^[0-9a-f]{64}$/.test(digest)) yield { digest, bytes };
  }
}

/** Counts an upload that goes as one, whatever it consists of. */
async function sweep(
  bucket: S3Bucket,
  staging: string,
  hostId: string,
  isLive: (ids: readonly string[]) => Promise<ReadonlySet<string>>,
  abandon: (id: string) => Promise<void>,
): Promise<number> {
  // The first folder below `staging` tells whose it is.
  const ownerOf = (key: string): string => key.slice(staging.length).split('/')[0] ?? '';
  const uploads = new Set<string>();
  const orphaned: string[] = [];
  for await (const { key, modifiedAt } of bucket.list(staging)) {
    const id = uploadIn(ownerOf(key));
    if (id !== undefined) uploads.add(id);
    else if (isOrphaned(ownerOf(key), hostId, modifiedAt)) orphaned.push(key);
  }
  const open = await Array.fromAsync(bucket.openUploads(staging));
  for (const { key } of open) {
    const id = uploadIn(ownerOf(key));
    if (id !== undefined) uploads.add(id);
  }
  const live = uploads.size > 0 ? await isLive([...uploads]) : new Set<string>();
  const dead = [...uploads].filter((id) => !live.has(id));
  for (const id of dead) await abandon(id);
  if (orphaned.length > 0) await bucket.remove(orphaned);
  let removed = orphaned.length + dead.length;
  for (const { key, uploadId, begunAt } of open) {
    if (uploadIn(ownerOf(key)) !== undefined || !isOrphaned(ownerOf(key), hostId, begunAt)) continue;
    await bucket.abort(key, uploadId);
    removed += 1;
  }
  return removed;
}

/**
 * Ties a place in a bucket to a database. Everyone writes a mark of their own and then looks for others': of two who
 * come at the same moment, one at least sees the other.
 * @throws Error when it belongs to another, so that nothing is mixed or collected by mistake.
 */
async function claim(bucket: S3Bucket, folder: string, options: S3StoreOptions): Promise<void> {
  const own = folder + options.databaseId;
  const refuseOthers = async (): Promise<boolean> => {
    const marks = (await Array.fromAsync(bucket.list(folder))).map(({ key }) => key);
    const other = marks.find((key) => key !== own);
    if (other === undefined) return marks.length > 0;
    throw new Error(
      `The artifact store s3://${options.bucket}/${options.prefix} belongs to another database ` +
        `(${other.slice(folder.length)}, expected ${options.databaseId}). ` +
        'Set ARTIFACT_STORE to the place that goes with DATABASE_URL.',
    );
  };
  if (await refuseOthers()) return;
  await bucket.put(own, Buffer.alloc(0));
  try {
    await refuseOthers();
  } catch (error) {
    await bucket.remove([own]);
    throw error;
  }
}
