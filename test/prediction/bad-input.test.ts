/** Everything that can be wrong with a request is refused, with where, what was expected and what was found. */
import { beforeAll, expect, test } from 'vitest';
import { breastCancerSignature } from '#test/helpers/models.ts';
import { predict, refusal, sendPredict } from '#test/helpers/predict.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { patient, penguin, serve, type Row } from './served.ts';

const MAX_ROWS = 120;
const texts = (length: number): Row[] => Array.from({ length }, () => ({ text: 'win' }));

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ env: { MAX_ROWS: String(MAX_ROWS) } });
  await Promise.all([
    serve(stack, 'breast-cancer', 'breast-cancer/v2.onnx', breastCancerSignature),
    serve(stack, 'bare', 'breast-cancer/v2.onnx'),
    serve(stack, 'penguins', 'penguins/v1.onnx'),
    serve(stack, 'spam', 'spam-text/v1.onnx'),
  ]);
});

const { 'mean radius': _, ...withoutRadius } = patient;

const wrong: [string, string, Row[], { path: string[]; expected: unknown; found: unknown }][] = [
  [
    'a missing column',
    'breast-cancer',
    [patient, withoutRadius],
    { path: ['rows', '1', 'mean radius'], expected: 'a value', found: 'nothing' },
  ],
  [
    'an unknown column',
    'breast-cancer',
    [{ ...patient, 'mean radios': 1 }],
    {
      path: ['rows', '0', 'mean radios'],
      expected: 'a column of the signature',
      found: 'an unknown column',
    },
  ],
  [
    'text for a number',
    'breast-cancer',
    [{ ...patient, 'mean area': 'big' }],
    { path: ['rows', '0', 'mean area'], expected: 'a finite number', found: 'text "big"' },
  ],
  [
    'a number as text',
    'breast-cancer',
    [{ ...patient, 'mean area': '12' }],
    { path: ['rows', '0', 'mean area'], expected: 'a finite number', found: 'text "12"' },
  ],
  [
    'a number for text',
    'penguins',
    [{ ...penguin, island: 7 }],
    { path: ['rows', '0', 'island'], expected: 'text', found: '7' },
  ],
  [
    'a list for a number',
    'penguins',
    [{ ...penguin, body_mass_g: [3700] }],
    { path: ['rows', '0', 'body_mass_g'], expected: 'a number, "NaN" or null', found: 'a list of 1' },
  ],
  [
    'a missing text that nobody said may be missing',
    'penguins',
    [{ ...penguin, sex: null }],
    { path: ['rows', '0', 'sex'], expected: 'text', found: 'null' },
  ],
  [
    'null where nothing may be missing',
    'breast-cancer',
    [{ ...patient, 'mean area': null }],
    { path: ['rows', '0', 'mean area'], expected: 'a finite number', found: 'null' },
  ],
  [
    'NaN where nothing may be missing',
    'breast-cancer',
    [{ ...patient, 'mean area': 'NaN' }],
    { path: ['rows', '0', 'mean area'], expected: 'a finite number', found: 'text "NaN"' },
  ],
  [
    'a number beyond float32',
    'breast-cancer',
    [{ ...patient, 'mean area': 1e39 }],
    { path: ['rows', '0', 'mean area'], expected: 'a number within float32', found: '1e+39' },
  ],
  [
    'a text with a NUL',
    'spam',
    [{ text: 'win\0dow' }],
    {
      path: ['rows', '0', 'text'],
      expected: 'text without NUL characters',
      found: String.raw`text "win\u0000dow"`,
    },
  ],
  [
    'half a character',
    'spam',
    [{ text: '\ud83d' }],
    { path: ['rows', '0', 'text'], expected: 'well-formed Unicode text', found: expect.any(String) },
  ],
  ['no rows', 'spam', [], { path: ['rows'], expected: 'at least one row', found: 'none' }],
  [
    'too many rows',
    'spam',
    texts(MAX_ROWS + 1),
    { path: ['rows'], expected: `at most ${MAX_ROWS} rows (MAX_ROWS)`, found: String(MAX_ROWS + 1) },
  ],
];

test.each(wrong)('%s', async (_what, name, rows, issue) => {
  const { issues, ...error } = await refusal(stack, { deployment: `test/${name}`, rows });
  expect(error).toMatchObject({ __typename: 'ValidationError', code: 'VALIDATION' });
  expect(issues).toContainEqual({ ...issue, message: expect.stringContaining(issue.path.join('.')) });
});

test('a slip in a name is guessed', async () => {
  const { issues } = await refusal(stack, {
    deployment: 'test/breast-cancer',
    rows: [{ ...withoutRadius, 'mean radios': 1 }],
  });
  expect(issues!.map(({ message }) => message).join(' ')).toMatch(/"?mean radius"?\?/);
});

test('twenty issues at most, and all of a row', async () => {
  const rows = Array<Row>(MAX_ROWS).fill(withoutRadius);
  const { issues } = await refusal(stack, { deployment: 'test/breast-cancer', rows });
  expect(issues).toHaveLength(20);
});

test('as many rows as are allowed', async () => {
  const { rows } = await predict(stack, { deployment: 'test/spam', rows: texts(MAX_ROWS) });
  expect(rows).toHaveLength(MAX_ROWS);
});

test('what is no row at all', async () => {
  for (const row of [7, 'text', [1]]) {
    const { status, body } = await sendPredict(stack, { deployment: 'test/spam', rows: [row] });
    expect([status, body.data]).toEqual([200, undefined]);
    expect(body.errors?.[0]?.message).toContain(
      `rows[0]: Expected an object of column names and values, found ${JSON.stringify(row)}.`,
    );
  }
});

const tensors = [{ name: 'text', data: [['win']] }];
test.each([
  ['rows and tensors', { rows: [{ text: 'win' }], tensors }, 'tensors', 'either rows or tensors', 'both'],
  ['neither', {}, 'rows', 'rows or tensors', 'neither'],
  ['an unknown output', { tensors, outputs: ['nope'] }, 'outputs.0', 'one of label, probabilities', '"nope"'],
  ['an output twice', { tensors, outputs: ['label', 'label'] }, 'outputs.1', 'each output once', '"label"'],
  ['no outputs', { tensors, outputs: [] }, 'outputs', 'some of label, probabilities', 'an empty list'],
  ['no time', { tensors, timeoutMs: 0 }, 'timeoutMs', '1 to 3600000 ms', '0'],
  [
    '0 rows of a tensor',
    { tensors: [{ name: 'text', shape: [0, 1], data: [] }] },
    'tensors.0.shape.0',
    'at least one row',
    '0',
  ],
])('%s', async (_what, input, path, expected, found) => {
  const { issues, code } = await refusal(stack, { deployment: 'test/spam', ...input });
  expect(code).toBe('VALIDATION');
  expect(issues).toEqual([{ path: path.split('.'), expected, found, message: expect.any(String) }]);
});

test('rows for a version without columns: how to name them', async () => {
  const { __typename, hint, issues } = await refusal(stack, {
    deployment: 'test/bare',
    rows: [patient],
  });
  expect(__typename).toBe('ValidationError');
  expect(issues).toMatchObject([{ path: ['rows'], expected: 'a signature with columns', found: 'none' }]);
  expect(hint).toMatch(/createVersion\(signature: \{columns/);
});
