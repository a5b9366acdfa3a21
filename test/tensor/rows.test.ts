import { describe, expect, test } from 'vitest';
import { ValidationError } from '#src/platform/errors.ts';
import type { ColumnSpec, Signature } from '#src/signature/signature.ts';
import { packRows, type Row } from '#src/tensor/rows.ts';
import { fixtureSignature } from '#test/replica/process.harness.ts';

const column = (
  name: string,
  input: string,
  index: number | null,
  rest: Partial<ColumnSpec> = {},
): ColumnSpec => ({
  name,
  input,
  index,
  datatype: 'FP32',
  nullable: false,
  ...rest,
});

const signature: Signature = {
  ...fixtureSignature('breast-cancer', 'v2'),
  inputs: [
    { name: 'measures', datatype: 'FP32', shape: [-1, 2], nullable: false },
    { name: 'sex', datatype: 'BYTES', shape: [-1, 1], nullable: true },
    { name: 'count', datatype: 'INT64', shape: [-1], nullable: false },
  ],
  columns: [
    column('mean radius', 'measures', 1),
    column('area', 'measures', 0, { nullable: true }),
    column('sex', 'sex', null),
    column('constructor', 'count', null),
  ],
};

const row = (rest: Row = {}): Row => ({ 'mean radius': 2, area: 1, sex: 'f', constructor: 3, ...rest });

function issuesOf(rows: readonly unknown[], of: Signature = signature) {
  try {
    packRows(of, rows as Row[], 100);
  } catch (error) {
    expect(error).toBeInstanceOf(ValidationError);
    return (error as ValidationError).issues.map((issue) => ({ ...issue, path: issue.path.join('.') }));
  }
  throw new Error('It was accepted.');
}

test('cells go where the signature says, whatever the order of the keys', () => {
  const tensors = packRows(
    signature,
    [row(), { constructor: '9007199254740993', sex: null, 'mean radius': 4, area: null }],
    100,
  );
  expect(tensors).toEqual([
    { name: 'measures', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(1, 2, Number.NaN, 4) },
    { name: 'sex', datatype: 'BYTES', shape: [2, 1], data: ['f', ''] },
    { name: 'count', datatype: 'INT64', shape: [2], data: BigInt64Array.of(3n, 9007199254740993n) },
  ]);
});

describe('what is wrong with a row is said with its place', () => {
  test('a missing column, its likely spelling, and a wrong cell', () => {
    const { area: _, ...rest } = row({ sex: 1, mean_radius: 2 });
    const { 'mean radius': __, ...without } = rest;
    const issues = issuesOf([row(), without]);
    expect(issues.map(({ path, expected, found }) => [path, expected, found])).toEqual([
      ['rows.1.mean_radius', 'a column of the signature', 'an unknown column'],
      ['rows.1.mean radius', 'a value', 'nothing'],
      ['rows.1.area', 'a value', 'nothing'],
      ['rows.1.sex', 'text or null', '1'],
    ]);
    expect(issues[0]!.message).toContain('Did you mean "mean radius"?');
  });

  test('a column named as something that every object inherits can be missing', () => {
    const { constructor: _, ...without } = row();
    expect(issuesOf([without])[0]).toMatchObject({ path: 'rows.0.constructor', found: 'nothing' });
  });

  test.each([[null], [5], [[1, 2, 3, 4]], [undefined]])('%j is no row', (given) => {
    expect(issuesOf([given])[0]).toMatchObject({ path: 'rows.0' });
  });

  test('missing values only where they are legal', () => {
    expect(issuesOf([row({ 'mean radius': 'NaN' })])[0]!.message).toContain('nullable');
    expect(issuesOf([row({ 'mean radius': undefined })])[0]).toMatchObject({ found: 'nothing' });
  });

  test('at most 20 issues', () => {
    expect(issuesOf(Array.from({ length: 50 }, () => ({})))).toHaveLength(20);
  });
});

test('too many rows name the limit, none are refused', () => {
  expect(issuesOf([])[0]).toMatchObject({ path: 'rows', expected: 'at least one row' });
  const many = Array.from({ length: 101 }, () => row());
  expect(issuesOf(many)[0]).toMatchObject({ expected: 'at most 100 rows (MAX_ROWS)', found: '101' });
});

test('a signature without columns says how to give them', () => {
  try {
    packRows({ ...signature, columns: null }, [row()], 100);
    expect.unreachable();
  } catch (error) {
    expect((error as ValidationError).hint).toContain('createVersion(signature: {columns: […]})');
  }
});

test.each([
  ['a cell that no column feeds', { columns: signature.columns!.slice(1) }],
  ['a column of no input', { columns: [...signature.columns!, column('x', 'nope', 0)] }],
  [
    'a variable inner dimension',
    { inputs: [{ ...signature.inputs[0]!, shape: [-1, -1] }, ...signature.inputs.slice(1)] },
  ],
])('%s: rows cannot be packed', (_name, change) => {
  expect(issuesOf([row()], { ...signature, ...change })[0]!.message).toMatch(/columns of this version/);
});
