/**
 * bzip2: blocks of up to 900 kB, each Huffman-coded, moved to front, and sorted by Burrows and Wheeler's transform
 * (Julian Seward's bzip2 1.0.8: decompress.c; Joe Tsai's format specification, 2016). Node has no decoder of its own.
 */
import type { ByteStream } from '../byte-stream.ts';
import { BitReader } from './bit-reader.ts';
import { BrokenCompression } from './compression.errors.ts';
import { HuffmanTable } from './huffman.ts';
import type { Codec } from './unpack.ts';

const [blockHigh, blockLow] = [0x314159, 0x265359];
const [endHigh, endLow] = [0x177245, 0x385090];
const blockUnit = 100_000;
const groupSymbols = 50;
const maxCodeLength = 20;
const outputBytes = 64 * 1024;

/** What a group of symbols or a table's part takes at most, in bytes. */
const groupBytes = 160;

function broken(): BrokenCompression {
  return new BrokenCompression('The bzip2 file is damaged.');
}

/** Bytes that occur in the block, in order. */
async function usedBytes(bits: BitReader): Promise<number[]> {
  await bits.need(34);
  const used: number[] = [];
  const ranges = bits.read(16);
  for (let range = 0; range < 16; range++) {
    if ((ranges & (0x8000 >> range)) === 0) continue;
    const members = bits.read(16);
    for (let i = 0; i < 16; i++) if ((members & (0x8000 >> i)) !== 0) used.push(range * 16 + i);
  }
  if (used.length === 0) throw broken();
  return used;
}

/** Which table codes each group of symbols. */
async function selectors(bits: BitReader, tables: number): Promise<number[]> {
  await bits.need(4);
  const count = bits.read(15);
  if (count === 0) throw broken();
  const order = Array.from({ length: tables }, (_, index) => index);
  const chosen: number[] = [];
  for (let i = 0; i < count; i++) {
    await bits.need(2);
    let place = 0;
    while (bits.read(1) === 1) if (++place >= tables) throw broken();
    const [table = 0] = order.splice(place, 1);
    order.unshift(table);
    chosen.push(table);
  }
  return chosen;
}

/** A table's code lengths, each told by its difference to the one before. */
async function codeLengths(bits: BitReader, symbols: number): Promise<number[]> {
  await bits.need(2);
  let length = bits.read(5);
  const lengths: number[] = [];
  for (let i = 0; i < symbols; i++) {
    await bits.need(8);
    for (let steps = 0; bits.read(1) === 1; steps++) {
      length += bits.read(1) === 0 ? 1 : -1;
      if (length < 1 || length > maxCodeLength) throw broken();
      // As far as a length may be off, and back: no encoder goes to and fro.
      if (steps % 16 === 15) await bits.need(8);
      if (steps > 2 * maxCodeLength) throw broken();
    }
    if (length < 1 || length > maxCodeLength) throw broken();
    lengths.push(length);
  }
  return lengths;
}

/** Undoes the first two stages: symbols become bytes, as the transform sorted them. */
class Symbols {
  readonly #order: Uint8Array;
  readonly #bytes: Uint32Array;
  count = 0;
  #run = 0;
  #weight = 1;

  constructor(used: readonly number[], bytes: Uint32Array) {
    this.#order = Uint8Array.from(used);
    this.#bytes = bytes;
  }

