/**
 * A tensor in memory and as bytes. Bytes are little-endian, as in the Open Inference Protocol; so are all hosts that
 * ONNX Runtime is built for, therefore numbers are viewed, not converted.
 */
import { isUtf8 } from 'node:buffer';
import { datatypes, type Datatype } from '../signature/signature.ts';

/** FP16 is held as its bits (`Uint16Array`), BOOL as 0 and 1 (`Uint8Array`), BYTES as text. */
type NumericData =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array;
export type TensorData = NumericData | string[];

export interface NamedTensor {
  readonly name: string;
  readonly datatype: Datatype;
  /** Dimensions, outermost first; all are 0 or more. */
  readonly shape: readonly number[];
  /** Row-major; as many elements as the shape's product. */
  readonly data: TensorData;
}

type NumericDatatype = Exclude<Datatype, 'BYTES'>;

const arrays = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const satisfies Record<NumericDatatype, unknown>;

const known: ReadonlySet<unknown> = new Set(datatypes);

export function isDatatype(value: unknown): value is Datatype {
  return known.has(value);
}

/** Bytes of one element; 0 for BYTES, whose elements vary. */
export function elementBytes(datatype: Datatype): number {
  return datatype === 'BYTES' ? 0 : arrays[datatype].BYTES_PER_ELEMENT;
}

/** How many elements a shape holds, or null where a dimension is no count or the product is beyond 2^53 - 1. */
export function elementCount(shape: readonly number[]): number | null {
  let count = 1;
  let empty = false;
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) return null;
    if (dimension === 0) empty = true;
    else if ((count *= dimension) > Number.MAX_SAFE_INTEGER) return null;
  }
  return empty ? 0 : count;
}

/** Elements of one row: the product of all dimensions but the first. */
export function rowSize(shape: readonly number[]): number {
  let size = 1;
  for (let axis = 1; axis < shape.length; axis++) size *= shape[axis]!;
  return size;
}

/** Room for `count` elements: zeros or empty texts. */
export function allocate(datatype: Datatype, count: number): TensorData {
  return datatype === 'BYTES' ? Array.from<string>({ length: count }).fill('') : new arrays[datatype](count);
}

export function sameShape(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((dimension, axis) => dimension === other[axis]);
}

export function sameNames(one: readonly string[], other: readonly string[]): boolean {
  return one === other || (one.length === other.length && one.every((name, index) => name === other[index]));
}

// float16

const half = new Float16Array(1);
const halfBits = new Uint16Array(half.buffer);

/** The bits of the nearest float16 (ties to even); beyond ±65519.99 they are those of an infinity. */
export function toFloat16Bits(value: number): number {
  half[0] = value;
  return halfBits[0]!;
}

export function fromFloat16Bits(bits: number): number {
  halfBits[0] = bits;
  return half[0]!;
}

/** The elements of a floating-point tensor as numbers, without a copy; null for every other datatype. */
export function floats(tensor: NamedTensor): Float16Array | Float32Array | Float64Array | null {
  const { datatype, data } = tensor;
  if (datatype === 'FP32') return data as Float32Array;
  if (datatype === 'FP64') return data as Float64Array;
  if (datatype !== 'FP16') return null;
  const bits = data as Uint16Array;
  return new Float16Array(bits.buffer, bits.byteOffset, bits.length);
}

// Bytes

/** Bytes of the tensor on the wire; each element of BYTES is its length in 4 bytes and then its UTF-8. */
export function wireSize(data: TensorData): number {
  if (!Array.isArray(data)) return data.byteLength;
  let size = 4 * data.length;
  for (const text of data) size += Buffer.byteLength(text);
  return size;
}

/** Writes a tensor's bytes at `offset` and returns the offset behind them. `target` must have the room. */
export function writeWire(data: TensorData, target: Buffer, offset: number): number {
  if (!Array.isArray(data)) {
    target.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    return offset + data.byteLength;
  }
  let at = offset;
  for (const text of data) {
    const written = target.write(text, at + 4);
    target.writeUInt32LE(written, at);
    at += 4 + written;
  }
  return at;
}

/** Bytes that are not the tensor they are said to be; the message says what is wrong with them. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/**
 * The elements that the bytes hold: a view of them where alignment allows, else a copy.
 * @throws WireError when the bytes are not exactly `count` elements.
 */
export function readWire(datatype: Datatype, count: number, bytes: Uint8Array): TensorData {
  if (datatype === 'BYTES') return readTexts(count, bytes);
  const array = arrays[datatype];
  const size = count * array.BYTES_PER_ELEMENT;
  if (size !== bytes.byteLength) {
    throw new WireError(`${count} elements of ${datatype} are ${size} bytes, found ${bytes.byteLength}`);
  }
  if (bytes.byteOffset % array.BYTES_PER_ELEMENT === 0) {
    return new array(bytes.buffer as ArrayBuffer, bytes.byteOffset, count);
  }
  return new array(new Uint8Array(bytes).buffer, 0, count);
}

function readTexts(count: number, bytes: Uint8Array): string[] {
  // Each element needs 4 bytes: a lying count is found out before anything is allocated for it.
  if (count * 4 > bytes.byteLength) {
    throw new WireError(
      `${count} elements of BYTES need at least ${count * 4} bytes, found ${bytes.byteLength}`,
    );
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const texts: string[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + 4 > buffer.length) throw new WireError(`the bytes end before the length of element ${index}`);
    const end = at + 4 + buffer.readUInt32LE(at);
    if (end > buffer.length) {
      throw new WireError(
        `element ${index} claims ${end - at - 4} bytes, ${buffer.length - at - 4} are left`,
      );
    }
    if (!isUtf8(buffer.subarray(at + 4, end))) throw new WireError(`element ${index} is not UTF-8`);
    texts.push(buffer.toString('utf8', at + 4, end));
    at = end;
  }
  if (at !== buffer.length) throw new WireError(`${buffer.length - at} bytes follow the last element`);
  return texts;
}
