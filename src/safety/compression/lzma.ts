/**
 * LZMA (Igor Pavlov's LZMA specification, 2015), as .lzma and .xz files carry it. Node has no decoder of its own.
 * Memory is the dictionary; nothing is trusted: distances reach only into what was written.
 */
import { EndOfBytes } from '../byte-stream.ts';
import type { ByteStream } from '../byte-stream.ts';
import { BrokenCompression, DictionaryTooLarge } from './compression.errors.ts';
import { probabilities, RangeDecoder } from './range-decoder.ts';

const states = 12;
const maxPositionStates = 16;
const shortestMatch = 2;
const alignBits = 4;
const firstModelledSlot = 4;
const firstDirectSlot = 14;
const endMarker = 0xffffffff;

/** No symbol takes more bytes of input. */
const longestSymbol = 32;
const outputBytes = 64 * 1024;

/** Lengths of matches: short, middle and long ones by tables of their own. */
class LengthDecoder {
  readonly #choice = probabilities(2);
  readonly #low = probabilities(maxPositionStates << 3);
  readonly #middle = probabilities(maxPositionStates << 3);
  readonly #high = probabilities(256);

  read(range: RangeDecoder, positionState: number): number {
    if (range.bit(this.#choice, 0) === 0) return range.tree(this.#low, positionState << 3, 3);
    if (range.bit(this.#choice, 1) === 0) return 8 + range.tree(this.#middle, positionState << 3, 3);
    return 16 + range.tree(this.#high, 0, 8);
  }
}

/** What adapts while decoding; a state reset begins anew. */
class Model {
  readonly isMatch = probabilities(states * maxPositionStates);
  readonly isRepeat = probabilities(states);
  readonly isRepeat0 = probabilities(states);
  readonly isRepeat1 = probabilities(states);
  readonly isRepeat2 = probabilities(states);
  readonly isRepeat0Long = probabilities(states * maxPositionStates);
  readonly slots = probabilities(4 << 6);
  readonly positions = probabilities(128);
  readonly align = probabilities(1 << alignBits);
  readonly lengths = new LengthDecoder();
  readonly repeatLengths = new LengthDecoder();
  readonly literals: Uint16Array;
  state = 0;
  /** Distances of the last four matches, less one. */
  readonly repeats: [number, number, number, number] = [0, 0, 0, 0];

  constructor(literalBits: number) {
    this.literals = probabilities(0x300 << literalBits);
  }
}

export class LzmaDecoder {
  readonly #input: ByteStream;
  readonly #range: RangeDecoder;
  readonly #dictionary: Buffer;
  #contextBits = 0;
  #literalPositionBits = 0;
  #positionMask = 0;
  #model = new Model(0);
  /** Bytes written since the dictionary was reset. */
  #written = 0;
  /** Where in the dictionary the next byte goes, and from where on it has not been handed out. */
  #at = 0;
  #handedOut = 0;
  /** A match that did not fit into the output. */
  #pending = 0;

  /** @throws DictionaryTooLarge */
  constructor(input: ByteStream, dictionaryBytes: number, limit: number) {
    if (dictionaryBytes > limit) {
      throw new DictionaryTooLarge(`It needs a dictionary of ${dictionaryBytes} bytes to unpack.`);
    }
    this.#input = input;
    this.#range = new RangeDecoder(input);
    // Not cleared, so that a dictionary that is claimed and not used costs nothing; never read before it is written.
    this.#dictionary = Buffer.allocUnsafeSlow(Math.max(dictionaryBytes, 4096, outputBytes * 2));
  }

  /** Whether it can decode what needs a dictionary of so many bytes. */
  suffices(dictionaryBytes: number): boolean {
    return dictionaryBytes <= this.#dictionary.length;
  }

  resetDictionary(): void {
    this.#written = 0;
  }

  /** The byte of lc, lp and pb. @throws BrokenCompression */
  setProperties(byte: number): void {
    if (byte >= 225) throw new BrokenCompression('The LZMA properties do not exist.');
    this.#contextBits = byte % 9;
    this.#literalPositionBits = Math.floor(byte / 9) % 5;
    this.#positionMask = (1 << Math.floor(byte / 45)) - 1;
    this.resetState();
  }

  resetState(): void {
    this.#model = new Model(this.#contextBits + this.#literalPositionBits);
  }

  begin(): Promise<void> {
    return this.#range.begin();
  }

  /** Whether a match is not wholly written yet. */
  get isWithinMatch(): boolean {
    return this.#pending > 0;
  }

  /** Whether the range decoder has used up what it was given, as at a proper end. */
  get isFinished(): boolean {
    this.#range.normalize();
    return this.#range.isFinished;
  }

  /**
   * Decodes `count` bytes, or all up to the end marker.
   * @returns how many it decoded. @throws EndOfBytes, BrokenCompression
   */
  async *decode(count: number): AsyncGenerator<Buffer, number> {
    for (let done = 0; ;) {
      const complete = await this.#input.fill(longestSymbol);
      const before = this.#written;
      const ended = this.#symbols(Math.min(count - done, outputBytes), complete);
      done += this.#written - before;
      yield* this.#handOut();
      if (ended || done >= count) return done;
    }
  }

  /** Bytes that are stored as they are (LZMA2). @throws EndOfBytes */
  async *stored(count: number): AsyncGenerator<Buffer, void> {
    for (let left = count; left > 0;) {
      await this.#input.need(1);
      const part = Math.min(left, this.#input.buffered, outputBytes);
      for (let i = 0; i < part; i++) this.#put(this.#input.byte());
      left -= part;
      yield* this.#handOut();
    }
  }

  *#handOut(): Generator<Buffer, void> {
    const [from, to] = [this.#handedOut, this.#at];
    this.#handedOut = to;
    // Copies: the consumer may keep them, and the dictionary goes on changing.
    if (to < from) yield Buffer.from(this.#dictionary.subarray(from));
    if (to !== from) yield Buffer.from(this.#dictionary.subarray(to < from ? 0 : from, to));
  }

  #put(byte: number): void {
    this.#dictionary[this.#at] = byte;
    this.#at = this.#at + 1 === this.#dictionary.length ? 0 : this.#at + 1;
    this.#written += 1;
  }

  /** The byte `distance` back. */
  #back(distance: number): number {
    const at = this.#at - distance;
    return this.#dictionary[at < 0 ? at + this.#dictionary.length : at] ?? 0;
  }

  /** Decodes up to `count` bytes while the window holds a whole symbol. @returns whether the end marker came. */
  #symbols(count: number, complete: boolean): boolean {
    const input = this.#input;
    const goal = this.#written + count;
    this.#copy(Math.min(this.#pending, goal - this.#written));
    // At the end of the input there is less than a longest symbol; what goes beyond it shows below.
    const enough = complete ? longestSymbol : -Infinity;
    while (this.#written < goal && input.buffered >= enough) {
      const positionState = this.#written & this.#positionMask;
      const ended = this.#symbol(positionState, goal);
      if (input.at > input.end) throw new EndOfBytes();
      if (ended) return true;
    }
    return false;
  }

  #symbol(positionState: number, goal: number): boolean {
    const [range, model] = [this.#range, this.#model];
    const index = (model.state << 4) + positionState;
    if (range.bit(model.isMatch, index) === 0) {
      this.#literal();
      return false;
    }
    const isRepeat = range.bit(model.isRepeat, model.state) === 1;
    const length = isRepeat ? this.#repeat(index, positionState) : this.#match(positionState);
    if (length === undefined) return true;
    if (model.repeats[0] >= this.#written || model.repeats[0] >= this.#dictionary.length) {
      throw new BrokenCompression('The LZMA data refer to bytes before their start.');
    }
    this.#pending = length;
    this.#copy(Math.min(length, goal - this.#written));
    return false;
  }

  #copy(count: number): void {
    const distance = this.#model.repeats[0] + 1;
    for (let i = 0; i < count; i++) this.#put(this.#back(distance));
    this.#pending -= count;
  }

  #literal(): void {
    const [range, model] = [this.#range, this.#model];
    const previous = this.#written === 0 ? 0 : this.#back(1);
    const low = this.#written & ((1 << this.#literalPositionBits) - 1);
    const context = (low << this.#contextBits) + (previous >> (8 - this.#contextBits));
    const offset = 0x300 * context;
    let symbol = 1;
    if (model.state >= 7 && this.#written > model.repeats[0]) {
      let match = this.#back(model.repeats[0] + 1);
      while (symbol < 0x100) {
        const matchBit = (match >> 7) & 1;
        match <<= 1;
        const bit = range.bit(model.literals, offset + ((1 + matchBit) << 8) + symbol);
        symbol = symbol * 2 + bit;
        if (matchBit !== bit) break;
      }
    }
    while (symbol < 0x100) symbol = symbol * 2 + range.bit(model.literals, offset + symbol);
    this.#put(symbol & 0xff);
    model.state = model.state < 4 ? 0 : model.state < 10 ? model.state - 3 : model.state - 6;
  }

  /** A match at one of the last distances; its length. */
  #repeat(index: number, positionState: number): number {
    const [range, model] = [this.#range, this.#model];
    const { state, repeats } = model;
    if (range.bit(model.isRepeat0, state) === 0) {
      if (range.bit(model.isRepeat0Long, index) === 0) {
        model.state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      const which = range.bit(model.isRepeat1, state) === 0 ? 1 : 2 + range.bit(model.isRepeat2, state);
      const distance = repeats[which as 1 | 2 | 3];
      if (which === 3) repeats[3] = repeats[2];
      if (which >= 2) repeats[2] = repeats[1];
      repeats[1] = repeats[0];
      repeats[0] = distance;
    }
    const length = model.repeatLengths.read(range, positionState) + shortestMatch;
    model.state = state < 7 ? 8 : 11;
    return length;
  }

  /** A match at a distance of its own; its length, or undefined for the end marker. */
  #match(positionState: number): number | undefined {
    const [range, model] = [this.#range, this.#model];
    const { repeats } = model;
    const length = model.lengths.read(range, positionState);
    repeats[3] = repeats[2];
    repeats[2] = repeats[1];
    repeats[1] = repeats[0];
    repeats[0] = this.#distance(Math.min(length, 3));
    model.state = model.state < 7 ? 7 : 10;
    return repeats[0] === endMarker ? undefined : length + shortestMatch;
  }

  #distance(lengthState: number): number {
    const [range, model] = [this.#range, this.#model];
    const slot = range.tree(model.slots, lengthState << 6, 6);
    if (slot < firstModelledSlot) return slot;
    const bits = (slot >> 1) - 1;
    const base = (2 | (slot & 1)) * 2 ** bits;
    if (slot < firstDirectSlot) return base + range.reverseTree(model.positions, base - slot, bits);
    const high = range.direct(bits - alignBits) * (1 << alignBits);
    return base + high + range.reverseTree(model.align, 0, alignBits);
  }
}
