/** A caller's tensors against a signature: everything that can be wrong with them is said before a model sees them. */
import type { Signature, TensorSpec } from '../signature/signature.ts';
import { cellWriter, textFault, type CellWriter } from './cell.ts';
import { describe, Issues } from './issues.ts';
import { suggestion } from '../text/nearest.ts';
import { allocate, elementCount, floats, sameShape, type NamedTensor, type TensorData } from './tensor.ts';

/** What a caller sends for one input; `data` is nested or flat JSON, or the typed array of a binary tensor. */
export interface TensorInput {
  readonly name: string;
  readonly shape?: readonly number[] | null | undefined;
  readonly datatype?: string | null | undefined;
  readonly data: unknown;
}

export interface ParseOptions {
  /** Most rows (first dimension); the refusal names MAX_ROWS. */
  readonly maxRows: number;
  /** Where the list of tensors stands in the caller's input; default `tensors`. */
  readonly root?: readonly string[];
}

type Path = readonly (string | number)[];

const show = (shape: readonly unknown[]): string => `[${shape.map(String).join(', ')}]`;
const quote = (names: readonly { readonly name: string }[]): string =>
  names.map(({ name }) => JSON.stringify(name)).join(', ');

/**
 * The inputs of a request in the signature's order.
 * @throws ValidationError with a path such as `tensors.0.data.3`, what was expected and what was found.
 */
export function parseTensors(signature: Signature, given: unknown, options: ParseOptions): NamedTensor[] {
  const root = options.root ?? ['tensors'];
  const issues = new Issues();
  if (!Array.isArray(given) || given.length === 0) {
    issues.add(root, `a list with ${quote(signature.inputs)}`, describe(given));
    issues.throwIfAny();
  }
  const found = new Map<string, { readonly tensor: NamedTensor | null; readonly path: Path }>();
  (given as unknown[]).forEach((input, index) => {
    const path = [...root, index];
    const spec = specOf(signature, input, path, issues);
    if (spec === null) return;
    if (found.has(spec.name))
      issues.add([...path, 'name'], 'each input once', `${JSON.stringify(spec.name)} again`);
    else
      found.set(spec.name, {
        tensor: parseTensor(spec, input as TensorInput, path, options.maxRows, issues),
        path,
      });
  });
  for (const { name } of signature.inputs) {
    if (!found.has(name)) issues.add(root, `input ${JSON.stringify(name)}`, 'none of that name');
  }
  checkRows(signature, found, issues);
  issues.throwIfAny();
  return signature.inputs.map(({ name }) => found.get(name)?.tensor as NamedTensor);
}

/** How many rows the inputs hold: the variable first dimension that they share, 1 where there is none. */
export function rowCount(signature: Signature, inputs: readonly NamedTensor[]): number {
  const at = signature.inputs.findIndex((spec) => spec.shape[0] === -1);
  return inputs[at]?.shape[0] ?? 1;
}

function specOf(signature: Signature, input: unknown, path: Path, issues: Issues): TensorSpec | null {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    issues.add(path, 'a tensor {name, shape, datatype, data}', describe(input));
    return null;
  }
  const { name } = input as { readonly name?: unknown };
  const spec = signature.inputs.find((candidate) => candidate.name === name);
  if (spec !== undefined) return spec;
  const names = signature.inputs.map((candidate) => candidate.name);
  const why = typeof name === 'string' ? suggestion(name, names) : '';
  issues.add([...path, 'name'], `one of ${quote(signature.inputs)}`, describe(name), why);
  return null;
}

function checkRows(
  signature: Signature,
  found: ReadonlyMap<string, { readonly tensor: NamedTensor | null; readonly path: Path }>,
  issues: Issues,
): void {
  let first: NamedTensor | null = null;
  for (const spec of signature.inputs) {
    const { tensor, path } = found.get(spec.name) ?? { tensor: null, path: [] };
    if (spec.shape[0] !== -1 || tensor === null) continue;
    first ??= tensor;
    const rows = first.shape[0]!;
    if (tensor.shape[0] !== rows) {
      const expected = `${rows} rows, as many as in ${JSON.stringify(first.name)}`;
      issues.add([...path, 'shape', 0], expected, `${tensor.shape[0]} in ${JSON.stringify(spec.name)}`);
    }
  }
}

