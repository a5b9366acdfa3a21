/** Canonical Huffman codes: shorter codes first, those of one length in the order of their symbols. */
import type { BitReader } from './bit-reader.ts';
import { BrokenCompression } from './compression.errors.ts';

const longest = 20;

export class HuffmanTable {
  /** Symbols by code. */
  readonly #symbols: number[];
  /** By length: the first code beyond those of that length, aligned to 20 bits; and what turns a code into an index. */
  readonly #limits: number[] = [];
  readonly #offsets: number[] = [];

  /** @param lengths of each symbol's code in bits, 1 to 20 */
  constructor(lengths: readonly number[]) {
    this.#symbols = lengths.map((_, symbol) => symbol);
    this.#symbols.sort((a, b) => (lengths[a] ?? 0) - (lengths[b] ?? 0) || a - b);
    let [code, index] = [0, 0];
    for (let length = 0; length <= longest; length++) {
      const count = lengths.filter((each) => each === length).length;
      this.#offsets[length] = index - code;
      code += count;
      index += count;
      this.#limits[length] = code * 2 ** (longest - length);
      code *= 2;
    }
  }

  /** @throws EndOfBytes, BrokenCompression */
  read(bits: BitReader): number {
    const ahead = bits.peek(longest);
    for (let length = 1; length <= longest; length++) {
      if (ahead >= (this.#limits[length] ?? 0)) continue;
      bits.take(length);
      const symbol = this.#symbols[(ahead >>> (longest - length)) + (this.#offsets[length] ?? 0)];
      if (symbol !== undefined) return symbol;
    }
    throw new BrokenCompression('A code of the compressed data stands for nothing.');
  }
}
