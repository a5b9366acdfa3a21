/** DEFLATE (RFC 1951) and its two wrappings, zlib (RFC 1950) and gzip (RFC 1952), one stream after another. */
import { pipeline } from 'node:stream';
import { createInflate, createInflateRaw } from 'node:zlib';
import type { Inflate, InflateRaw } from 'node:zlib';
import type { ByteStream } from '../byte-stream.ts';
import { EndOfBytes } from '../byte-stream.ts';
import { BrokenCompression, Unsupported } from './compression.errors.ts';

const chunkBytes = 64 * 1024;

/** The stream's bytes in pieces, until the consumer stops asking. */
async function* pieces(input: ByteStream): AsyncGenerator<Buffer, void> {
  while (!(await input.isAtEnd())) {
    const piece = Buffer.from(input.window.subarray(input.at, input.end));
    input.at = input.end;
    yield piece;
  }
}

async function* decompressed(engine: Inflate | InflateRaw, input: ByteStream): AsyncGenerator<Buffer, void> {
  // The engine passes errors of either side on to whoever reads it; there is nothing else to do with them.
  pipeline(pieces(input), engine, () => undefined);
  try {
    for await (const chunk of engine) yield chunk as Buffer;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR') throw new EndOfBytes();
    if (code?.startsWith('Z_') !== true) throw error;
    throw new BrokenCompression('The compressed bytes are damaged.');
  } finally {
    engine.destroy();
  }
}

/** Opens the compressed bytes again where they lie, `skipped` bytes in. */
export type Reopen = (skipped: number) => Promise<ByteStream>;

/**
 * One raw DEFLATE or zlib stream from `start` on.
 * @returns where it ends. @throws EndOfBytes, BrokenCompression
 */
async function* one(reopen: Reopen, start: number, raw: boolean): AsyncGenerator<Buffer, number> {
  const engine = raw ? createInflateRaw({ chunkSize: chunkBytes }) : createInflate({ chunkSize: chunkBytes });
  yield* decompressed(engine, await reopen(start));
  // What the engine took of the last piece, and not what was offered.
  return start + engine.bytesWritten;
}

/** A raw DEFLATE stream. @throws EndOfBytes, BrokenCompression */
export function inflateRaw(reopen: Reopen): AsyncGenerator<Buffer, number> {
  return one(reopen, 0, true);
}

async function zeroTerminated(input: ByteStream): Promise<void> {
  do await input.need(1);
  while (input.byte() !== 0);
}

/** Flags of a gzip header. */
const [hasChecksum, hasExtra, hasName, hasComment] = [2, 4, 8, 16];

/** Moves past a gzip header. @returns its length. @throws BrokenCompression where there is none. */
async function gzipHeader(input: ByteStream): Promise<number> {
  const start = input.position;
  await input.need(10);
  const header = await input.take(10);
  const flags = header[3] ?? 0;
  if (header[0] !== 0x1f || header[1] !== 0x8b || header[2] !== 8 || flags > 31) {
    throw new BrokenCompression('The gzip header is damaged.');
  }
  if ((flags & hasExtra) !== 0) {
    await input.need(2);
    await input.skip(input.uint16());
  }
  if ((flags & hasName) !== 0) await zeroTerminated(input);
  if ((flags & hasComment) !== 0) await zeroTerminated(input);
  if ((flags & hasChecksum) !== 0) await input.skip(2);
  return input.position - start;
}

/** Checksum and size, behind each gzip member. */
const gzipTrailer = 8;

/** Whether a further stream starts at `at`: a loader reads on there, as joblib and gzip do. */
async function startsAt(reopen: Reopen, at: number, first: number, second: (byte: number) => boolean) {
  const [a, b] = await (await reopen(at)).peek(2);
  return a === first && b !== undefined && second(b);
}

/** Streams in a row; each costs as much as a hundred kilobytes, and can be a few bytes. */
const maxStreams = 20_000;

function countStream(count: number): void {
  if (count > maxStreams) throw new Unsupported(`It is more than ${maxStreams} compressed streams in a row.`);
}

/** A gzip file of one or more members. @throws EndOfBytes, BrokenCompression, Unsupported */
export async function* gunzip(reopen: Reopen): AsyncGenerator<Buffer, number> {
  let [at, streams] = [0, 0];
  do {
    countStream(++streams);
    const header = await gzipHeader(await reopen(at));
    const end = yield* one(reopen, at + header, true);
    at = end + gzipTrailer;
    await (await reopen(end)).need(gzipTrailer);
  } while (await startsAt(reopen, at, 0x1f, (byte) => byte === 0x8b));
  return at;
}

/** One or more zlib streams. @throws EndOfBytes, BrokenCompression, Unsupported */
export async function* inflate(reopen: Reopen): AsyncGenerator<Buffer, number> {
  let [at, streams] = [0, 0];
  do {
    countStream(++streams);
    at = yield* one(reopen, at, false);
  } while (await startsAt(reopen, at, 0x78, (byte) => (0x7800 + byte) % 31 === 0));
  return at;
}
