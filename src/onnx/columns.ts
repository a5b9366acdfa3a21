/** Columns: which cell of which input tensor each value of a row feeds. */
import type { ValidationIssue } from '../platform/errors.ts';
import type { ColumnSpec, GivenSignature, TensorSpec } from '../signature/signature.ts';

type GivenColumn = NonNullable<GivenSignature['columns']>[number];
export type Issues = ValidationIssue[];

/** Cells that one row of the input holds; undefined when there is no row dimension or a size is variable. */
function rowWidth(input: TensorSpec): number | undefined {
  const [rows, ...rest] = input.shape;
  if (rows === undefined || (rest.length === 0 && rows !== -1)) return undefined;
  return rest.some((dim) => dim < 0) ? undefined : rest.reduce((product, dim) => product * dim, 1);
}

function issue(path: readonly (string | number)[], expected: string, found: string | null, message: string) {
  return { path: path.map(String), expected, found, message };
}

/** The input a given column feeds: the one it names, the graph's only one, or the one of its own name. */
function inputOf(column: GivenColumn, at: number, inputs: readonly TensorSpec[], issues: Issues) {
  const only = inputs.length === 1 ? inputs[0] : undefined;
  const name = column.input ?? only?.name ?? column.name;
  const input = inputs.find((candidate) => candidate.name === name);
  const names = inputs.map((candidate) => candidate.name).join(', ');
  if (input === undefined) {
    const path = column.input === undefined ? ['columns', at, 'name'] : ['columns', at, 'input'];
    issues.push(issue(path, names, name, `The graph has no input "${name}"; its inputs are ${names}.`));
  } else if (rowWidth(input) === undefined) {
    const shape = `[${input.shape.join(', ')}]`;
    const message = `Input "${name}" of shape ${shape} cannot be made of columns: its rows have no fixed size.`;
    issues.push(issue(['columns', at], 'an input whose rows have a fixed size', shape, message));
    return undefined;
  }
  return input;
}

/** null when the input holds one value per row, else the given position, else the next in order. */
function indexOf(column: GivenColumn, input: TensorSpec, width: number, next: number): number | null {
  if (width === 1 && (column.index ?? 0) === 0) return null;
  return column.index ?? (input.shape.length > 1 ? next : 0);
}

function nullableOf(column: GivenColumn, at: number, input: TensorSpec, issues: Issues): boolean {
  const canMiss = ['FP16', 'FP32', 'FP64', 'BYTES'].includes(input.datatype);
  if (column.nullable === true && !canMiss) {
    const message = `Column "${column.name}" cannot be nullable: ${input.datatype} has no value for "missing".`;
    issues.push(issue(['columns', at, 'nullable'], 'false', 'true', message));
  }
  return column.nullable ?? input.nullable;
}

function uniqueNames(given: readonly GivenColumn[], issues: Issues): void {
  const seen = new Set<string>();
  for (const [at, { name }] of given.entries()) {
    if (seen.has(name)) {
      const message = `The column name "${name}" is given twice.`;
      issues.push(issue(['columns', at, 'name'], 'a name of its own', name, message));
    }
    seen.add(name);
  }
}

/** Every cell of every input is fed exactly once. */
function coverage(columns: readonly ColumnSpec[], inputs: readonly TensorSpec[], issues: Issues): void {
  for (const input of inputs) {
    const width = rowWidth(input) ?? 0;
    const fed = new Set<number>();
    let count = 0;
    for (const [at, column] of columns.entries()) {
      if (column.input !== input.name) continue;
      count += 1;
      const cell = column.index ?? 0;
      if (cell >= 0 && cell < width && Number.isInteger(cell) && !fed.has(cell)) fed.add(cell);
      else if (count <= width || fed.has(cell)) {
        const problem = fed.has(cell) ? 'is fed twice' : 'does not exist';
        const message = `Column "${column.name}": cell ${cell} of input "${input.name}" ${problem}.`;
        issues.push(issue(['columns', at], `a free index from 0 to ${width - 1}`, String(cell), message));
      }
    }
    if (fed.size === width && count === width) continue;
    const message = `Input "${input.name}" takes ${width} value${width === 1 ? '' : 's'} per row; ${count} column${count === 1 ? ' feeds' : 's feed'} it.`;
    issues.push(issue(['columns'], `${width} columns`, String(count), message));
  }
}

function givenColumns(given: readonly GivenColumn[], inputs: readonly TensorSpec[], issues: Issues) {
  uniqueNames(given, issues);
  const next = new Map<string, number>();
  const before = issues.length;
  const columns = given.flatMap((column, at): ColumnSpec[] => {
    const input = inputOf(column, at, inputs, issues);
    if (input === undefined) return [];
    const position = next.get(input.name) ?? 0;
    next.set(input.name, position + 1);
    const index = indexOf(column, input, rowWidth(input) ?? 0, position);
    const nullable = nullableOf(column, at, input, issues);
    return [{ name: column.name, input: input.name, index, datatype: input.datatype, nullable }];
  });
  // With an unknown input among them, complaints about cells not fed would only repeat it.
  if (issues.length === before) coverage(columns, inputs, issues);
  return columns;
}

/**
 * The columns of a row. Given ones are mapped in order onto a single wide input (row-major where a row has more than
 * one dimension), or by name (or `input`) onto inputs of one value per row. Without given ones the inputs themselves
 * are the columns, where each holds one value per row; else null.
 */
export function columnsOf(
  given: readonly GivenColumn[] | undefined,
  inputs: readonly TensorSpec[],
  issues: Issues,
): ColumnSpec[] | null {
  if (given !== undefined) return givenColumns(given, inputs, issues);
  if (!inputs.every((input) => rowWidth(input) === 1)) return null;
  return inputs.map(({ name, datatype, nullable }) => ({
    name,
    input: name,
    index: null,
    datatype,
    nullable,
  }));
}
