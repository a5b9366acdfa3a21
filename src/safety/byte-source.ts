/** Bytes that can be read anywhere, a few at a time: a file, a stretch of it, or a buffer. */
import { fstatSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';

export interface ByteSource {
  /** In bytes. */
  readonly size: number;
  /** Copies what lies from `position` on into `target`. Returns how many bytes: fewer than asked only at the end. */
  read(target: Uint8Array, position: number): number;
}

/** An open file. Its size is taken once: stored artifacts do not change. */
export function fileSource(descriptor: number): ByteSource {
  return {
    size: fstatSync(descriptor).size,
    read(target, position) {
      let done = 0;
      while (done < target.length) {
        const count = readSync(descriptor, target, done, target.length - done, position + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    },
  };
}

export function bufferSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read(target, position) {
      const part = bytes.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
  };
}

/** Bytes `start` to `start + size` of another source, which must hold them. */
export function sliceOf(source: ByteSource, start: number, size: number): ByteSource {
  return {
    size,
    read(target, position) {
      const count = Math.max(0, Math.min(target.length, size - position));
      return source.read(target.subarray(0, count), start + position);
    },
  };
}

/** `length` bytes from `position` on, fewer at the end. */
export function bytesAt(source: ByteSource, position: number, length: number): Buffer {
  const target = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, source.size - position)));
  return target.subarray(0, source.read(target, position));
}

/** One for all, since thousands of small members are summed one after the other. */
const scratch = Buffer.alloc(64 * 1024);

/** CRC-32 of all bytes, as zip archives have it. */
export function checksumOf(source: ByteSource): number {
  let sum = 0;
  for (let at = 0; at < source.size;) {
    const count = source.read(scratch.subarray(0, source.size - at), at);
    if (count === 0) break;
    sum = crc32(scratch.subarray(0, count), sum);
    at += count;
  }
  return sum;
}
