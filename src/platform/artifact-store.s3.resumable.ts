/**
 * Resumable uploads on S3: a multipart upload each, in parts of one size. What does not fill a part yet is an object of
 * its own, named by where it begins and how long it is: whoever was killed, and whatever arrives late, the longest one
 * behind the last part is the upload's end.
 *
 *     upload~<id>/upload              which multipart upload it is, and its part size
 *     upload~<id>/tail/<from>-<bytes> what lies behind the parts
 *     upload~<id>/data                the whole, once it is sealed
 */
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { z } from 'zod';
import type { AppendOptions, ResumableUploads, StagedFile } from './artifact-store.ts';
import { consume, digestOf, keepAlive } from './intake.ts';
import { checkOffset, notBegun, notWhole, upTo } from './resumable.ts';
import { PartWriter } from './s3.part-writer.ts';
import { readObject } from './s3.read.ts';
import type { S3Bucket, UploadedPart } from './s3.ts';
import { uploadName } from './staging.ts';

/** How the key of a sealed upload's bytes ends. */
export const UPLOAD_DATA = '/data';

export interface S3UploadsOptions {
  readonly bucket: S3Bucket;
  /** Prefix of what is staged, with a slash at its end. */
  readonly folder: string;
  readonly partBytesFor: (bytes: number) => number;
  readonly isKept: (digest: string, bytes: number) => Promise<boolean>;
}

const begun = z.strictObject({ uploadId: z.string(), partBytes: z.int().positive() });

interface Tail {
  readonly key: string;
  readonly bytes: number;
}

/** How far an upload is. */
interface Progress {
  readonly uploadId: string;
  readonly partBytes: number;
  /** Those without a gap, from the first one on. */
  readonly parts: readonly UploadedPart[];
  readonly tail: Tail | undefined;
  readonly offset: number;
}

