/** One bucket of S3, as few verbs. The only importer of AWS's SDK. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  paginateListParts,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
  UploadPartCopyCommand,
  type CompletedPart,
  type CreateMultipartUploadCommandInput,
  type MultipartUpload,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { Readable } from 'node:stream';
import { NotReadyError } from './errors.ts';

export interface S3Options {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint?: string | undefined;
  readonly forcePathStyle: boolean;
  /** Without it the SDK looks where AWS's tools look. */
  readonly credentials?:
    | { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
    | undefined;
  /** Told the cause of each failure that a caller only hears of in general. */
  readonly onFault: (error: Error) => void;
  /** How often a request is tried, at most. */
  readonly attempts?: number;
  /** How long a connection may take to be there, and how long it may be silent, in milliseconds. */
  readonly connectMs?: number;
  readonly idleMs?: number;
}

export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
  readonly modifiedAt: Date;
}

/** A multipart upload that has begun and not ended. */
export interface OpenUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly begunAt: Date;
}

/** A part, as completing wants it, and its size. */
export interface UploadedPart {
  readonly number: number;
  readonly bytes: number;
  readonly completed: CompletedPart;
}

/** S3 takes no more of them. */
export const MAX_PARTS = 10_000;
const MAX_DELETES = 1_000;
const RETRY_MS = 5_000;
/** Parts of one upload that are on their way at a time: each is held in memory. */
const PARTS_AT_A_TIME = 3;
const COPIES_AT_A_TIME = 4;

const isMissing = (error: unknown): boolean =>
  error instanceof S3ServiceException &&
  ['NoSuchKey', 'NotFound', 'NoSuchUpload'].includes(error.name) &&
  error.$metadata.httpStatusCode === 404;

/** What waiting does not mend: the bucket, the key or its rights are wrong. */
const isRefused = (error: unknown): boolean =>
  error instanceof S3ServiceException && [301, 401, 403, 404].includes(error.$metadata.httpStatusCode ?? 0);

export class S3Bucket {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #onFault: (error: Error) => void;

