/** Several callers' inputs as one batch along the first dimension, and its outputs back to each of them. */
import { allocate, rowSize, type NamedTensor, type TensorData } from './tensor.ts';

/** Whether two calls' inputs differ in nothing but their number of rows; each needs at least one dimension. */
export function stackable(one: readonly NamedTensor[], other: readonly NamedTensor[]): boolean {
  if (one.length !== other.length) return false;
  for (let index = 0; index < one.length; index++) {
    const left = one[index]!;
    const right = other[index]!;
    if (left.name !== right.name || left.datatype !== right.datatype) return false;
    const rank = left.shape.length;
    if (rank === 0 || rank !== right.shape.length) return false;
    for (let axis = 1; axis < rank; axis++) if (left.shape[axis] !== right.shape[axis]) return false;
  }
  return true;
}

/** The first dimension if all inputs share it, else null: then these are not rows. */
export function sharedRows(inputs: readonly NamedTensor[]): number | null {
  const rows = inputs[0]?.shape[0];
  if (rows === undefined) return null;
  for (const input of inputs) if (input.shape[0] !== rows) return null;
  return rows;
}

/** Stackable inputs, one below the other: [sum of rows, …]. A single call's are returned as they are. */
export function stack(calls: readonly (readonly NamedTensor[])[]): readonly NamedTensor[] {
  const [first = []] = calls;
  if (calls.length === 1) return first;
  return first.map((input, index) => {
    const parts = calls.map((inputs) => inputs[index]!);
    const rows = parts.reduce((sum, part) => sum + part.shape[0]!, 0);
    const data = join(
      input.datatype,
      parts.map((part) => part.data),
      rows * rowSize(input.shape),
    );
    return { ...input, shape: [rows, ...input.shape.slice(1)], data };
  });
}

function join(datatype: NamedTensor['datatype'], parts: readonly TensorData[], count: number): TensorData {
  if (datatype === 'BYTES') return (parts as string[][]).flat();
  const data = allocate(datatype, count) as Float32Array;
  let at = 0;
  // All parts are arrays of the datatype's kind; the cast picks one so that `set` is typed.
  for (const part of parts as Float32Array[]) {
    data.set(part, at);
    at += part.length;
  }
  return data;
}

/**
 * Each call's rows of the outputs (views, where they are numbers).
 * @returns null when an output does not have one entry per row: then the batch cannot be taken apart.
 */
export function unstack(outputs: readonly NamedTensor[], rows: readonly number[]): NamedTensor[][] | null {
  const total = rows.reduce((sum, count) => sum + count, 0);
  if (outputs.some((output) => output.shape[0] !== total)) return null;
  let first = 0;
  return rows.map((count) => {
    const from = first;
    first += count;
    return outputs.map((output) => slice(output, from, count));
  });
}

function slice(output: NamedTensor, first: number, rows: number): NamedTensor {
  const size = rowSize(output.shape);
  const [from, to] = [first * size, (first + rows) * size];
  const data = Array.isArray(output.data) ? output.data.slice(from, to) : output.data.subarray(from, to);
  const shape = output.shape.slice();
  shape[0] = rows;
  return { name: output.name, datatype: output.datatype, shape, data };
}
