/** Types of values: `tensor(float)`, `seq(map(string,tensor(float)))` and so on (onnx.proto: TypeProto). */
import { OnnxFormatError } from './onnx.errors.ts';
import { expectWire, fields, integer, text, wireTypes } from './protobuf.ts';
import type { Field, Span } from './protobuf.ts';

type ValueType =
  | {
      readonly kind: 'tensor';
      /** TensorProto.DataType, such as 1 for float; see `elemTypeName`. */
      readonly elemType: number;
      /** -1 is variable; null when not even the rank is declared. */
      readonly dims: readonly number[] | null;
    }
  /** A sequence, map, optional or sparse tensor, written as the runtime writes it. */
  | { readonly kind: 'other'; readonly description: string }
  | { readonly kind: 'undeclared' };

/** TensorProto.DataType by number; the names are those of onnxruntime's type strings. */
const elemTypeNames = [
  'undefined',
  'float',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'double',
  'uint32',
  'uint64',
  'complex64',
  'complex128',
  'bfloat16',
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'uint4',
  'int4',
  'float4e2m1',
] as const;

export function elemTypeName(elemType: number): string {
  return elemTypeNames[elemType] ?? `element type ${elemType}`;
}

export function describeType(type: ValueType): string {
  if (type.kind === 'tensor') return `tensor(${elemTypeName(type.elemType)})`;
  return type.kind === 'other' ? type.description : 'an undeclared type';
}

/** Types nest (a sequence of maps of sequences …); nobody needs more levels than this. */
const maxTypeDepth = 8;

/** Dimension: 1 dim_value, 2 dim_param. Neither, a name, or a negative number: variable. */
function dimension(bytes: Buffer, span: Span): number {
  let size = -1;
  for (const field of fields(bytes, span, 'a dimension')) {
    if (field.number === 1) size = Math.max(-1, integer(bytes, field, 'a dimension'));
    if (field.number === 2) size = -1;
  }
  return size;
}

/** TypeProto.Tensor: 1 elem_type, 2 shape (TensorShapeProto: 1 dim). */
function tensorType(bytes: Buffer, span: Span): ValueType {
  let elemType = 0;
  let dims: number[] | null = null;
  for (const field of fields(bytes, span, 'a tensor type')) {
    if (field.number === 1) elemType = integer(bytes, field, 'a tensor type');
    if (field.number !== 2) continue;
    expectWire(field, wireTypes.bytes, 'a tensor type');
    dims ??= [];
    for (const dim of fields(bytes, field, 'a shape')) {
      if (dim.number === 1) dims.push(dimension(bytes, expectWire(dim, wireTypes.bytes, 'a shape')));
    }
  }
  return { kind: 'tensor', elemType, dims };
}

/** Sequence and Optional: 1 elem_type. Map: 1 key_type, 2 value_type. */
function containerType(bytes: Buffer, field: Field, depth: number): string {
  let key = '';
  let element = '';
  for (const inner of fields(bytes, expectWire(field, wireTypes.bytes, 'a type'), 'a type')) {
    if (field.number === 5 && inner.number === 1) key = elemTypeName(integer(bytes, inner, 'a map type'));
    else if (inner.number === 1 || inner.number === 2) {
      element = describeType(readType(bytes, expectWire(inner, wireTypes.bytes, 'a type'), depth + 1));
    }
  }
  if (field.number === 5) return `map(${key},${element})`;
  return field.number === 4 ? `seq(${element})` : `optional(${element})`;
}

/** TypeProto: 1 tensor_type, 4 sequence_type, 5 map_type, 7 opaque_type, 8 sparse_tensor_type, 9 optional_type. */
function readType(bytes: Buffer, span: Span, depth = 0): ValueType {
  if (depth > maxTypeDepth) {
    throw new OnnxFormatError(`A value's type is nested deeper than ${maxTypeDepth} levels.`, span.start);
  }
  let type: ValueType = { kind: 'undeclared' };
  for (const field of fields(bytes, span, 'a type')) {
    if (field.number === 1) type = tensorType(bytes, expectWire(field, wireTypes.bytes, 'a type'));
    else if (field.number === 4 || field.number === 5 || field.number === 9) {
      type = { kind: 'other', description: containerType(bytes, field, depth) };
    } else if (field.number === 7) type = { kind: 'other', description: 'opaque' };
    else if (field.number === 8) type = { kind: 'other', description: 'a sparse tensor' };
  }
  return type;
}

export interface OnnxValue {
  readonly name: string;
  readonly type: ValueType;
}

/** ValueInfoProto: 1 name, 2 type. */
export function readValue(bytes: Buffer, span: Span): OnnxValue {
  let name = '';
  let type: ValueType = { kind: 'undeclared' };
  for (const field of fields(bytes, span, 'a value')) {
    if (field.number === 1) name = text(bytes, field, 'a value');
    if (field.number === 2) type = readType(bytes, expectWire(field, wireTypes.bytes, 'a value'));
  }
  return { name, type };
}