  constructor(options: S3Options) {
    const { attempts = 3, connectMs = 5_000, idleMs = 30_000 } = options;
    this.#bucket = options.bucket;
    this.#onFault = options.onFault;
    this.#client = new S3Client({
      region: options.region,
      forcePathStyle: options.forcePathStyle,
      maxAttempts: attempts,
      requestHandler: {
        connectionTimeout: connectMs,
        // Silence is what is limited, not the time that a request takes: parts can be large, and lines slow.
        socketTimeout: idleMs,
      },
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
    });
  }

  async put(key: string, body: Buffer): Promise<void> {
    await this.#ask(() => this.#client.send(new PutObjectCommand({ ...this.#at(key), Body: body })));
  }

  /**
   * Stores a stream, with memory for a few parts; no part is left behind on failure.
   * @throws the stream's own error where that is the cause.
   */
  async upload(key: string, body: Readable, partBytes: number): Promise<void> {
    const upload = new Upload({
      client: this.#client,
      params: { ...this.#at(key), Body: body },
      partSize: partBytes,
      queueSize: PARTS_AT_A_TIME,
    });
    try {
      await upload.done();
    } catch (error) {
      const isOfBody = error === body.errored;
      body.destroy();
      throw isOfBody ? error : this.fault(error);
    }
  }

  /** A stored object, from a byte on, or up to another one (inclusive); undefined when it is missing. */
  async get(
    key: string,
    start: number,
    end: number | undefined,
    signal?: AbortSignal,
  ): Promise<Readable | undefined> {
    const isWhole = start === 0 && end === undefined;
    const found = await this.#find(() =>
      this.#client.send(
        new GetObjectCommand({
          ...this.#at(key),
          ...(isWhole ? {} : { Range: `bytes=${start}-${end ?? ''}` }),
        }),
        signal ? { abortSignal: signal } : {},
      ),
    );
    return found?.Body as Readable | undefined;
  }

  async sizeOf(key: string, signal?: AbortSignal): Promise<number | undefined> {
    const found = await this.#find(() =>
      this.#client.send(new HeadObjectCommand(this.#at(key)), signal ? { abortSignal: signal } : {}),
    );
    return found && (found.ContentLength ?? 0);
  }

  /** A copy within the bucket, by the server; false when the source is missing. */
  async copy(from: string, to: string): Promise<boolean> {
    const found = await this.#find(() =>
      this.#client.send(new CopyObjectCommand({ ...this.#at(to), CopySource: this.#source(from) })),
    );
    return found !== undefined;
  }

  /** The same for what is too large to be copied at once. */
  async copyInParts(from: string, to: string, bytes: number, partBytes: number): Promise<void> {
    // Without checksums, which not every server has for copied parts: no byte leaves it.
    const uploadId = await this.#begin(this.#at(to));
    try {
      const starts = Array.from({ length: Math.ceil(bytes / partBytes) }, (_, index) => index * partBytes);
      const parts: CompletedPart[] = [];
      const copyOne = async (start: number): Promise<void> => {
        const end = Math.min(start + partBytes, bytes) - 1;
        const PartNumber = start / partBytes + 1;
        const { CopyPartResult } = await this.#ask(() =>
          this.#client.send(
            new UploadPartCopyCommand({
              ...this.#at(to),
              UploadId: uploadId,
              PartNumber,
              CopySource: this.#source(from),
              CopySourceRange: `bytes=${start}-${end}`,
            }),
          ),
        );
        parts.push({ ETag: CopyPartResult?.ETag, ...checksumOf(CopyPartResult ?? {}), PartNumber });
      };
      await eachOf(starts, COPIES_AT_A_TIME, copyOne);
      await this.complete(to, uploadId, parts);
    } catch (error) {
      await this.abort(to, uploadId).catch(() => undefined);
      throw error;
    }
  }

  /** Harmless for what is missing. */
  async remove(keys: readonly string[]): Promise<void> {
    for (let at = 0; at < keys.length; at += MAX_DELETES) {
      const Objects = keys.slice(at, at + MAX_DELETES).map((Key) => ({ Key }));
      const { Errors = [] } = await this.#ask(() =>
        this.#client.send(
          new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } }),
        ),
      );
      const [first] = Errors;
      if (first) throw this.fault(new Error(`${first.Key}: ${first.Code} ${first.Message}`));
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const pages = paginateListObjectsV2({ client: this.#client }, { Bucket: this.#bucket, Prefix: prefix });
    try {
      for await (const { Contents = [] } of pages) {
        for (const { Key, Size, LastModified } of Contents) {
          if (Key !== undefined) yield { key: Key, bytes: Size ?? 0, modifiedAt: LastModified ?? new Date() };
        }
      }
    } catch (error) {
      throw this.fault(error);
    }
  }

  /** Begins a multipart upload, whose parts are checked on arrival, and answers its id. */
  begin(key: string): Promise<string> {
    return this.#begin({ ...this.#at(key), ChecksumAlgorithm: 'CRC32' });
  }

  async putPart(key: string, uploadId: string, number: number, body: Buffer): Promise<void> {
    await this.#ask(() =>
      this.#client.send(
        new UploadPartCommand({
          ...this.#at(key),
          UploadId: uploadId,
          PartNumber: number,
          Body: body,
          ChecksumAlgorithm: 'CRC32',
        }),
      ),
    );
  }

  /** Its parts by number; undefined when there is no such upload. */
  parts(key: string, uploadId: string): Promise<UploadedPart[] | undefined> {
    return this.#find(async () => {
      const found: UploadedPart[] = [];
      for await (const { Parts = [] } of paginateListParts(
        { client: this.#client },
        { ...this.#at(key), UploadId: uploadId },
      )) {
        for (const part of Parts) {
          const { PartNumber = 0, Size = 0, ETag } = part;
          found.push({
            number: PartNumber,
            bytes: Size,
            completed: { PartNumber, ETag, ...checksumOf(part) },
          });
        }
      }
      return found;
    });
  }

  async complete(key: string, uploadId: string, parts: readonly CompletedPart[]): Promise<void> {
    const Parts = parts.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    const done = await this.#find(() =>
      this.#client.send(
        new CompleteMultipartUploadCommand({
          ...this.#at(key),
          UploadId: uploadId,
          MultipartUpload: { Parts },
        }),
      ),
    );
    // Repeated because its answer was lost: then the upload is gone and the object is there.
    if (!done && (await this.sizeOf(key)) === undefined) {
      throw this.fault(new Error(`The multipart upload of ${key} is gone.`));
    }
  }

  /** Harmless for what has ended. */
  async abort(key: string, uploadId: string): Promise<void> {
    await this.#find(() =>
      this.#client.send(new AbortMultipartUploadCommand({ ...this.#at(key), UploadId: uploadId })),
    );
  }

  /** MinIO tells them only where the prefix is a whole key; it ends those that are left by itself, after a day. */
  async *openUploads(prefix: string): AsyncGenerator<OpenUpload> {
    let after: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
    while (after) {
      const marker: object = after;
      const page = await this.#ask(() =>
        this.#client.send(
          new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: prefix, ...marker }),
        ),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? ([] as MultipartUpload[])) {
        if (Key !== undefined && UploadId !== undefined) {
          yield { key: Key, uploadId: UploadId, begunAt: Initiated ?? new Date() };
        }
      }
      after = page.IsTruncated
        ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
        : undefined;
    }
  }

  /** What a failure of S3 is to a caller; the cause goes to the log. Errors of our own stay themselves. */
  fault(error: unknown): unknown {
    if (error instanceof NotReadyError) return error;
    const cause = error instanceof Error ? error : new Error(String(error));
    if (cause.name === 'AbortError') return cause;
    this.#onFault(cause);
    const fault = isRefused(error)
      ? new NotReadyError(
          'The artifact store does not let us in.',
          null,
          "Compare ARTIFACT_STORE, S3_ENDPOINT and the credentials with the bucket; the server's log has the reason.",
        )
      : new NotReadyError(
          'The artifact store does not answer as it should right now.',
          RETRY_MS,
          "Try again; if it stays so, the server's log has the reason.",
        );
    fault.cause = cause;
    return fault;
  }

  async #begin(input: CreateMultipartUploadCommandInput): Promise<string> {
    const { UploadId } = await this.#ask(() => this.#client.send(new CreateMultipartUploadCommand(input)));
    if (UploadId === undefined) throw this.fault(new Error('A multipart upload began without an id.'));
    return UploadId;
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: key };
  }

  #source(key: string): string {
    return [this.#bucket, ...key.split('/')].map(encodeURIComponent).join('/');
  }

  async #ask<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      throw this.fault(error);
    }
  }

  async #find<T>(request: () => Promise<T>): Promise<T | undefined> {
    return this.#ask(async () => {
      try {
        return await request();
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }
}

/** The checksum that a part was stored with, which completing has to name again. */
function checksumOf({ ChecksumCRC32 }: { ChecksumCRC32?: string | undefined }): { ChecksumCRC32?: string } {
  return ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 };
}

/** Does work for each item, so many at a time; the first failure ends it once those at work have settled. */
async function eachOf<T>(
  items: readonly T[],
  atATime: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const one = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  const results = await Promise.allSettled(Array.from({ length: atATime }, one));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
