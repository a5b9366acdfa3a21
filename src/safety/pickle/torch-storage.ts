/** The storages of torch files: the raw numbers of tensors, which a pickle refers to by persistent ids. */
import { isGlobal, itemsOf } from './value.ts';
import type { Value } from './value.ts';

/** First pickle of a file that torch wrote before version 1.6 (torch/serialization.py: MAGIC_NUMBER). */
export const legacyMagic = 0x1950a86a20f9469cfc6cn;

/** Pickles of such a file: magic, version, system, object, keys of the storages. */
export const legacyPickles = 5;

/** Bytes of an element by the storage's class. */
const elementBytes: Readonly<Record<string, number>> = {
  DoubleStorage: 8,
  FloatStorage: 4,
  HalfStorage: 2,
  BFloat16Storage: 2,
  LongStorage: 8,
  IntStorage: 4,
  ShortStorage: 2,
  CharStorage: 1,
  ByteStorage: 1,
  BoolStorage: 1,
  ComplexFloatStorage: 8,
  ComplexDoubleStorage: 16,
  QInt8Storage: 1,
  QUInt8Storage: 1,
  QInt32Storage: 4,
  QUInt4x2Storage: 1,
  QUInt2x4Storage: 1,
  UntypedStorage: 1,
};

/** Class of elements by the storage's class, as torch names them. */
export const elementNames: Readonly<Record<string, string>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
  ComplexFloatStorage: 'complex64',
  ComplexDoubleStorage: 'complex128',
  QInt8Storage: 'qint8',
  QUInt8Storage: 'quint8',
  QInt32Storage: 'qint32',
};

/** A storage's class, from an id such as `('storage', torch.FloatStorage, '0', 'cpu', 6)`. */
export function storageClass(id: Value): string | undefined {
  const [tag, type] = itemsOf(id) ?? [];
  return tag === 'storage' && isGlobal(type) ? type.name : undefined;
}

/** What precedes each storage in a legacy file: its count of elements. */
const countBytes = 8;

/** Bytes that follow the pickles of a legacy file; undefined where an id does not tell. */
export function legacyStorageBytes(ids: readonly Value[]): number | undefined {
  const sizes = new Map<Value, number>();
  for (const id of ids) {
    const [tag, , key, , count] = itemsOf(id) ?? [];
    if (tag === 'module') continue;
    const width = elementBytes[storageClass(id) ?? ''];
    if (width === undefined || key === undefined || typeof count !== 'number' || count < 0) return undefined;
    sizes.set(key, countBytes + count * width);
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