  /** @returns whether the symbol ends the block. */
  add(symbol: number): boolean {
    if (symbol <= 1) {
      // Runs of the byte in front count in a binary of the digits 1 and 2.
      this.#run += this.#weight << symbol;
      this.#weight *= 2;
      if (this.#run > this.#bytes.length) throw broken();
      return false;
    }
    this.#flush();
    if (symbol > this.#order.length) return true;
    const byte = this.#order[symbol - 1] ?? 0;
    this.#order.copyWithin(1, 0, symbol - 1);
    this.#order[0] = byte;
    this.#put(byte, 1);
    return false;
  }

  #flush(): void {
    this.#put(this.#order[0] ?? 0, this.#run);
    this.#run = 0;
    this.#weight = 1;
  }

  #put(byte: number, times: number): void {
    if (this.count + times > this.#bytes.length) throw broken();
    this.#bytes.fill(byte, this.count, this.count + times);
    this.count += times;
  }
}

async function decodeSymbols(bits: BitReader, target: Uint32Array): Promise<number> {
  const used = await usedBytes(bits);
  await bits.need(1);
  const tables = bits.read(3);
  if (tables < 2 || tables > 6) throw broken();
  const groups = await selectors(bits, tables);
  const codes: HuffmanTable[] = [];
  for (let i = 0; i < tables; i++) codes.push(new HuffmanTable(await codeLengths(bits, used.length + 2)));
  const symbols = new Symbols(used, target);
  for (const group of groups) {
    await bits.need(groupBytes);
    const table = codes[group];
    if (table === undefined) throw broken();
    for (let i = 0; i < groupSymbols; i++) if (symbols.add(table.read(bits))) return symbols.count;
  }
  throw broken();
}

/** Links each byte to the one that follows it in the text: the upper 24 bits of its place (Burrows and Wheeler). */
function link(block: Uint32Array, count: number): void {
  const starts = new Uint32Array(256);
  for (let i = 0; i < count; i++) starts[(block[i] ?? 0) & 0xff]! += 1;
  let sum = 0;
  for (let byte = 0; byte < 256; byte++) {
    const size = starts[byte] ?? 0;
    starts[byte] = sum;
    sum += size;
  }
  for (let i = 0; i < count; i++) {
    const byte = (block[i] ?? 0) & 0xff;
    const place = starts[byte] ?? 0;
    starts[byte] = place + 1;
    block[place] = ((block[place] ?? 0) | (i << 8)) >>> 0;
  }
}

/** Undoes the transform and the first run-length coding: four equal bytes are followed by a count of more. */
function* text(block: Uint32Array, count: number, origin: number): Generator<Buffer, void> {
  link(block, count);
  let output = Buffer.allocUnsafe(outputBytes);
  let size = 0;
  let at = (block[origin] ?? 0) >>> 8;
  let [repeats, previous] = [0, -1];
  for (let i = 0; i < count; i++) {
    const entry = block[at] ?? 0;
    at = entry >>> 8;
    const byte = entry & 0xff;
    const times = repeats === 4 ? byte : 1;
    const value = repeats === 4 ? previous : byte;
    repeats = repeats === 4 ? 0 : byte === previous ? repeats + 1 : 1;
    previous = repeats === 0 ? -1 : byte;
    if (size + times > output.length) {
      yield output.subarray(0, size);
      output = Buffer.allocUnsafe(outputBytes);
      size = 0;
    }
    output.fill(value, size, size + times);
    size += times;
  }
  yield output.subarray(0, size);
}

/** One stream of blocks, whose header has been seen to be there. */
async function* oneStream(bits: BitReader, largest: Uint32Array): AsyncGenerator<Buffer, void> {
  await bits.need(4);
  const level =
    bits.read(8) === 0x42 && bits.read(8) === 0x5a && bits.read(8) === 0x68 ? bits.read(8) - 0x30 : 0;
  if (level < 1 || level > 9) throw broken();
  const block = largest.subarray(0, level * blockUnit);
  for (;;) {
    await bits.need(14);
    const [high, low] = [bits.read(24), bits.read(24)];
    if (high === endHigh && low === endLow) {
      bits.skip(32);
      return bits.align();
    }
    if (high !== blockHigh || low !== blockLow) throw broken();
    // The block's checksum, and whether it is of the randomised kind that no encoder has written since 1996.
    bits.skip(32);
    if (bits.read(1) === 1) throw broken();
    const origin = bits.read(24);
    const count = await decodeSymbols(bits, block);
    if (origin >= count) throw broken();
    yield* text(block, count, origin);
  }
}

async function startsStream(input: ByteStream): Promise<boolean> {
  return (await input.peek(3)).toString('latin1') === 'BZh';
}

/** A .bz2 file of one or more streams. @throws EndOfBytes, BrokenCompression */
export const bunzip2: Codec = async function* (reopen) {
  const input = await reopen(0);
  const bits = new BitReader(input);
  // One for all: a file may have a stream every fourteen bytes.
  const block = new Uint32Array(9 * blockUnit);
  do yield* oneStream(bits, block);
  while (await startsStream(input));
  return input.position;
};
