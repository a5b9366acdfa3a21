/** Contents that compressed bytes unpack to: held in memory where they are small, unpacked as they are read beyond. */
import { bufferSource } from '../byte-source.ts';
import { ByteStream, EndOfBytes } from '../byte-stream.ts';
import type { Feed } from '../byte-stream.ts';
import { contentOf } from '../content.ts';
import type { Content } from '../content.ts';
import { BrokenCompression } from './compression.errors.ts';
import type { Limits } from '../limits.ts';
import type { Expansion } from './expansion.ts';
import type { Reopen } from './inflate.ts';

/** Unpacks the bytes that `reopen` opens, in pieces. @returns where they end. */
export type Codec = (reopen: Reopen, limits: Limits) => AsyncGenerator<Buffer, number>;

export interface Packed {
  readonly reopen: Reopen;
  readonly codec: Codec;
  readonly expansion: Expansion;
  /** Whether what comes out has been counted already. */
  readonly isCounted: boolean;
  readonly limits: Limits;
  /** Of what it unpacks to. */
  readonly path: string;
  /** Whether the packed bytes are a compressed stream by themselves and not a member of an archive. */
  readonly isStream: boolean;
  /** Bytes that it may unpack to before that is an error; undefined: whatever `expansion` allows. */
  readonly atMost?: number;
}

export interface Unpacked {
  readonly content: Content;
  /** Where the packed bytes end; undefined where that was not reached. */
  readonly end: number | undefined;
  /** What stopped the unpacking; `content` holds what came before. */
  readonly error: EndOfBytes | BrokenCompression | undefined;
}

/** Counts bytes that are unpacked for the first time, and not those that are unpacked again. */
class Progress {
  readonly #packed: Packed;
  #furthest = 0;

  constructor(packed: Packed) {
    this.#packed = packed;
  }

  /** `bytes` have come out that end at `position`. @throws Bomb, TooLarge */
  reached(position: number, bytes: number): void {
    const { expansion, isCounted } = this.#packed;
    expansion.worked(bytes);
    if (position <= this.#furthest) return;
    if (!isCounted) expansion.add(position - this.#furthest);
    this.#furthest = position;
  }
}

function checkLength({ atMost }: Packed, size: number): void {
  if (atMost === undefined || size <= atMost) return;
  throw new BrokenCompression(`It unpacks to more than the ${atMost} bytes that are announced.`);
}

/** What comes out as a feed. */
function piecesFeed(packed: Packed, progress: Progress): Feed {
  const pieces = packed.codec(packed.reopen, packed.limits);
  let piece: Buffer = Buffer.alloc(0);
  let done = 0;
  const next = async (): Promise<boolean> => {
    while (piece.length === 0) {
      const { value, done: ended } = await pieces.next();
      if (ended === true) return false;
      piece = value;
      done += piece.length;
      progress.reached(done, piece.length);
      checkLength(packed, done);
    }
    return true;
  };
  return {
    async read(target) {
      if (!(await next())) return 0;
      const count = piece.copy(target);
      piece = piece.subarray(count);
      return count;
    },
    skip(count) {
      const skipped = Math.min(count, piece.length);
      piece = piece.subarray(skipped);
      return skipped;
    },
    close() {
      // What fails while it is ended is of no interest to anyone.
      pieces.return(0).catch(() => undefined);
    },
  };
}

function streamed(packed: Packed, progress: Progress): Content {
  return {
    path: packed.path,
    size: undefined,
    source: undefined,
    compressed: packed.isStream,
    open: () => new ByteStream(piecesFeed(packed, progress)),
  };
}

/**
 * Unpacks up to `heldBytes` into memory; where there are more, the content unpacks them anew each time it is opened.
 * @throws Bomb, TooLarge, DictionaryTooLarge
 */
export async function unpack(packed: Packed): Promise<Unpacked> {
  const progress = new Progress(packed);
  const pieces = packed.codec(packed.reopen, packed.limits);
  const parts: Buffer[] = [];
  let size = 0;
  let end: number | undefined;
  let error: Unpacked['error'];
  try {
    for (;;) {
      const next = await pieces.next();
      if (next.done === true) {
        end = next.value;
        break;
      }
      size += next.value.length;
      progress.reached(size, next.value.length);
      checkLength(packed, size);
      if (size > packed.limits.heldBytes)
        return { content: streamed(packed, progress), end: undefined, error: undefined };
      parts.push(next.value);
    }
  } catch (thrown) {
    if (!(thrown instanceof EndOfBytes) && !(thrown instanceof BrokenCompression)) throw thrown;
    error = thrown;
  } finally {
    // Ends the engine of a stream that is given up half-way.
    await pieces.return(0);
  }
  const content = contentOf(bufferSource(Buffer.concat(parts)), packed.path, packed.isStream);
  return { content, end, error };
}
