/** What is looked at: a file, a member of an archive, or what either unpacks to. */
import { sliceOf } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';
import { ByteStream, sourceFeed } from './byte-stream.ts';
import type { Feed } from './byte-stream.ts';

export interface Content {
  /** For findings: the file's name, then each member's after a `!`. */
  readonly path: string;
  /** In bytes; undefined where only unpacking it all would tell. */
  readonly size: number | undefined;
  /** Where any part can be read at once; undefined where only front to back. */
  readonly source: ByteSource | undefined;
  /** Whether it comes out of a compressed stream (not an archive's member): how joblib compresses. */
  readonly compressed: boolean;
  /** From the start; as often as needed. */
  open(): ByteStream;
}

/** Reading a small one must not cost a large window. */
const smallestWindow = 4096;
const largestWindow = 64 * 1024;

export function contentOf(source: ByteSource, path: string, compressed = false): Content {
  const window = Math.min(largestWindow, Math.max(smallestWindow, source.size));
  return {
    path,
    size: source.size,
    source,
    compressed,
    open: () => new ByteStream(sourceFeed(source), window),
  };
}

/** The stream of a content, `skipped` bytes in. */
export async function openAt(content: Content, skipped: number): Promise<ByteStream> {
  const stream = content.open();
  await stream.pass(skipped);
  return stream;
}

/** Copies at most `left` bytes of a stream that is opened when the first are wanted. */
function partFeed(content: Content, start: number, size: number): Feed {
  let inner: ByteStream | undefined;
  let left = size;
  return {
    async read(target) {
      inner ??= await openAt(content, start);
      if (left === 0 || !(await inner.fill(1))) return 0;
      const count = Math.min(left, target.length, inner.buffered);
      inner.window.copy(target, 0, inner.at, inner.at + count);
      inner.at += count;
      left -= count;
      return count;
    },
    skip: () => 0,
    close: () => inner?.close(),
  };
}

/** `size` bytes of a content from `start` on (Infinity: all that follow), which may be read front to back only. */
export function partOf(content: Content, path: string, start: number, size: number): Content {
  const { source } = content;
  if (source !== undefined)
    return contentOf(sliceOf(source, start, Math.min(size, source.size - start)), path);
  return {
    path,
    size: size === Infinity ? undefined : size,
    source: undefined,
    compressed: false,
    open: () => new ByteStream(partFeed(content, start, size)),
  };
}
