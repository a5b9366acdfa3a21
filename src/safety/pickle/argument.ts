/** Reading an opcode's argument: small ones whole, long ones by their head. */
import { EndOfBytes } from '../byte-stream.ts';
import type { ByteStream } from '../byte-stream.ts';
import type { ArgumentKind } from './opcodes.ts';
import { BrokenPickle } from './pickle.errors.ts';
import { heldText } from './value.ts';
import type { Bytes, LongText, Value } from './value.ts';

/** Two lines: those of GLOBAL and INST. */
export interface Lines {
  readonly kind: 'lines';
  readonly first: string | LongText;
  readonly second: string | LongText;
}

export type Argument = Value | Lines | undefined;

/** Long texts are shown, not looked up. */
const headBytes = 200;

function textOf(bytes: Buffer, encoding: 'utf8' | 'latin1', length: number): string | LongText {
  if (length <= heldText) return bytes.toString(encoding, 0, length);
  return { kind: 'long-text', head: bytes.toString(encoding, 0, headBytes), length };
}

/** The next `length` bytes, or their first `heldText` when there are more; moves past all of them. */
async function counted(stream: ByteStream, length: number): Promise<Buffer> {
  const held = Math.min(length, heldText);
  await stream.need(held);
  const bytes = Buffer.from(stream.window.subarray(stream.at, stream.at + held));
  await stream.skip(length);
  return bytes;
}

async function countedText(stream: ByteStream, length: number, encoding: 'utf8' | 'latin1'): Promise<Value> {
  return textOf(await counted(stream, length), encoding, length);
}

/** As many of the bytes as a number has. */
const bytesHead = 16;

async function countedBytes(stream: ByteStream, length: number): Promise<Bytes> {
  const held = Math.min(length, bytesHead);
  await stream.need(held);
  const head = stream.window.toString('latin1', stream.at, stream.at + held);
  await stream.skip(length);
  return { kind: 'bytes', head, length };
}

/** Two's complement, little-endian. What is longer than any count or code is unknown. */
async function countedInteger(stream: ByteStream, length: number): Promise<Value> {
  const bytes = await counted(stream, length);
  if (length > 32) return { kind: 'unknown' };
  let value = 0n;
  for (const [index, byte] of bytes.entries()) value |= BigInt(byte) << BigInt(8 * index);
  const signed = BigInt.asIntN(8 * length, value);
  const small = Number(signed);
  return Number.isSafeInteger(small) ? small : signed;
}

/**
 * Up to the next newline, which is passed. Where the stream ends first, Python's own unpickler cuts off the last byte
 * in place of the newline and goes on: a name at the very end is still looked up, and by INST called.
 */
async function line(stream: ByteStream, encoding: 'utf8' | 'latin1'): Promise<string | LongText> {
  await stream.need(1);
  let head: Buffer | undefined;
  for (let length = 0; ;) {
    const found = stream.window.indexOf(0x0a, stream.at);
    const ends = found !== -1 && found < stream.end;
    const part = (ends ? found : stream.end) - stream.at;
    // A line that is cut by the window's edge is read again from its start, as long as it may be a name.
    if (!ends && length === 0 && part <= heldText && (await stream.fill(part + 1))) continue;
    head ??= Buffer.from(stream.window.subarray(stream.at, stream.at + Math.min(part, heldText)));
    length += part;
    stream.at += part;
    if (ends) stream.at += 1;
    else if (await stream.fill(1)) continue;
    return textOf(head, encoding, ends ? length : length - 1);
  }
}

function needed(length: number): number {
  if (length < 0) throw new BrokenPickle('A length is negative.');
  return length;
}

/** Lengths of 1 to 8 bytes and what they count. */
async function measured(stream: ByteStream, kind: ArgumentKind): Promise<Argument> {
  const width = kind.endsWith('1') ? 1 : kind.endsWith('4') ? 4 : 8;
  await stream.need(width);
  const isSigned = kind === 'string4' || kind === 'long4';
  const length =
    width === 1
      ? stream.byte()
      : width === 8
        ? stream.uint64()
        : isSigned
          ? needed(stream.int32())
          : stream.uint32();
  if (kind.startsWith('text')) return countedText(stream, length, 'utf8');
  // Python 2's text is read as ASCII (or Latin-1); as a name it is the same.
  if (kind.startsWith('string')) return countedText(stream, length, 'latin1');
  if (kind.startsWith('bytes')) return countedBytes(stream, length);
  return countedInteger(stream, length);
}

function have(stream: ByteStream, count: number): void {
  if (stream.buffered < count) throw new EndOfBytes();
}

function float8(stream: ByteStream): number {
  stream.at += 8;
  return stream.window.readDoubleBE(stream.at - 8);
}

/** Unpicklers refuse a name that is no UTF-8. Here it also tells numbers that begin like an opcode from a pickle. */
async function name(stream: ByteStream): Promise<string | LongText> {
  const text = await line(stream, 'utf8');
  // The last character of a long one's head may be cut.
  const shown = typeof text === 'string' ? text : text.head.slice(0, -3);
  if (shown.includes('\ufffd')) throw new BrokenPickle('A name of the pickle is no text.');
  return text;
}

async function lines(stream: ByteStream): Promise<Lines> {
  const first = await name(stream);
  return { kind: 'lines', first, second: await name(stream) };
}

/**
 * Reads the argument behind an opcode; the caller has filled the stream's window with the longest of fixed width, or all that is left.
 * Fixed widths come at once, since most arguments are such.
 * @throws EndOfBytes where the stream ends first. @throws BrokenPickle for a negative length.
 */
export function readArgument(stream: ByteStream, kind: ArgumentKind): Argument | Promise<Argument> {
  switch (kind) {
    case 'none':
      return undefined;
    case 'uint1':
      have(stream, 1);
      return stream.byte();
    case 'uint2':
      have(stream, 2);
      return stream.uint16();
    case 'uint4':
      have(stream, 4);
      return stream.uint32();
    case 'int4':
      have(stream, 4);
      return stream.int32();
    case 'frame8':
      have(stream, 8);
      return stream.uint64();
    case 'float8':
      have(stream, 8);
      return float8(stream);
    case 'line':
      return line(stream, 'latin1');
    case 'lines':
      return lines(stream);
    default:
      return short(stream, kind) ?? measured(stream, kind);
  }
}

/** The commonest arguments, counted in one byte and wholly in the window, without waiting. */
function short(stream: ByteStream, kind: ArgumentKind): Value | undefined {
  if ((kind !== 'text1' && kind !== 'bytes1') || stream.buffered < 1) return undefined;
  const length = stream.window[stream.at] ?? 0;
  if (stream.buffered < 1 + length) return undefined;
  const start = stream.at + 1;
  stream.at = start + length;
  if (kind === 'text1') return stream.window.toString('utf8', start, stream.at);
  const head = stream.window.toString('latin1', start, start + Math.min(length, bytesHead));
  return { kind: 'bytes', head, length };
}
