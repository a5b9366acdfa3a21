/** Reading bytes front to back through a window of fixed size, wherever they come from. */
import type { ByteSource } from './byte-source.ts';

/** The bytes end where more were announced. */
export class EndOfBytes extends Error {
  override readonly name = 'EndOfBytes';
}

/** Where a stream's bytes come from. */
export interface Feed {
  /** Copies the next bytes into `target`. Returns how many; 0 only at the end. */
  read(target: Buffer): number | Promise<number>;
  /** Passes over up to `count` bytes if that is cheaper than reading them. Returns how many. */
  skip(count: number): number;
  /** Ends whatever produces the bytes; they are not wanted any more. */
  close?(): void;
}

/** The bytes of a source from `position` on. Passing over them costs nothing. */
export function sourceFeed(source: ByteSource, position = 0): Feed {
  let at = position;
  return {
    read(target) {
      const count = source.read(target, at);
      at += count;
      return count;
    },
    skip(count) {
      const passed = Math.max(0, Math.min(count, source.size - at));
      at += passed;
      return passed;
    },
  };
}

/** More than any reader asks for at once. */
const defaultWindow = 64 * 1024;

/**
 * A window onto a feed. Reading is synchronous once `fill` has said that the bytes are there: a loop that awaited
 * each byte would be a hundred times slower.
 */
export class ByteStream {
  readonly #feed: Feed;
  /** Bytes `at` to `end` are there to be taken. Public for the loops that look at every byte. */
  readonly window: Buffer;
  at = 0;
  end = 0;
  /** Offset in the feed of the window's first byte. */
  #start = 0;
  #ended = false;

  constructor(feed: Feed, windowBytes = defaultWindow) {
    this.#feed = feed;
    this.window = Buffer.allocUnsafeSlow(windowBytes);
  }

  /** Offset of the next byte. */
  get position(): number {
    return this.#start + this.at;
  }

  get buffered(): number {
    return this.end - this.at;
  }

  /** Waits until `count` bytes are there (at most the window's size). False: the feed ends before. */
  async fill(count: number): Promise<boolean> {
    if (this.buffered >= count) return true;
    this.window.copyWithin(0, this.at, this.end);
    this.#start += this.at;
    this.end -= this.at;
    this.at = 0;
    while (!this.#ended && this.end < count) {
      const read = await this.#feed.read(this.window.subarray(this.end));
      this.end += read;
      this.#ended = read === 0;
    }
    return this.end >= count;
  }

  /** @throws EndOfBytes when fewer than `count` bytes are left. */
  async need(count: number): Promise<void> {
    if (this.buffered < count && !(await this.fill(count))) throw new EndOfBytes();
  }

  /** To be called where reading may end before the bytes do. */
  close(): void {
    this.#feed.close?.();
  }

  /** Whether no byte is left. */
  async isAtEnd(): Promise<boolean> {
    return !(await this.fill(1));
  }

  /** Passes over `count` bytes; fewer are there when it returns less. */
  async pass(count: number): Promise<number> {
    let left = count;
    for (;;) {
      const taken = Math.min(left, this.buffered);
      this.at += taken;
      left -= taken;
      if (left === 0) return count;
      const skipped = this.#feed.skip(left);
      this.#start += skipped;
      left -= skipped;
      if (left > 0 && !(await this.fill(1))) return count - left;
    }
  }

  /** @throws EndOfBytes when fewer than `count` bytes are left. */
  async skip(count: number): Promise<void> {
    if ((await this.pass(count)) < count) throw new EndOfBytes();
  }

  /** A copy of the next `count` bytes. @throws EndOfBytes when fewer are left. */
  async take(count: number): Promise<Buffer> {
    const bytes = Buffer.alloc(count);
    for (let done = 0; done < count;) {
      await this.need(1);
      const part = Math.min(count - done, this.buffered);
      this.window.copy(bytes, done, this.at, this.at + part);
      this.at += part;
      done += part;
    }
    return bytes;
  }

  /** The next `count` bytes without moving on, fewer at the end. Valid until the next call. */
  async peek(count: number): Promise<Buffer> {
    await this.fill(count);
    return this.window.subarray(this.at, Math.min(this.end, this.at + count));
  }

  /** The following are for after `need`: they take it for granted that the bytes are there. */
  byte(): number {
    return this.window[this.at++] ?? 0;
  }

  uint16(): number {
    this.at += 2;
    return this.window.readUInt16LE(this.at - 2);
  }

  uint32(): number {
    this.at += 4;
    return this.window.readUInt32LE(this.at - 4);
  }

  int32(): number {
    this.at += 4;
    return this.window.readInt32LE(this.at - 4);
  }

  /** Inexact beyond 2^53: such a number is more than any file has bytes. */
  uint64(): number {
    const low = this.uint32();
    return this.uint32() * 2 ** 32 + low;
  }
}