export function s3Uploads({ bucket, folder, partBytesFor, isKept }: S3UploadsOptions): ResumableUploads {
  const placeOf = (id: string): string => folder + uploadName(id);
  const dataOf = (id: string): string => placeOf(id) + UPLOAD_DATA;
  const tailsOf = (id: string): string => `${placeOf(id)}/tail/`;
  const recordOf = (id: string): string => `${placeOf(id)}/upload`;

  async function findRecord(id: string): Promise<z.infer<typeof begun> | undefined> {
    const found = await bucket.get(recordOf(id), 0, undefined);
    if (!found) return undefined;
    // Small enough to come in one piece; a break is like any failure of S3.
    const text = await buffer(found).catch((error: unknown) => Promise.reject(bucket.fault(error) as Error));
    return begun.parse(JSON.parse(text.toString()));
  }

  async function progressOf(id: string): Promise<Progress | undefined> {
    const record = await findRecord(id);
    const all = record && (await bucket.parts(dataOf(id), record.uploadId));
    if (!all) return undefined;
    // The last one, which sealing adds, is shorter: what it holds is still a tail as well.
    const byNumber = new Map(
      all.filter((part) => part.bytes === record.partBytes).map((part) => [part.number, part]),
    );
    const parts: UploadedPart[] = [];
    for (let next = byNumber.get(1); next; next = byNumber.get(parts.length + 1)) parts.push(next);
    const from = parts.length * record.partBytes;
    const tail = await findTail(`${tailsOf(id)}${from}-`);
    return { ...record, parts, tail, offset: from + (tail?.bytes ?? 0) };
  }

  /** The longest: a shorter one is what an earlier append has left. */
  async function findTail(prefix: string): Promise<Tail | undefined> {
    const found = await Array.fromAsync(bucket.list(prefix));
    return found.toSorted((a, b) => b.bytes - a.bytes)[0];
  }

  async function readTail({ key, bytes }: Tail): Promise<Buffer> {
    if (bytes === 0) return Buffer.alloc(0);
    return buffer(await readObject(bucket, key, key, { start: 0, end: bytes - 1 }));
  }

  async function removeTails(id: string, keep?: string): Promise<void> {
    const tails = (await Array.fromAsync(bucket.list(tailsOf(id)))).map(({ key }) => key);
    const old = tails.filter((key) => key !== keep);
    if (old.length > 0) await bucket.remove(old);
  }

  async function append(
    id: string,
    offset: number,
    source: Readable,
    { bytes, signal, confirm, onBytes }: AppendOptions,
  ): Promise<number> {
    keepAlive(source);
    const progress = await progressOf(id);
    checkOffset(id, offset, progress?.offset ?? (await sealedSize(id)));
    if (!progress) throw notBegun(id);
    signal?.throwIfAborted();
    const { uploadId, partBytes, parts, tail } = progress;
    const writer = new PartWriter(partBytes, parts.length, async (number, body) => {
      await confirm?.();
      await bucket.putPart(dataOf(id), uploadId, number, body);
    });
    if (tail) await writer.add(await readTail(tail));
    const limit = upTo(bytes, offset);
    const save = async (): Promise<void> => {
      const { rest, from } = await writer.end();
      await confirm?.();
      // Its name tells it from the one before, which stays until this one is there.
      const key = `${tailsOf(id)}${from}-${rest.length}`;
      if (rest.length > 0 && key !== tail?.key) await bucket.put(key, rest);
      await removeTails(id, key);
    };
    const take = (chunk: Buffer): Promise<void> | undefined => {
      const wanted = limit.take(chunk);
      if (wanted.length > 0) onBytes?.(wanted);
      const written = writer.add(wanted);
      limit.check();
      return written;
    };
    try {
      await consume(source, take, signal);
    } finally {
      // What arrived stays, whatever ended it.
      await save();
    }
    return limit.offset;
  }

  const sealedSize = (id: string): Promise<number | undefined> => bucket.sizeOf(dataOf(id));

  async function seal(id: string, bytes: number, digest: string | undefined): Promise<StagedFile> {
    const key = dataOf(id);
    const present = await sealedSize(id);
    if (present === undefined) {
      const progress = await progressOf(id);
      if (!progress) {
        // Kept already, by whoever was killed before they could say so.
        if (digest !== undefined && (await isKept(digest, bytes))) return { stagedAt: key, digest, bytes };
        throw notBegun(id);
      }
      if (progress.offset !== bytes) throw notWhole(id, progress.offset, bytes);
      await complete(id, progress);
    } else if (present !== bytes) throw notWhole(id, present, bytes);
    const content = async (): Promise<Readable> =>
      readObject(bucket, key, `Upload ${id}`, { start: 0, end: bytes - 1 });
    return { stagedAt: key, digest: digest ?? (await digestOf(await content())), bytes };
  }

  async function complete(id: string, { uploadId, parts, tail, offset }: Progress): Promise<void> {
    const key = dataOf(id);
    if (offset === 0) {
      // S3 knows no upload without parts.
      await bucket.put(key, Buffer.alloc(0));
      return bucket.abort(key, uploadId);
    }
    let all = parts;
    if (tail) {
      await bucket.putPart(key, uploadId, parts.length + 1, await readTail(tail));
      all = ((await bucket.parts(key, uploadId)) ?? []).slice(0, parts.length + 1);
    }
    await bucket.complete(
      key,
      uploadId,
      all.map(({ completed }) => completed),
    );
  }

  return {
    begin: async (id, bytes) => {
      if ((await findRecord(id)) || (await sealedSize(id)) !== undefined) return;
      const uploadId = await bucket.begin(dataOf(id));
      const record: z.infer<typeof begun> = { uploadId, partBytes: partBytesFor(bytes) };
      await bucket.put(recordOf(id), Buffer.from(JSON.stringify(record)));
    },
    offset: async (id) => (await progressOf(id))?.offset ?? (await sealedSize(id)),
    append,
    seal,
    abandon: async (id) => {
      for await (const { key, uploadId } of bucket.openUploads(dataOf(id))) await bucket.abort(key, uploadId);
      const keys = (await Array.fromAsync(bucket.list(`${placeOf(id)}/`))).map(({ key }) => key);
      if (keys.length > 0) await bucket.remove(keys);
    },
  };
}
