/** Rows of named cells, packed into a signature's input tensors. */
import { ValidationError } from '../platform/errors.ts';
import type { ColumnSpec, Signature, TensorSpec } from '../signature/signature.ts';
import { cellWriter, type CellWriter } from './cell.ts';
import { describe, Issues } from './issues.ts';
import { suggestion } from '../text/nearest.ts';
import { allocate, elementCount, rowSize, type NamedTensor, type TensorData } from './tensor.ts';

export type Row = Readonly<Record<string, unknown>>;

/** Packs rows; what it needs to know of the signature was worked out once. */
type Packer = (rows: readonly Row[], maxRows: number) => NamedTensor[];

interface Column {
  readonly name: string;
  readonly write: CellWriter;
  /** Which input, by its position in the signature. */
  readonly input: number;
  /** First cell and distance to the next row's. */
  readonly at: number;
  readonly step: number;
}

const packers = new WeakMap<Signature, Packer>();

/**
 * One tensor per input, [rows, …]; a row names every column of the signature and no other.
 * @throws ValidationError with a path such as `rows.0.mean radius`; with a hint when the signature has no columns.
 */
export function packRows(signature: Signature, rows: readonly Row[], maxRows: number): NamedTensor[] {
  let packer = packers.get(signature);
  if (packer === undefined) {
    packer = compilePacker(signature);
    packers.set(signature, packer);
  }
  return packer(rows, maxRows);
}

/** @throws ValidationError when the signature cannot be fed with rows. */
function compilePacker(signature: Signature): Packer {
  const given = signature.columns;
  if (given === null) throw withoutColumns();
  const { inputs } = signature;
  const columns = compileColumns(given, inputs);
  const names = new Set(given.map(({ name }) => name));
  return (rows, maxRows) => {
    checkCount(rows, inputs, maxRows);
    const count = rows.length;
    const data = inputs.map((spec) => allocate(spec.datatype, count * rowSize(spec.shape)));
    let issues: Issues | null = null;
    for (let index = 0; index < count; index++) {
      const row = rows[index]!;
      if (packRow(row, index, columns, data)) continue;
      issues ??= new Issues();
      explainRow(row, index, columns, names, data, issues);
      if (issues.full) break;
    }
    issues?.throwIfAny();
    return inputs.map((spec, input) => ({
      name: spec.name,
      datatype: spec.datatype,
      shape: spec.shape.map((dimension, axis) => (axis === 0 ? count : dimension)),
      data: data[input]!,
    }));
  };
}

function withoutColumns(): ValidationError {
  return ValidationError.of(['rows'], 'a signature with columns', 'none', {
    message: 'rows: this version does not name its columns, so rows cannot be matched to its inputs.',
    hint: 'Name them at createVersion(signature: {columns: […]}), or predict with `tensors`.',
  });
}

function compileColumns(given: readonly ColumnSpec[], inputs: readonly TensorSpec[]): Column[] {
  const cells = new Set<string>();
  const columns = given.map((column) => {
    const input = inputs.findIndex(({ name }) => name === column.input);
    const spec = inputs[input];
    const step = spec === undefined || spec.shape.length === 0 ? null : elementCount(spec.shape.slice(1));
    const at = column.index ?? 0;
    if (spec === undefined || step === null || at >= step) throw notPackable(column.input);
    cells.add(`${input}:${at}`);
    const write = cellWriter(spec.datatype, column.nullable || spec.nullable);
    return { name: column.name, write, input, at, step };
  });
  // A cell that no column feeds would silently be zero.
  inputs.forEach((spec, input) => {
    const size = spec.shape.length === 0 ? 1 : (elementCount(spec.shape.slice(1)) ?? 1);
    for (let at = 0; at < size; at++) if (!cells.has(`${input}:${at}`)) throw notPackable(spec.name);
  });
  return columns;
}

function notPackable(input: string): ValidationError {
  const name = JSON.stringify(input);
  return ValidationError.of(['rows'], `columns for every cell of input ${name}`, 'others', {
    message: `rows: the columns of this version do not make up input ${name}.`,
    hint: 'Predict with `tensors`, or create a version whose signature names a column for every cell.',
  });
}

function checkCount(rows: readonly Row[], inputs: readonly TensorSpec[], maxRows: number): void {
  const count = rows.length;
  if (count === 0) throw ValidationError.of(['rows'], 'at least one row', 'none');
  if (count > maxRows)
    throw ValidationError.of(['rows'], `at most ${maxRows} rows (MAX_ROWS)`, String(count));
  const fixed = inputs.find((spec) => spec.shape[0] !== -1 && spec.shape[0] !== count);
  if (fixed === undefined) return;
  const expected = `${fixed.shape[0]} rows, the fixed first dimension of input ${JSON.stringify(fixed.name)}`;
  throw ValidationError.of(['rows'], expected, String(count));
}

/** The fast way: true when the row was right. A missing column ends it at a cell, an unknown one at the count. */
function packRow(row: Row, index: number, columns: readonly Column[], data: readonly TensorData[]): boolean {
  if (typeof row !== 'object' || row === null) return false;
  let keys = 0;
  for (const _ in row) keys++;
  if (keys !== columns.length) return false;
  for (const { name, write, input, at, step } of columns) {
    const cell = row[name];
    // A missing cell of a nullable column must not pass for null.
    if (cell === undefined || write(data[input]!, index * step + at, cell) !== null) return false;
  }
  return true;
}

/** The slow way, for a row with something wrong in it. */
function explainRow(
  row: unknown,
  index: number,
  columns: readonly Column[],
  names: ReadonlySet<string>,
  data: readonly TensorData[],
  issues: Issues,
): void {
  const path = ['rows', index];
  if (typeof row !== 'object' || row === null || Array.isArray(row)) {
    issues.add(path, 'an object of column names and values', describe(row));
    return;
  }
  const cells = row as Row;
  const missing = columns.filter(({ name }) => !Object.hasOwn(cells, name)).map(({ name }) => name);
  for (const name of Object.keys(cells)) {
    if (names.has(name)) continue;
    const candidates = missing.length > 0 ? missing : names;
    issues.add(
      [...path, name],
      'a column of the signature',
      'an unknown column',
      suggestion(name, candidates),
    );
  }
  for (const { name, write, input, at, step } of columns) {
    if (!Object.hasOwn(cells, name)) {
      issues.add([...path, name], 'a value', 'nothing', suggestion(name, unknownKeys(cells, names)));
      continue;
    }
    const wrong = write(data[input]!, index * step + at, cells[name]);
    if (wrong !== null) issues.add([...path, name], wrong.expected, wrong.found, wrong.why);
  }
}

const unknownKeys = (row: Row, names: ReadonlySet<string>): string[] =>
  Object.keys(row).filter((key) => !names.has(key));
