/**
 * Bytes by content: a file's name is its SHA-256. What arrives is staged first, hashed on the way and made durable, and
 * then gets its name in one step, so a name never stands for half a file.
 *
 * Terms: a file is *staged* until it is *kept* (under its digest) or discarded; a *resumable* upload is staged bit by
 * bit, by several requests and processes, until it is *sealed*; to *localise* a file is to have its bytes on this host.
 *
 * Every verb that reaches the disk or S3 throws NotReadyError when that fails or cannot be reached, and those that write
 * OverloadedError when there is no room: both tell when to try again, and neither leaves half a file to be seen.
 */
import type { Readable, Writable } from 'node:stream';
import type { ByteRange } from './byte-range.ts';

/** Bytes that have arrived and wait for their row. */
export interface StagedFile {
  readonly stagedAt: string;
  /** SHA-256, 64 lower-case hex digits. */
  readonly digest: string;
  readonly bytes: number;
}

export interface AppendOptions {
  /** Of the whole upload. */
  readonly bytes: number;
  readonly signal?: AbortSignal;
  /**
   * Asked before each write, which does not take place when it rejects: somebody else may be at it by then, while this
   * process stood still.
   */
  readonly confirm?: () => Promise<void>;
  /** Sees every chunk in order, for a digest on the way. */
  readonly onBytes?: (chunk: Buffer) => void;
}

/**
 * Uploads that go on after a break, also in another process. One process at a time appends to an upload: the caller
 * sees to that. Register an upload's id where `isLive` of `sweepStaging` finds it before it is begun.
 */
export interface ResumableUploads {
  /**
   * Harmless twice.
   * @param id letters, digits, `-` and `_`.
   * @throws OverloadedError when there is no room for `bytes`.
   */
  begin(id: string, bytes: number): Promise<void>;
  /** How many bytes are safely there; undefined when nothing was begun. */
  offset(id: string): Promise<number | undefined>;
  /**
   * Appends what `source` brings, and answers with the new offset. What arrived before a failure of the source, or
   * before `signal` fires, stays; nothing is written any more once the promise has settled. The source is left paused
   * after a failure, not destroyed: whoever has it may still have to answer on it.
   * @throws NotFoundError when nothing was begun, ConflictError unless `offset` is the present one, ValidationError for
   * what goes past `bytes` (those up to it stay), the source's own error, the signal's reason.
   */
  append(id: string, offset: number, source: Readable, options: AppendOptions): Promise<number>;
  /**
   * Ends it: durable, and staged. Safe to call twice, also after `keep` where the digest is given.
   * @param digest where the caller has computed it over all bytes; else it is computed by one re-read.
   * @throws NotFoundError when nothing was begun, ConflictError while it does not hold exactly `bytes`.
   */
  seal(id: string, bytes: number, digest: string | undefined): Promise<StagedFile>;
  /** Forgets an upload and its bytes; harmless twice. */
  abandon(id: string): Promise<void>;
}

/** A kept file, or a part of it, that is there to be sent. One of the two verbs must be called. */
export interface OpenFile {
  /**
   * Writes it into a stream, which stays open, and which must have passed bytes on when it calls back for them, as answers
   * over HTTP have.
   * @throws the stream's own error, NotReadyError.
   */
  pour(into: Writable): Promise<void>;
  /** Nobody wants it any more. */
  close(): Promise<void>;
}

export interface ArtifactStore {
  readonly kind: 'local' | 's3';
  /**
   * Streams bytes into staging, with flat memory; nothing is left behind on failure.
   * @param expectedBytes where known: refused before the first byte when there is no room for them.
   * @throws ValidationError when there are more than `maxBytes`, naming MAX_FILE_BYTES.
   */
  stage(source: Readable, maxBytes: number, expectedBytes?: number): Promise<StagedFile>;
  /** Takes a local file over as staged: it is gone from its path afterwards. */
  stageFile(path: string): Promise<StagedFile>;
  /** Gives a staged file its digest's name; doing it twice is harmless. */
  keep(staged: StagedFile): Promise<void>;
  discard(staged: StagedFile): Promise<void>;
  readonly resumable: ResumableUploads;
  /**
   * A kept file's bytes, or a part of them. A stream from S3 that breaks goes on where it broke.
   * @throws NotFoundError, RangeError for a range that begins outside of the file.
   */
  read(digest: string, range?: ByteRange): Promise<Readable>;
  /**
   * The same, to be sent on with flat memory.
   * @throws NotFoundError, RangeError for a range that begins outside of the file.
   */
  open(digest: string, range: ByteRange): Promise<OpenFile>;
  /** In bytes; undefined when it is not kept. */
  sizeOf(digest: string): Promise<number | undefined>;
  /**
   * Absolute path of the bytes on this host. A local store's is the file itself. That of S3 is a copy whose digest was
   * checked, fetched once by all who ask for it; copies that were used least recently make room for others, so make
   * a link to it where it is needed for longer than a minute.
   * @throws NotFoundError, the signal's reason.
   */
  localise(digest: string, signal?: AbortSignal): Promise<string>;
  remove(digest: string): Promise<void>;
  /**
   * @param confirm asked now and then whether nobody else may be at them, and once they are out of sight; when it rejects,
   * none of a folder's files is gone, and none of a bucket's that had not been asked about.
   */
  removeMany(digests: readonly string[], confirm?: () => Promise<void>): Promise<void>;
  /** All kept files, in no order and with flat memory. */
  list(): AsyncIterable<{ readonly digest: string; readonly bytes: number }>;
  /**
   * Removes what was staged by processes of this host that are gone, what is older than a day, and resumable uploads
   * that `isLive` does not know, whatever their age. Returns how many.
   */
  sweepStaging(isLive: (uploadIds: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number>;
  /** For readiness: rejects when it cannot be used now. */
  check(): Promise<void>;
}
