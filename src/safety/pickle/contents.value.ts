/** Single values of a pickle's contents: classes, arrays, and what of a parameter can be shown. */
import { dtypeOf, shapeOf } from './dtype.ts';
import { elementNames, storageClass } from './torch-storage.ts';
import { isGlobal, isInstance, itemsOf } from './value.ts';
import type { Instance, Value } from './value.ts';

/**
 * A parameter's value as far as JSON has it. NaN and the infinities are the texts "NaN", "Infinity", "-Infinity";
 * integers beyond 2^53 are texts of digits; a class or function is its full name.
 */
export type PlainValue = string | number | boolean | null | readonly PlainValue[];

/** Longer lists are no settings but data. */
const maxItems = 20;

/** Lists within lists that are shown. */
const maxDepth = 3;

function fullName(value: Value): string | null {
  return isGlobal(value) ? `${value.module}.${value.name}` : null;
}

/** Full name of an object's class, or of the function that makes it; null where it is not told. */
export function describeClass(object: Instance): string | null {
  // Objects of compiled classes are made by a function that is given the class.
  if (isGlobal(object.callee) && /^(__pyx_unpickle_|newObj$)/.test(object.callee.name)) {
    return fullName(itemsOf(object.args)?.[0] ?? null);
  }
  return fullName(object.callee);
}

function bytesOf(value: Value | undefined): Buffer | undefined {
  if (typeof value === 'object' && value?.kind === 'bytes') return Buffer.from(value.head, 'latin1');
  if (!isInstance(value) || fullName(value.callee) !== '_codecs.encode') return undefined;
  const text = itemsOf(value.args)?.[0];
  return typeof text === 'string' ? Buffer.from(text, 'latin1') : undefined;
}

/** A NumPy scalar: its dtype and bytes, taken as little-endian, as all but exotic hosts write them. */
function scalarOf(object: Instance): PlainValue | undefined {
  if (!/^numpy\._?core\.multiarray\.scalar$/.test(fullName(object.callee) ?? '')) return undefined;
  const [dtype, data] = itemsOf(object.args) ?? [];
  const [type, bytes] = [dtypeOf(dtype), bytesOf(data)];
  if (type === undefined || bytes === undefined || bytes.length < type.size) return undefined;
  switch (type.name) {
    case 'float64':
      return plainNumber(bytes.readDoubleLE());
    case 'float32':
      return plainNumber(bytes.readFloatLE());
    case 'int64':
      return plainNumber(Number(bytes.readBigInt64LE()));
    case 'int32':
      return bytes.readInt32LE();
    case 'bool':
      return bytes[0] !== 0;
    default:
      return undefined;
  }
}

function plainNumber(value: number): PlainValue {
  return Number.isFinite(value) ? value : String(value);
}

function cut(text: string, maxText: number): string {
  return text.length > maxText ? `${text.slice(0, maxText - 1)}…` : text;
}

function plainList(value: Value, maxText: number, depth: number): PlainValue | undefined {
  const items = itemsOf(value);
  if (items === undefined || items.length > maxItems || depth >= maxDepth) return undefined;
  const plain = items.map((item) => plainValue(item, maxText, depth + 1));
  return plain.every((item) => item !== undefined) ? plain : undefined;
}

/** A value to show; undefined where it is an object, bytes, or too large. @param maxText characters of a text. */
export function plainValue(value: Value, maxText: number, depth = 0): PlainValue | undefined {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'string') return cut(value, maxText);
  if (typeof value === 'number') return plainNumber(value);
  if (typeof value === 'bigint') return cut(value.toString(), maxText);
  if (value.kind === 'long-text') return cut(value.head, maxText);
  if (value.kind === 'global') return cut(`${value.module}.${value.name}`, maxText);
  if (isInstance(value)) return scalarOf(value);
  return plainList(value, maxText, depth);
}

interface ArrayShape {
  readonly shape: readonly number[];
  readonly dtype: string | null;
}

/** `_rebuild_tensor_v2(storage, offset, size, …)`. */
function tensorOf(object: Instance, maker: string): ArrayShape | undefined {
  if (!/^torch\._utils\._rebuild_tensor(_v\d)?$/.test(maker)) return undefined;
  const [storage, , size] = itemsOf(object.args) ?? [];
  const shape = shapeOf(size);
  if (shape === undefined) return undefined;
  const isStored = typeof storage === 'object' && storage?.kind === 'persistent';
  const type = isStored ? storageClass(storage.id) : undefined;
  return { shape, dtype: elementNames[type ?? ''] ?? null };
}

/** `_frombuffer(bytes, dtype, shape, order)`, or `_reconstruct` with the state (version, shape, dtype, order, data). */
function numpyArrayOf(object: Instance, maker: string): ArrayShape | undefined {
  const isBuffer = /^numpy\._?core\.numeric\._frombuffer$/.test(maker);
  const parts = itemsOf(isBuffer ? object.args : object.state);
  const [, second, third] = parts ?? [];
  const shape = shapeOf(isBuffer ? third : second);
  if (shape === undefined) return undefined;
  return { shape, dtype: dtypeOf(isBuffer ? second : third)?.name ?? null };
}

/** Shape and element type of an array or tensor; undefined for any other value. */
export function arrayOf(value: Value): ArrayShape | undefined {
  if (!isInstance(value)) return undefined;
  const maker = fullName(value.callee) ?? '';
  // The array that joblib's wrapper stood for.
  if (maker === 'numpy.ndarray' && value.attributes !== undefined) {
    const shape = shapeOf(value.attributes.get('shape'));
    return shape && { shape, dtype: dtypeOf(value.attributes.get('dtype'))?.name ?? null };
  }
  if (/^numpy\._?core\.(multiarray\._reconstruct|numeric\._frombuffer)$/.test(maker)) {
    return numpyArrayOf(value, maker);
  }
  return tensorOf(value, maker);
}
