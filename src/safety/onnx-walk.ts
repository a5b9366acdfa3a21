/**
 * Walks the messages of an ONNX file front to back (onnx.proto), with the memory of one window: `src/onnx` reads whole
 * models, which this must not. What it meets it tells a visitor.
 */
import type { ByteStream } from './byte-stream.ts';
import { EndOfBytes } from './byte-stream.ts';

/** How Protocol Buffers encode a field. Groups, 3 and 4, are no part of ONNX. */
export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Messages that are walked into, by the field of the message around them. */
const children = {
  model: { 7: 'graph', 8: 'opset', 20: 'training', 25: 'function' },
  training: { 1: 'graph', 2: 'graph' },
  function: { 7: 'node', 9: 'opset' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 10: 'tensor', 6: 'graph', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: { 13: 'entry' },
  entry: {},
  opset: {},
} as const;

export type Message = keyof typeof children;

const childrenOf: Readonly<Record<Message, Readonly<Record<number, Message>>>> = children;

/** Fields that are text and wanted. */
const textFields: Readonly<Record<Message, readonly number[]>> = {
  model: [],
  training: [],
  function: [1, 10],
  graph: [],
  node: [4, 7],
  attribute: [],
  sparse: [],
  tensor: [8],
  entry: [1, 2],
  opset: [1],
};

export interface OnnxField {
  readonly number: number;
  /** One of `wireTypes`. */
  readonly wire: number;
  /** Of a varint, as a signed integer of 64 bits where that is safe; NaN beyond. */
  readonly value: number;
  /** Of a length-delimited field, in bytes. */
  readonly length: number;
  /** Of the text fields that are wanted. */
  readonly text: string;
  /** Of `TensorProto`'s packed integers: how many there are. */
  readonly count: number;
}

/** Told of each message's start, fields that are no messages, and end. */
export interface OnnxVisitor {
  begin(message: Message): void;
  field(message: Message, field: OnnxField): void;
  end(message: Message): void;
}

/** The bytes are no well-formed ONNX. The message is a sentence for people. */
export class BrokenOnnx extends Error {
  override readonly name = 'BrokenOnnx';
}

/** Graphs within graphs: far deeper than any exporter nests them, and what `src/onnx` reads at most. */
const maxGraphs = 32;

export class OnnxNesting extends Error {
  override readonly name = 'OnnxNesting';
}

/** Names and paths; a longer text is cut to its head. */
const heldText = 4096;
const longestVarint = 10;
/** A tag and a length or number. */
const shortField = 2 * longestVarint;

/** TensorProto's int32_data, int64_data and uint64_data, whose values are counted. */
const packedIntegers = new Set([5, 7, 11]);

function pastMessage(): BrokenOnnx {
  return new BrokenOnnx('A field of the file runs past its message.');
}

interface Frame {
  readonly message: Message;
  /** Infinity for the model in a stream of unknown length. */
  readonly end: number;
}

class OnnxWalk {
  readonly #stream: ByteStream;
  readonly #visitor: OnnxVisitor;
  readonly #frames: Frame[] = [];
  #graphs = 0;

  constructor(stream: ByteStream, visitor: OnnxVisitor) {
    this.#stream = stream;
    this.#visitor = visitor;
  }

  async run(size: number | undefined): Promise<void> {
    this.#enter('model', size ?? Infinity);
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      const ended =
        frame.end === Infinity ? await this.#stream.isAtEnd() : this.#stream.position >= frame.end;
      if (ended) this.#leave(frame);
      else {
        const pending = this.#field(frame);
        if (pending !== undefined) await pending;
      }
    }
  }

  #enter(message: Message, end: number): void {
    if (message === 'graph' && ++this.#graphs > maxGraphs) {
      throw new OnnxNesting(`Graphs are nested deeper than ${maxGraphs} levels.`);
    }
    this.#frames.push({ message, end });
    this.#visitor.begin(message);
  }

  #leave(frame: Frame): void {
    this.#frames.pop();
    if (frame.message === 'graph') this.#graphs -= 1;
    this.#visitor.end(frame.message);
  }

  /** A varint as a signed integer of 64 bits; NaN where that is not safe. The window holds it, if the file does. */
  #varint(): number {
    let value = 0;
    for (let i = 0; i < longestVarint; i++) {
      if (this.#stream.buffered === 0) throw new EndOfBytes();
      const byte = this.#stream.byte();
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : this.#wide(i + 1);
    }
    throw new BrokenOnnx('A number of the file is longer than 10 bytes.');
  }

  /** The varint of the last `length` bytes, exactly. */
  #wide(length: number): number {
    let value = 0n;
    for (let i = 0; i < length; i++) {
      const byte = this.#stream.window[this.#stream.at - length + i] ?? 0;
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    }
    const signed = Number(BigInt.asIntN(64, value));
    return Number.isSafeInteger(signed) ? signed : NaN;
  }

  /** Reads a field, or the start of a message. Waits only for more bytes, since most fields are a few. */
  #field(frame: Frame): Promise<void> | undefined {
    if (this.#stream.buffered < shortField) return this.#filled(frame);
    return this.#buffered(frame);
  }

  async #filled(frame: Frame): Promise<void> {
    await this.#stream.fill(shortField);
    await this.#buffered(frame);
  }

  #buffered(frame: Frame): Promise<void> | undefined {
    const tag = this.#varint();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    if (!(number > 0 && tag <= 0xffffffff))
      throw new BrokenOnnx('The file holds a field that does not exist.');
    const child = childrenOf[frame.message][number];
    const isText = textFields[frame.message].includes(number);
    if ((child !== undefined || isText) && wire !== wireTypes.bytes) {
      throw new BrokenOnnx('A field of the file has the wrong encoding.');
    }
    const value = wire === wireTypes.varint || wire === wireTypes.bytes ? this.#varint() : 0;
    const field: OnnxField = { number, wire, value, length: 0, text: '', count: 0 };
    if (wire === wireTypes.bytes) return this.#bytes(frame, field, child, isText);
    if (wire === wireTypes.varint) this.#visitor.field(frame.message, field);
    else if (wire === wireTypes.fixed64) return this.#fixed(frame, field, 8);
    else if (wire === wireTypes.fixed32) return this.#fixed(frame, field, 4);
    else throw new BrokenOnnx(`A field of the file has the encoding ${wire}, which ONNX does not have.`);
    if (this.#stream.position > frame.end) throw pastMessage();
    return undefined;
  }

  async #fixed(frame: Frame, field: OnnxField, bytes: number): Promise<void> {
    await this.#stream.skip(bytes);
    if (this.#stream.position > frame.end) throw pastMessage();
    this.#visitor.field(frame.message, field);
  }

  #bytes(
    frame: Frame,
    field: OnnxField,
    child: Message | undefined,
    isText: boolean,
  ): Promise<void> | undefined {
    const length = field.value;
    const end = this.#stream.position + length;
    if (!(length >= 0)) throw new BrokenOnnx('A field of the file has a length that no file has.');
    if (end > frame.end) throw frame.message === 'model' ? new EndOfBytes() : pastMessage();
    if (child !== undefined) this.#enter(child, end);
    else return this.#leaf(frame, { ...field, value: 0, length }, end, isText);
    return undefined;
  }

  async #leaf(frame: Frame, field: OnnxField, end: number, isText: boolean): Promise<void> {
    const isTensor = frame.message === 'tensor';
    let [text, count] = ['', 0];
    if (isText) text = (await this.#stream.take(Math.min(field.length, heldText))).toString('utf8');
    else if (isTensor && packedIntegers.has(field.number)) count = await this.#counted(end);
    else if (isTensor && field.number === 1) await this.#dimensions(field, end);
    await this.#stream.skip(end - this.#stream.position);
    this.#visitor.field(frame.message, { ...field, text, count });
  }

  /** How many varints there are up to `end`: each ends with a byte below 128. */
  async #counted(end: number): Promise<number> {
    let count = 0;
    while (this.#stream.position < end) {
      await this.#stream.need(1);
      const { window, at } = this.#stream;
      const last = Math.min(this.#stream.end, at + end - this.#stream.position);
      for (let i = at; i < last; i++) if ((window[i] ?? 0) < 0x80) count += 1;
      this.#stream.at = last;
    }
    return count;
  }

  /** Packed dimensions are told one by one, like those that are not packed. */
  async #dimensions(field: OnnxField, end: number): Promise<void> {
    while (this.#stream.position < end) {
      await this.#stream.fill(longestVarint);
      this.#visitor.field('tensor', { ...field, wire: wireTypes.varint, value: this.#varint() });
      if (this.#stream.position > end) throw pastMessage();
    }
  }
}

/**
 * Walks a model. @param size of the stream in bytes, where that is known.
 * @throws EndOfBytes, BrokenOnnx, OnnxNesting
 */
export async function walkOnnx(
  stream: ByteStream,
  size: number | undefined,
  visitor: OnnxVisitor,
): Promise<void> {
  await new OnnxWalk(stream, visitor).run(size);
}
