/** LZMA's range decoder: bits whose probabilities adapt (Igor Pavlov's LZMA specification, 2015). */
import type { ByteStream } from '../byte-stream.ts';
import { BrokenCompression } from './compression.errors.ts';

const probabilityBits = 11;
const moveBits = 5;
const initialProbability = 1 << (probabilityBits - 1);
const normalizeBelow = 2 ** 24;

/** `count` probabilities of one half. */
export function probabilities(count: number): Uint16Array {
  return new Uint16Array(count).fill(initialProbability);
}

export class RangeDecoder {
  readonly #input: ByteStream;
  #range = 0;
  #code = 0;

  constructor(input: ByteStream) {
    this.#input = input;
  }

  /** Reads the five bytes that a range-coded part begins with. @throws EndOfBytes, BrokenCompression */
  async begin(): Promise<void> {
    await this.#input.need(5);
    if (this.#input.byte() !== 0) throw new BrokenCompression('The LZMA data begin wrong.');
    this.#code = 0;
    for (let i = 0; i < 4; i++) this.#code = ((this.#code << 8) | this.#input.byte()) >>> 0;
    this.#range = 0xffffffff;
  }

  /** Whether the encoder had nothing more to say. */
  get isFinished(): boolean {
    return this.#code === 0;
  }

  /** The caller keeps enough bytes in the stream's window; past its end it is for the caller to see. */
  normalize(): void {
    if (this.#range >= normalizeBelow) return;
    const input = this.#input;
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | (input.window[input.at] ?? 0)) >>> 0;
    input.at += 1;
  }

  bit(table: Uint16Array, index: number): number {
    this.normalize();
    const probability = table[index] ?? 0;
    const bound = (this.#range >>> probabilityBits) * probability;
    if (this.#code < bound) {
      this.#range = bound;
      table[index] = probability + (((1 << probabilityBits) - probability) >> moveBits);
      return 0;
    }
    this.#range -= bound;
    this.#code -= bound;
    table[index] = probability - (probability >> moveBits);
    return 1;
  }

  /** Bits of even probability, most significant first. */
  direct(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) {
      this.normalize();
      this.#range >>>= 1;
      const isOne = this.#code >= this.#range;
      if (isOne) this.#code -= this.#range;
      value = value * 2 + (isOne ? 1 : 0);
    }
    return value;
  }

  /** A number of `bits` bits by a tree of probabilities that starts at `offset`. */
  tree(table: Uint16Array, offset: number, bits: number): number {
    let node = 1;
    for (let i = 0; i < bits; i++) node = node * 2 + this.bit(table, offset + node);
    return node - (1 << bits);
  }

  /** The same, least significant bit first. */
  reverseTree(table: Uint16Array, offset: number, bits: number): number {
    let node = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(table, offset + node);
      node = node * 2 + bit;
      value |= bit << i;
    }
    return value;
  }
}
