/**
 * Tensors as few bytes, for keeping: what a signature says of them (name, datatype) is not said again. Each is a header
 * of its position in the signature (16 bits), its rank (16), its bytes (32) and its dimensions (32 each), and then its
 * bytes as on the wire; all little-endian.
 */
import type { TensorSpec } from '../signature/signature.ts';
import { elementCount, readWire, WireError, wireSize, writeWire, type NamedTensor } from './tensor.ts';

const HEAD = 8;

/** @throws Error for a tensor that is none of the specs'. */
export function packTensors(specs: readonly TensorSpec[], tensors: readonly NamedTensor[]): Buffer {
  const sizes = tensors.map(({ data }) => wireSize(data));
  let length = 0;
  tensors.forEach(({ shape }, index) => (length += HEAD + 4 * shape.length + sizes[index]!));
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  tensors.forEach(({ name, shape, data }, index) => {
    const position = specs.findIndex((spec) => spec.name === name);
    if (position === -1) throw new Error(`${JSON.stringify(name)} is not in the signature.`);
    bytes.writeUInt16LE(position, at);
    bytes.writeUInt16LE(shape.length, at + 2);
    bytes.writeUInt32LE(sizes[index]!, at + 4);
    at += HEAD;
    for (const dimension of shape) at = bytes.writeUInt32LE(dimension, at);
    at = writeWire(data, bytes, at);
  });
  return bytes;
}

/** @throws WireError when the bytes are not what packTensors made with these specs. */
export function unpackTensors(specs: readonly TensorSpec[], bytes: Buffer): NamedTensor[] {
  const tensors: NamedTensor[] = [];
  let at = 0;
  while (at < bytes.length) {
    const dimensionsAt = at + HEAD;
    if (dimensionsAt > bytes.length) throw new WireError('the bytes end within a header');
    const spec = specs[bytes.readUInt16LE(at)];
    const rank = bytes.readUInt16LE(at + 2);
    const dataAt = dimensionsAt + 4 * rank;
    const end = dataAt + bytes.readUInt32LE(at + 4);
    if (!spec || end > bytes.length) throw new WireError('a header tells of what is not there');
    const shape = Array.from({ length: rank }, (_, axis) => bytes.readUInt32LE(dimensionsAt + 4 * axis));
    const count = elementCount(shape);
    if (count === null) throw new WireError('a shape holds too much');
    const { name, datatype } = spec;
    tensors.push({ name, datatype, shape, data: readWire(datatype, count, bytes.subarray(dataAt, end)) });
    at = end;
  }
  return tensors;
}

/** Bytes that tensors hold in memory, about. */
export function heldBytes(tensors: readonly NamedTensor[]): number {
  let bytes = 0;
  for (const { data } of tensors) {
    if (!Array.isArray(data)) bytes += data.byteLength;
    else for (const text of data) bytes += 16 + text.length;
  }
  return bytes;
}
