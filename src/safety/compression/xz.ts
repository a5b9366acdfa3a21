/** The .xz file: streams of blocks of LZMA2 (XZ Utils: doc/xz-file-format.txt, version 1.2.1). */
import { crc32 } from 'node:zlib';
import type { ByteStream } from '../byte-stream.ts';
import { BrokenCompression, Unsupported } from './compression.errors.ts';
import { LzmaDecoder } from './lzma.ts';
import type { Codec } from './unpack.ts';

const magic = Buffer.from('\xfd7zXZ\0', 'latin1');
const lzma2Filter = 0x21;

/** Bytes of a block's checksum by its type. */
const checksumBytes = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

function broken(): BrokenCompression {
  return new BrokenCompression('The xz file is damaged.');
}

/** A number in 7 bits a byte, least significant first. */
async function variableInteger(input: ByteStream): Promise<number> {
  let value = 0;
  for (let i = 0; i < 9; i++) {
    await input.need(1);
    const byte = input.byte();
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value;
  }
  throw broken();
}

/** Moves past the stream's header. @returns bytes of each block's checksum. */
async function streamHeader(input: ByteStream): Promise<number> {
  const header = await input.take(12);
  if (!header.subarray(0, 6).equals(magic) || header.readUInt32LE(8) !== crc32(header.subarray(6, 8))) {
    throw broken();
  }
  return checksumBytes[(header[7] ?? 0) & 15] ?? 0;
}

/** LZMA2's dictionary size is 2 or 3 times a power of two. */
function dictionaryBytes(property: number): number {
  if (property > 40) throw broken();
  return property === 40 ? 2 ** 32 - 1 : (2 | (property & 1)) * 2 ** (11 + (property >> 1));
}

/** Reads the rest of a block's header, of which the first byte tells the length. @returns its dictionary size. */
async function blockHeader(input: ByteStream, first: number): Promise<number> {
  const rest = await input.take((first + 1) * 4 - 1);
  const sum = crc32(rest.subarray(0, -4), crc32(Buffer.from([first])));
  if (rest.readUInt32LE(rest.length - 4) !== sum) throw broken();
  const flags = rest[0] ?? 0;
  let at = 1;
  for (const flag of [0x40, 0x80]) {
    if ((flags & flag) === 0) continue;
    while ((rest[at] ?? 0) >= 0x80) at++;
    at++;
  }
  const [filter, length, property] = rest.subarray(at);
  if ((flags & 3) !== 0 || filter !== lzma2Filter || length !== 1) {
    throw new Unsupported('The xz file uses a filter that has no reader here.');
  }
  return dictionaryBytes(property ?? 255);
}

async function bigEndian16(input: ByteStream): Promise<number> {
  await input.need(2);
  return input.byte() * 256 + input.byte();
}

/** One LZMA chunk, whose control byte tells what is reset before it. */
async function* lzmaChunk(
  input: ByteStream,
  decoder: LzmaDecoder,
  control: number,
): AsyncGenerator<Buffer, void> {
  const size = ((control & 0x1f) << 16) + (await bigEndian16(input)) + 1;
  const packed = (await bigEndian16(input)) + 1;
  const reset = (control >> 5) & 3;
  if (reset === 3) decoder.resetDictionary();
  if (reset >= 2) {
    await input.need(1);
    const properties = input.byte();
    // What LZMA2 allows; more would make every chunk of a few bytes reset megabytes.
    if ((properties % 9) + (Math.floor(properties / 9) % 5) > 4) throw broken();
    decoder.setProperties(properties);
  } else if (reset === 1) decoder.resetState();
  const end = input.position + packed;
  await decoder.begin();
  const decoded = yield* decoder.decode(size);
  const { isFinished } = decoder;
  if (decoded !== size || decoder.isWithinMatch || !isFinished || input.position !== end) throw broken();
}

/** LZMA2: chunks until one of control byte 0. */
async function* lzma2(input: ByteStream, decoder: LzmaDecoder): AsyncGenerator<Buffer, void> {
  for (let isFirst = true; ; isFirst = false) {
    await input.need(1);
    const control = input.byte();
    if (control === 0) return;
    if (control > 2 && control < 0x80) throw broken();
    if (isFirst && control !== 1 && control < 0xe0) throw broken();
    if (control >= 0x80) yield* lzmaChunk(input, decoder, control);
    else {
      if (control === 1) decoder.resetDictionary();
      yield* decoder.stored((await bigEndian16(input)) + 1);
    }
  }
}

/** The index of blocks, whose indicator has been read, and the stream's footer. */
async function indexAndFooter(input: ByteStream, start: number): Promise<void> {
  const records = await variableInteger(input);
  for (let i = 0; i < records * 2; i++) await variableInteger(input);
  await input.skip((4 - ((input.position - start) % 4)) % 4);
  await input.skip(4);
  const footer = await input.take(12);
  if (footer.toString('latin1', 10) !== 'YZ') throw broken();
}

/** A decoder for each size of dictionary that is larger than those before: a file may have a block every few bytes. */
class Decoders {
  readonly #input: ByteStream;
  readonly #limit: number;
  #decoder: LzmaDecoder | undefined;

  constructor(input: ByteStream, limit: number) {
    this.#input = input;
    this.#limit = limit;
  }

  /** @throws DictionaryTooLarge */
  get(dictionary: number): LzmaDecoder {
    if (this.#decoder?.suffices(dictionary) !== true) {
      this.#decoder = new LzmaDecoder(this.#input, dictionary, this.#limit);
    }
    return this.#decoder;
  }
}

async function* oneStream(input: ByteStream, decoders: Decoders): AsyncGenerator<Buffer, void> {
  const checksum = await streamHeader(input);
  for (;;) {
    const start = input.position;
    await input.need(1);
    const first = input.byte();
    if (first === 0) return indexAndFooter(input, start);
    const dictionary = await blockHeader(input, first);
    const dataStart = input.position;
    yield* lzma2(input, decoders.get(dictionary));
    await input.skip((4 - ((input.position - dataStart) % 4)) % 4);
    await input.skip(checksum);
  }
}

/** An .xz file of one or more streams. @throws EndOfBytes, BrokenCompression, Unsupported, DictionaryTooLarge */
export const unxz: Codec = async function* (reopen, limits) {
  const input = await reopen(0);
  const decoders = new Decoders(input, limits.dictionaryBytes);
  do {
    yield* oneStream(input, decoders);
    // Streams may be padded by zeros in fours.
    while ((await input.peek(4)).equals(Buffer.alloc(4))) await input.skip(4);
  } while ((await input.peek(magic.length)).equals(magic));
  return input.position;
};