/** One input against its spec; null when issues were added. */
function parseTensor(
  spec: TensorSpec,
  input: TensorInput,
  path: Path,
  maxRows: number,
  issues: Issues,
): NamedTensor | null {
  const { name, datatype } = spec;
  if (input.datatype !== undefined && input.datatype !== null && input.datatype !== datatype) {
    issues.add([...path, 'datatype'], datatype, describe(input.datatype));
    return null;
  }
  const values = spec.shape.length === 0 && isScalar(input.data) ? [input.data] : input.data;
  if (!Array.isArray(values) && !ArrayBuffer.isView(values)) {
    issues.add([...path, 'data'], 'a list of values, flat or nested', describe(values));
    return null;
  }
  const list = values as unknown[] | TensorData;
  const shape = shapeOf(spec, input.shape, list, path, issues);
  if (shape === null || !fits(spec, shape, maxRows, path, issues)) return null;
  const data = fill(spec, shape, list, [...path, 'data'], issues);
  return data === null ? null : { name, datatype, shape, data };
}

const isScalar = (value: unknown): boolean =>
  value !== null && typeof value !== 'object' && value !== undefined;

function shapeOf(
  spec: TensorSpec,
  given: unknown,
  values: unknown[] | TensorData,
  path: Path,
  issues: Issues,
): readonly number[] | null {
  if (given === undefined || given === null) {
    return Array.isArray(values[0])
      ? nestedShape(values as unknown[])
      : flatShape(spec, values.length, path, issues);
  }
  if (!Array.isArray(given)) {
    issues.add([...path, 'shape'], 'a list of dimensions', describe(given));
    return null;
  }
  const wrong = given.findIndex((dimension) => !Number.isSafeInteger(dimension) || dimension < 0);
  if (wrong === -1) return given as number[];
  issues.add([...path, 'shape', wrong], 'a dimension, an integer of 0 or more', describe(given[wrong]));
  return null;
}

/** Follows the first elements down; the rest is held against it while filling. */
function nestedShape(values: unknown[]): number[] {
  const shape: number[] = [];
  // No tensor has this many dimensions; a hostile nesting must not become an endless message.
  for (let level: unknown = values; Array.isArray(level) && shape.length < 16; level = level[0]) {
    shape.push(level.length);
  }
  return shape;
}

function flatShape(spec: TensorSpec, length: number, path: Path, issues: Issues): readonly number[] | null {
  const variable = spec.shape.filter((dimension) => dimension === -1).length;
  if (variable === 0) return spec.shape;
  if (variable > 1) {
    issues.add(
      [...path, 'shape'],
      `a shape like ${show(spec.shape)}`,
      'nothing',
      'It does not follow from the data.',
    );
    return null;
  }
  const fixed = spec.shape.reduce((size, dimension) => (dimension === -1 ? size : size * dimension), 1);
  const rest = length / fixed;
  if (Number.isInteger(rest)) return spec.shape.map((dimension) => (dimension === -1 ? rest : dimension));
  issues.add([...path, 'data'], `a multiple of ${fixed} values for ${show(spec.shape)}`, `${length} values`);
  return null;
}

function fits(
  spec: TensorSpec,
  shape: readonly number[],
  maxRows: number,
  path: Path,
  issues: Issues,
): boolean {
  const at = [...path, 'shape'];
  const matches =
    shape.length === spec.shape.length &&
    spec.shape.every((dimension, axis) => dimension === -1 || dimension === shape[axis]);
  const rows = spec.shape[0] === -1 ? (shape[0] ?? 0) : 1;
  if (!matches) {
    const rank = shape.length === spec.shape.length ? '' : ` (rank ${spec.shape.length})`;
    issues.add(at, `${show(spec.shape)}${rank} of input ${JSON.stringify(spec.name)}`, show(shape));
  } else if (elementCount(shape) === null) {
    issues.add(at, 'a shape of at most 2^53 - 1 elements', show(shape));
  } else if (rows === 0) {
    issues.add([...at, 0], 'at least one row', '0');
  } else if (rows > maxRows) {
    issues.add([...at, 0], `at most ${maxRows} rows (MAX_ROWS)`, String(rows));
  } else {
    return true;
  }
  return false;
}

