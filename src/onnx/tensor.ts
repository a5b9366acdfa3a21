/** Constant tensors (onnx.proto: TensorProto) and attributes: what they are is read at once, their values on demand. */
import { externalData } from './external-data.ts';
import type { ExternalData } from './external-data.ts';
import { OnnxFormatError } from './onnx.errors.ts';
import { expectWire, fields, float, int64s, integer, text, wireTypes } from './protobuf.ts';
import type { Field, Span } from './protobuf.ts';

export interface OnnxTensor extends Span {
  readonly name: string;
  /** TensorProto.DataType. */
  readonly dataType: number;
  readonly dims: readonly number[];
  readonly external: ExternalData | null;
}

/** AttributeProto: 1 name, 2 f, 3 i, 4 s, 5 t, 6 g, 7 floats, 8 ints, 9 strings, 10 tensors, 11 graphs. */
export interface OnnxAttribute extends Span {
  readonly name: string;
}

/** Reads a slice of an external data file; undefined when it cannot be had. */
export type ReadExternal = (data: ExternalData, length: number) => Buffer | undefined;

/** StringStringEntryProto: 1 key, 2 value. */
function addEntry(bytes: Buffer, field: Field, entries: Map<string, string>): void {
  let key = '';
  let value = '';
  for (const inner of fields(bytes, expectWire(field, wireTypes.bytes, 'external data'), 'external data')) {
    if (inner.number === 1) key = text(bytes, inner, 'external data');
    if (inner.number === 2) value = text(bytes, inner, 'external data');
  }
  if (entries.has(key)) {
    throw new OnnxFormatError(`A tensor's external data gives "${key}" twice.`, field.tagAt);
  }
  entries.set(key, value);
}

/** TensorProto: 1 dims, 2 data_type, 8 name, 13 external_data, 14 data_location (1 is EXTERNAL). Data is skipped. */
export function readTensor(bytes: Buffer, span: Span): OnnxTensor {
  const what = 'a tensor';
  const dims: number[] = [];
  const entries = new Map<string, string>();
  let [name, dataType, isExternal] = ['', 0, false];
  for (const field of fields(bytes, span, what)) {
    if (field.number === 1) for (const dim of int64s(bytes, field, what)) dims.push(Number(dim));
    else if (field.number === 2) dataType = integer(bytes, field, what);
    else if (field.number === 8) name = text(bytes, field, what);
    else if (field.number === 13) addEntry(bytes, field, entries);
    else if (field.number === 14) isExternal = integer(bytes, field, what) === 1;
  }
  // Entries without the mark are judged too: a runtime may take them for meant.
  const external = isExternal || entries.size > 0 ? externalData(entries, name, span.start) : null;
  return { name, dataType, dims, external, start: span.start, end: span.end };
}

/** Bytes of one element by TensorProto.DataType; 0 for text and what is packed more than one to a byte. */
const elementSizes = [0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 1, 1, 1, 1];

/** Bytes of the tensor's raw data, as far as its type tells; 0 else. */
export function rawBytes(tensor: OnnxTensor): number {
  return tensor.dims.reduce((product, dim) => product * dim, elementSizes[tensor.dataType] ?? 0);
}

/** Labels longer than this are no class list. */
const maxLabels = 100_000;

export interface Labels {
  readonly kind: 'text' | 'integer';
  /** Integers in decimal. */
  readonly values: readonly string[];
}

function integersOf(raw: Buffer, width: number): string[] {
  const count = Math.floor(raw.length / width);
  return Array.from({ length: count }, (_, i) =>
    width === 8 ? raw.readBigInt64LE(i * 8).toString() : raw.readInt32LE(i * 4).toString(),
  );
}

/**
 * A constant's values as class labels: text (type 8), int64 (7) or int32 (6); undefined for any other tensor.
 * TensorProto: 5 int32_data, 6 string_data, 7 int64_data, 9 raw_data.
 */
export function labelsOf(bytes: Buffer, tensor: OnnxTensor, readExternal: ReadExternal): Labels | undefined {
  const count = tensor.dims.reduce((product, dim) => product * dim, 1);
  const { dataType } = tensor;
  if (count < 1 || count > maxLabels || ![6, 7, 8].includes(dataType)) return undefined;
  const width = dataType === 7 ? 8 : 4;
  if (tensor.external !== null) {
    const raw = dataType === 8 ? undefined : readExternal(tensor.external, count * width);
    return raw && { kind: 'integer', values: integersOf(raw, width) };
  }
  const values: string[] = [];
  for (const field of fields(bytes, tensor, 'a tensor')) {
    if (field.number === 6 && dataType === 8) values.push(text(bytes, field, 'a tensor'));
    else if (field.number === 9 && dataType !== 8) {
      const raw = bytes.subarray(field.start, Math.min(field.end, field.start + count * width));
      for (const value of integersOf(raw, width)) values.push(value);
    } else if (field.number === (dataType === 7 ? 7 : 5) && dataType !== 8) {
      for (const value of int64s(bytes, field, 'a tensor')) values.push(value.toString());
    }
  }
  return { kind: dataType === 8 ? 'text' : 'integer', values };
}

/** AttributeProto.strings (9); empty when it holds none. */
export function attributeStrings(bytes: Buffer, attribute: OnnxAttribute): string[] {
  return [...fields(bytes, attribute, 'an attribute')]
    .filter((field) => field.number === 9)
    .map((field) => text(bytes, field, 'an attribute'));
}

/** AttributeProto.ints (8), exact; empty when it holds none. */
export function* attributeInts(bytes: Buffer, attribute: OnnxAttribute): Generator<bigint, void> {
  for (const field of fields(bytes, attribute, 'an attribute')) {
    if (field.number === 8) yield* int64s(bytes, field, 'an attribute');
  }
}

/** AttributeProto.f (2). */
export function attributeFloat(bytes: Buffer, attribute: OnnxAttribute): number | undefined {
  for (const field of fields(bytes, attribute, 'an attribute')) {
    if (field.number === 2) return float(bytes, field, 'an attribute');
  }
  return undefined;
}

/** AttributeProto.t (5). */
export function attributeTensor(bytes: Buffer, attribute: OnnxAttribute): OnnxTensor | undefined {
  for (const field of fields(bytes, attribute, 'an attribute')) {
    if (field.number === 5) return readTensor(bytes, field);
  }
  return undefined;
}
