/**
 * The wire format of Protocol Buffers, as far as ONNX uses it, for bytes from strangers: every length is checked
 * against the message around it, nothing is copied, nothing recurses. Format: protobuf.dev/programming-guides/encoding.
 */
import { OnnxFormatError } from './onnx.errors.ts';

export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Bytes `start` (inclusive) to `end` (exclusive) of the file. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One field of a message: its number, how it is encoded, and the span of its value (without tag and length). */
export interface Field extends Span {
  readonly number: number;
  /** One of `wireTypes`. */
  readonly wire: number;
  /** Where its tag starts: the field as a whole is `tagAt` to `end`. */
  readonly tagAt: number;
}

/** A varint's value, and where the next byte after it is. Signed fields: see `int64`. */
interface Varint {
  readonly low: number;
  readonly high: number;
  readonly next: number;
}

function endsEarly(bytes: Buffer, end: number, missing: number, what: string): OnnxFormatError {
  if (end < bytes.length) return new OnnxFormatError(`Malformed ONNX: ${what} runs past its message.`, end);
  const atLeast = `at least ${missing} byte${missing === 1 ? ' is' : 's are'} missing`;
  return new OnnxFormatError(
    `The file is truncated: it ends at byte ${end}, in the middle of ${what}; ${atLeast}.`,
    end,
  );
}

/** Halves of 32 bits instead of a bigint: tags and lengths are read millions of times. */
function varint(bytes: Buffer, start: number, end: number, what: string): Varint {
  let low = 0;
  let high = 0;
  for (let i = 0; i < 10; i++) {
    if (start + i >= end) throw endsEarly(bytes, end, 1, what);
    const byte = bytes[start + i] ?? 0;
    const bits = byte & 0x7f;
    if (i < 4) low |= bits << (7 * i);
    else if (i === 4) {
      low |= bits << 28;
      high |= bits >> 4;
    } else high |= bits << (7 * i - 32);
    if (byte < 0x80) return { low: low >>> 0, high: high >>> 0, next: start + i + 1 };
  }
  throw new OnnxFormatError(`Malformed ONNX: a number in ${what} is longer than 10 bytes.`, start);
}

function valueEnd(bytes: Buffer, wire: number, at: number, end: number, what: string): Span {
  switch (wire) {
    case wireTypes.varint:
      return { start: at, end: varint(bytes, at, end, what).next };
    case wireTypes.fixed64:
      return { start: at, end: at + 8 };
    case wireTypes.fixed32:
      return { start: at, end: at + 4 };
    case wireTypes.bytes: {
      const length = varint(bytes, at, end, what);
      return { start: length.next, end: length.next + length.high * 2 ** 32 + length.low };
    }
    default:
      throw new OnnxFormatError(
        `Malformed ONNX: encoding ${wire} in ${what} at byte ${at} does not exist in ONNX.`,
        at,
      );
  }
}

/**
 * The fields of the message at `span`, in order; their contents are skipped, not read.
 * @param what names the message in errors, such as `the graph`.
 * @throws OnnxFormatError where a field is cut off, runs past the message, has number 0 or an unknown encoding.
 */
export function* fields(bytes: Buffer, span: Span, what: string): Generator<Field, void> {
  let at = span.start;
  while (at < span.end) {
    const tag = varint(bytes, at, span.end, what);
    const number = tag.low >>> 3;
    if (number === 0 || tag.high !== 0) {
      throw new OnnxFormatError(`Malformed ONNX: ${what} holds no valid field at byte ${at}.`, at);
    }
    const value = valueEnd(bytes, tag.low & 7, tag.next, span.end, what);
    if (value.end > span.end) throw endsEarly(bytes, span.end, value.end - span.end, what);
    yield { number, wire: tag.low & 7, tagAt: at, start: value.start, end: value.end };
    at = value.end;
  }
}

/** @throws OnnxFormatError unless the field is encoded as `wire`: a reader that skips it would see another model than the runtime. */
export function expectWire(field: Field, wire: number, what: string): Field {
  if (field.wire === wire) return field;
  throw new OnnxFormatError(
    `Malformed ONNX: field ${field.number} of ${what} at byte ${field.tagAt} has the wrong encoding.`,
    field.tagAt,
  );
}

/** A signed 64-bit integer, exact. */
export function int64(bytes: Buffer, field: Field, what: string): bigint {
  expectWire(field, wireTypes.varint, what);
  const { low, high } = varint(bytes, field.start, field.end, what);
  return BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));
}

/**
 * A signed 64-bit integer as a number.
 * @throws OnnxFormatError beyond ±(2^53 − 1).
 */
export function integer(bytes: Buffer, field: Field, what: string): number {
  const value = Number(int64(bytes, field, what));
  if (Number.isSafeInteger(value)) return value;
  throw new OnnxFormatError(`Malformed ONNX: a number in ${what} is out of range.`, field.tagAt);
}

/** The values of a repeated integer field: packed (one block) or one by one. */
export function* int64s(bytes: Buffer, field: Field, what: string): Generator<bigint, void> {
  if (field.wire === wireTypes.varint) {
    yield int64(bytes, field, what);
    return;
  }
  expectWire(field, wireTypes.bytes, what);
  let at = field.start;
  while (at < field.end) {
    const { low, high, next } = varint(bytes, at, field.end, what);
    yield BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));
    at = next;
  }
}

/** UTF-8 text; invalid sequences become U+FFFD, as the runtime accepts them too. */
export function text(bytes: Buffer, field: Field, what: string): string {
  expectWire(field, wireTypes.bytes, what);
  return bytes.toString('utf8', field.start, field.end);
}

/** A float field (32 bits). */
export function float(bytes: Buffer, field: Field, what: string): number {
  expectWire(field, wireTypes.fixed32, what);
  return bytes.readFloatLE(field.start);
}

/** A non-negative integer as a varint. */
export function encodeVarint(value: number): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
  return Buffer.from(out);
}

/** A field of a non-negative integer. */
export function encodeInteger(number: number, value: number): Buffer {
  return Buffer.concat([encodeVarint(number * 8 + wireTypes.varint), encodeVarint(value)]);
}

/** Tag and length of a length-delimited field whose content, `length` bytes, the caller puts after it. */
export function encodeHeader(number: number, length: number): Buffer {
  return Buffer.concat([encodeVarint(number * 8 + wireTypes.bytes), encodeVarint(length)]);
}

/** A length-delimited field: text, or a message made of its fields. */
export function encodeBytes(number: number, content: string | readonly Uint8Array[]): Buffer {
  const body = typeof content === 'string' ? Buffer.from(content) : Buffer.concat(content);
  return Buffer.concat([encodeHeader(number, body.length), body]);
}