/** The elements; null when issues were added. Nothing is allocated before the number of values is known to match. */
function fill(
  spec: TensorSpec,
  shape: readonly number[],
  values: unknown[] | TensorData,
  path: Path,
  issues: Issues,
): TensorData | null {
  const count = elementCount(shape) as number;
  const nested = Array.isArray(values[0]);
  if (!nested && values.length !== count) {
    issues.add(path, `${count} values for shape ${show(shape)}`, `${values.length} values`);
    return null;
  }
  if (!Array.isArray(values)) {
    const tensor = { name: spec.name, datatype: spec.datatype, shape, data: values };
    return checkBinary(tensor, spec.nullable, path, issues) ? values : null;
  }
  const inner = nestedShape(values as unknown[]);
  if (nested && !sameShape(inner, shape)) {
    issues.add(path, `values nested as ${show(shape)}`, `values nested as ${show(inner)}`);
    return null;
  }
  const data = allocate(spec.datatype, count);
  const write = cellWriter(spec.datatype, spec.nullable);
  const clean = nested
    ? fillNested({ data, write, shape, issues }, values, 0, 0, path)
    : fillList(data, write, values, 0, path, issues);
  return clean ? data : null;
}

function fillList(
  data: TensorData,
  write: CellWriter,
  values: readonly unknown[],
  offset: number,
  path: Path,
  issues: Issues,
): boolean {
  let clean = true;
  for (let index = 0; index < values.length; index++) {
    const wrong = write(data, offset + index, values[index]);
    if (wrong === null) continue;
    clean = false;
    issues.add([...path, index], wrong.expected, wrong.found, wrong.why);
    if (issues.full) break;
  }
  return clean;
}

interface Nesting {
  readonly data: TensorData;
  readonly write: CellWriter;
  readonly shape: readonly number[];
  readonly issues: Issues;
}

function fillNested(into: Nesting, list: unknown, level: number, offset: number, path: Path): boolean {
  const { shape, issues } = into;
  const length = shape[level]!;
  if (!Array.isArray(list) || list.length !== length) {
    issues.add(path, `a list of ${length}`, describe(list));
    return false;
  }
  if (level === shape.length - 1) return fillList(into.data, into.write, list, offset, path, issues);
  let step = 1;
  for (let axis = level + 1; axis < shape.length; axis++) step *= shape[axis]!;
  let clean = true;
  for (let index = 0; index < length && !issues.full; index++) {
    clean = fillNested(into, list[index], level + 1, offset + index * step, [...path, index]) && clean;
  }
  return clean;
}

/** A binary tensor's values: the bytes had the right number, but may hold what the model cannot take. */
function checkBinary(tensor: NamedTensor, nullable: boolean, path: Path, issues: Issues): boolean {
  const { datatype, data } = tensor;
  const at =
    datatype === 'BYTES' || datatype === 'BOOL' ? firstWrong(tensor) : firstInfinite(tensor, nullable);
  if (at === -1) return true;
  const where = [...path, at];
  if (datatype === 'BOOL') issues.add(where, '0 or 1', String(data[at]));
  else if (datatype === 'BYTES') {
    const wrong = textFault(data[at] as string);
    issues.add(where, wrong?.expected ?? 'text', wrong?.found ?? 'other bytes', wrong?.why);
  } else issues.add(where, 'a finite number', String(floats(tensor)?.[at]), 'The input is not nullable.');
  return false;
}

/** Index of a byte that is no truth value, or of a text that no model takes; -1 where there is none. */
function firstWrong({ datatype, data }: NamedTensor): number {
  if (datatype === 'BOOL') return (data as Uint8Array).findIndex((bit) => bit > 1);
  return (data as string[]).findIndex((text) => textFault(text) !== null);
}

/** Index of the first NaN or infinity where there must be none; -1 otherwise. Plain: images have many elements. */
function firstInfinite(tensor: NamedTensor, nullable: boolean): number {
  const numbers = nullable ? null : floats(tensor);
  if (numbers === null) return -1;
  for (let at = 0; at < numbers.length; at++) {
    const value = numbers[at]!;
    if (value - value !== 0) return at;
  }
  return -1;
}
