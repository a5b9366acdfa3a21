/** Bits of a stream, most significant first. */
import { EndOfBytes } from '../byte-stream.ts';
import type { ByteStream } from '../byte-stream.ts';

export class BitReader {
  readonly #input: ByteStream;
  /** The last `#count` bits of this have been taken from the stream and not yet given out. */
  #bits = 0;
  #count = 0;

  constructor(input: ByteStream) {
    this.#input = input;
  }

  /** Has so many bytes ready, if the stream has them; where it ends, reading on throws. */
  async need(bytes: number): Promise<void> {
    await this.#input.fill(bytes);
  }

  /** The next bits without taking them; zeros behind the end. @param count up to 24 */
  peek(count: number): number {
    while (this.#count < count) {
      const { window, at, end } = this.#input;
      this.#bits = ((this.#bits & 0xff_ffff) << 8) | (at < end ? (window[at] ?? 0) : 0);
      this.#input.at += 1;
      this.#count += 8;
    }
    return (this.#bits >>> (this.#count - count)) & ((1 << count) - 1);
  }

  /** @throws EndOfBytes */
  take(count: number): void {
    this.#count -= count;
    // Bits that only peeking made up are there to be seen, not to be taken.
    if (this.#input.at - (this.#count >> 3) > this.#input.end) throw new EndOfBytes();
  }

  /** @param count up to 24. @throws EndOfBytes */
  read(count: number): number {
    const value = this.peek(count);
    this.take(count);
    return value;
  }

  /** @param count up to 32. @throws EndOfBytes */
  skip(count: number): void {
    this.read(count >> 1);
    this.read(count - (count >> 1));
  }

  /** Moves on to the next whole byte, and gives bytes that were only peeked at back to the stream. */
  align(): void {
    this.#input.at -= this.#count >> 3;
    this.#count = 0;
  }
}
