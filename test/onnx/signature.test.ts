import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readOnnxModel } from '#src/onnx/model.ts';
import { SignatureMismatch, UnsupportedGraphError } from '#src/onnx/onnx.errors.ts';
import { deriveServingGraph } from '#src/onnx/serving-graph.ts';
import { signatureOf } from '#src/onnx/signature.ts';
import type { GivenSignature, Signature } from '#src/signature/signature.ts';
import {
  buildModel,
  elem,
  identityModel,
  int,
  ints,
  sequenceOutput,
  strings,
  textTensor,
} from './build-model.ts';
import type { ModelSpec, NodeSpec, ValueSpec } from './build-model.ts';
import { fixture, fixtureVersions } from './fixtures.ts';

function signature(bytes: Buffer, given: GivenSignature | null = null): Signature {
  const model = readOnnxModel(bytes);
  const derived = deriveServingGraph(model);
  return signatureOf(model, derived === undefined ? model : readOnnxModel(derived.bytes), given);
}

/** The issues a given signature is refused with, as `path: found`. */
function issuesOf(bytes: Buffer, given: GivenSignature): string[] {
  try {
    signature(bytes, given);
  } catch (error) {
    if (!(error instanceof SignatureMismatch)) throw error;
    for (const { message } of error.issues) expect(message).toMatch(/\.$/);
    return error.issues.map(({ path, found }) => `${path.join('.')}: ${found}`);
  }
  throw new Error('Expected a SignatureMismatch.');
}

const float = (name: string, dims: readonly number[] | null): ValueSpec => ({ name, elem: elem.float, dims });
const int64 = (name: string, dims: readonly number[]): ValueSpec => ({ name, elem: elem.int64, dims });
const names = (count: number) => Array.from({ length: count }, (_, at) => `c${at}`);
const columns = (list: readonly string[]) => ({ columns: list.map((name) => ({ name })) });

/** What the fixtures declare of a tensor. */
function tensors(specs: Signature['inputs']) {
  return specs.map(({ name, datatype, shape }) => ({ name, datatype, shape }));
}

function nullable(id: string): boolean[] {
  return signature(fixture(id)).inputs.map((input) => input.nullable);
}

describe('the fixtures', () => {
  const declared = fixtureVersions.filter((version) => version.inputs !== undefined);

  test.each(declared)('$id has the tensors it declares', ({ path, inputs, outputs }) => {
    const found = signature(readFileSync(path));
    // What has no datatype is a ZipMap's output: the probabilities of three classes.
    const expected = (values: typeof inputs) =>
      values?.map(({ name, datatype, shape }) =>
        datatype === undefined ? { name, datatype: 'FP32', shape: [-1, 3] } : { name, datatype, shape },
      );
    expect(tensors(found.inputs)).toEqual(expected(inputs));
    expect(tensors(found.outputs)).toEqual(expected(outputs));
  });

  const digits = '0123456789'.split('');
  const wine = ['0', '1', '2'];
  const iris = ['setosa', 'versicolor', 'virginica'];
  test.each([
    ['breast-cancer/v1', 'BINARY', ['benign', 'malignant'], 'malignant', 'label', 'probabilities', null],
    ['breast-cancer/v3', 'BINARY', ['benign', 'malignant'], 'malignant', 'label', 'probabilities', null],
    ['diamonds/v1', 'REGRESSION', null, null, null, null, 'variable'],
    ['diamonds/v2', 'REGRESSION', null, null, null, null, 'variable'],
    ['digits/v1', 'MULTICLASS', digits, null, 'label', 'probabilities', null],
    ['digits/v2', 'OTHER', null, null, null, null, null],
    ['iris/v1', 'MULTICLASS', iris, null, 'output_label', 'output_probability', null],
    ['iris/v2', 'MULTICLASS', iris, null, 'label', 'probabilities', null],
    ['iris/v3-int-zipmap', 'MULTICLASS', wine, null, 'output_label', 'output_probability', null],
    ['iris/v4-columns', 'MULTICLASS', iris, null, 'output_label', null, null],
    ['penguins/v1', 'MULTICLASS', ['Adelie', 'Chinstrap', 'Gentoo'], null, 'label', 'probabilities', null],
    ['spam-text/v1', 'BINARY', ['ham', 'spam'], 'spam', 'label', 'probabilities', null],
    ['wine/v2-bare', 'MULTICLASS', wine, null, 'label', 'probabilities', null],
  ])('%s is %s', (id, task, classes, positiveClass, labelOutput, probabilitiesOutput, valueOutput) => {
    expect(signature(fixture(id))).toMatchObject({
      task,
      classes,
      positiveClass,
      labelOutput,
      probabilitiesOutput,
      valueOutput,
    });
  });

  test('classes in an external file are read where that is at hand', () => {
    const model = readOnnxModel(fixture('external-data/model'));
    const weights = readFileSync(new URL('../fixtures/models/external-data/weights.bin', import.meta.url));
    const found = signatureOf(model, model, null, ({ offset }, length) =>
      weights.subarray(offset, offset + length),
    );
    expect(found.classes).toEqual(digits);
    expect(signatureOf(model, model, null)).toMatchObject({ classes: null, task: 'OTHER' });
  });

  test('a missing value is legal where the graph imputes it or routes it', () => {
    expect(nullable('penguins/v1')).toEqual([true, true, true, true, false, false]);
    expect(nullable('breast-cancer/v3')).toEqual([true]);
    expect(nullable('breast-cancer/v2')).toEqual([false]);
    expect(nullable('diamonds/v1')).toEqual([false]);
  });
});

describe('columns', () => {
  test('are the inputs where each holds one value per row', () => {
    const found = signature(fixture('penguins/v1')).columns;
    expect(found?.[0]).toEqual({
      name: 'bill_length_mm',
      input: 'bill_length_mm',
      index: null,
      datatype: 'FP32',
      nullable: true,
    });
    expect(found?.map((column) => column.name).slice(4)).toEqual(['island', 'sex']);
    expect(signature(fixture('spam-text/v1')).columns).toMatchObject([{ name: 'text', index: null }]);
    expect(signature(fixture('iris/v1')).columns).toBeNull();
  });

  test('given ones are mapped in order onto the only wide input', () => {
    const found = signature(fixture('iris/v1'), columns(['a', 'b', 'c', 'd'])).columns;
    expect(found?.map(({ name, input, index }) => [name, input, index])).toEqual([
      ['a', 'input', 0],
      ['b', 'input', 1],
      ['c', 'input', 2],
      ['d', 'input', 3],
    ]);
    const pixels = signature(fixture('digits/v2'), columns(names(64))).columns;
    expect(pixels?.at(-1)).toMatchObject({ name: 'c63', input: 'image', index: 63 });
  });

  test('given ones with an index, in any order', () => {
    const given = { columns: [3, 1, 0, 2].map((index) => ({ name: `c${index}`, index })) };
    expect(signature(fixture('iris/v2'), given).columns?.map(({ index }) => index)).toEqual([3, 1, 0, 2]);
  });

  test('a given name is an input, or names one; a single narrow input takes any name', () => {
    const own = ['bill_depth_mm', 'bill_length_mm', 'flipper_length_mm', 'body_mass_g', 'sex'];
    const given = { columns: [...own.map((name) => ({ name })), { name: 'isle', input: 'island' }] };
    const found = signature(fixture('penguins/v1'), given).columns;
    expect(found?.at(-1)).toMatchObject({ name: 'isle', input: 'island', index: null, datatype: 'BYTES' });
    expect(signature(fixture('spam-text/v1'), columns(['message'])).columns).toMatchObject([
      { input: 'text' },
    ]);
  });

  test('nullable may be given, for the input then too', () => {
    const given = { columns: ['a', 'b', 'c', 'd'].map((name) => ({ name, nullable: name === 'b' })) };
    const found = signature(fixture('iris/v1'), given);
    expect(found.columns?.map((column) => column.nullable)).toEqual([false, true, false, false]);
    expect(found.inputs[0]?.nullable).toBe(true);
  });

  test.each<[string, string, GivenSignature, string[]]>([
    ['too few', 'iris/v1', columns(['a', 'b', 'c']), ['columns: 3']],
    ['too many', 'iris/v1', columns(names(5)), ['columns: 5']],
    ['a name twice', 'iris/v1', columns(['a', 'b', 'a', 'd']), ['columns.2.name: a']],
    ['an unknown input', 'iris/v1', { columns: [{ name: 'a', input: 'x' }] }, ['columns.0.input: x']],
    ['an unknown name', 'penguins/v1', columns(['islnd']), ['columns.0.name: islnd']],
    [
      'a cell twice and so another never',
      'iris/v1',
      { columns: [0, 1, 1, 3].map((index, at) => ({ name: `c${at}`, index })) },
      ['columns.2: 1', 'columns: 4'],
    ],
    [
      'a cell that is not there',
      'iris/v1',
      { columns: [0, 1, 2, 4].map((index) => ({ name: `c${index}`, index })) },
      ['columns.3: 4', 'columns: 4'],
    ],
  ])('%s is refused', (_, id, given, expected) => {
    expect(issuesOf(fixture(id), given)).toEqual(expected);
  });

  test('every input must be fed', () => {
    expect(issuesOf(fixture('penguins/v1'), columns(['island']))).toHaveLength(5);
  });

  test('a whole number cannot be missing, rows of variable size are no columns', () => {
    const whole = { ...identityModel, inputs: [int64('x', [-1])], outputs: [int64('y', [-1])] };
    expect(issuesOf(buildModel(whole), { columns: [{ name: 'x', nullable: true }] })).toEqual([
      'columns.0.nullable: true',
    ]);
    const ragged = { ...identityModel, inputs: [float('x', [-1, -1])] };
    expect(issuesOf(buildModel(ragged), columns(['x']))).toEqual(['columns.0: [-1, -1]']);
    expect(signature(buildModel(ragged)).columns).toBeNull();
  });
});

describe('classes and task', () => {
  test('given classes make a classifier of probabilities alone', () => {
    expect(signature(fixture('digits/v2'), { classes: names(10) })).toMatchObject({
      task: 'MULTICLASS',
      classes: names(10),
      labelOutput: null,
      probabilitiesOutput: 'probabilities',
    });
  });

  test('given names replace the labels 0..n-1', () => {
    const given = { classes: ['class_0', 'class_1', 'class_2'] };
    expect(signature(fixture('wine/v1'), given)).toMatchObject({ ...given, task: 'MULTICLASS' });
  });

  test('the positive class is the given one', () => {
    expect(signature(fixture('breast-cancer/v2'), { positiveClass: 'benign', task: 'BINARY' })).toMatchObject(
      {
        positiveClass: 'benign',
      },
    );
  });

  test.each<[string, string, GivenSignature, string[]]>([
    ['too few classes', 'digits/v2', { classes: names(9) }, ['classes: 9']],
    ['other classes', 'iris/v1', { classes: names(3) }, ['classes: c0, c1, c2']],
    [
      'another order',
      'breast-cancer/v1',
      { classes: ['malignant', 'benign'] },
      ['classes: malignant, benign'],
    ],
    [
      'one class twice',
      'digits/v2',
      { classes: [...names(9), 'c0'] },
      [`classes: ${names(9).join(', ')}, c0`],
    ],
    ['classes of a regression', 'diamonds/v1', { classes: ['low', 'high'] }, ['classes: 2']],
    ['a task of other classes', 'iris/v1', { task: 'BINARY' }, ['task: BINARY']],
    ['a task without classes', 'digits/v2', { task: 'MULTICLASS' }, ['task: MULTICLASS']],
    ['regression of a classifier', 'iris/v1', { task: 'REGRESSION' }, ['task: REGRESSION']],
    ['a positive class of many', 'iris/v1', { positiveClass: 'setosa' }, ['positiveClass: setosa']],
    ['an unknown positive class', 'breast-cancer/v1', { positiveClass: 'bad' }, ['positiveClass: bad']],
    [
      'several mistakes at once',
      'iris/v1',
      { ...columns(['a']), task: 'BINARY', classes: ['x'] },
      ['classes: x', 'task: BINARY', 'columns: 1'],
    ],
  ])('%s is refused', (_, id, given, expected) => {
    expect(issuesOf(fixture(id), given)).toEqual(expected);
  });

  test('OTHER may be given for any graph', () => {
    expect(signature(fixture('diamonds/v1'), { task: 'OTHER' }).task).toBe('OTHER');
  });
});

/** Scores of two columns from x, and a label picked from them by `nodes`. */
function labelModel(nodes: readonly NodeSpec[], changes: Partial<ModelSpec> = {}): Buffer {
  return buildModel({
    nodes,
    inputs: [float('x', [-1, 4])],
    outputs: [int64('label', [-1]), float('scores', [-1, 2])],
    ...changes,
  });
}

const trees = (attributes: readonly Buffer[]): NodeSpec => ({
  op: 'TreeEnsembleClassifier',
  domain: 'ai.onnx.ml',
  inputs: ['x'],
  outputs: ['label', 'scores'],
  attributes,
});

describe('graphs of other exporters', () => {
  test('a label declared as [1] has a row dimension all the same', () => {
    const outputs = [int64('label', [1]), float('scores', [-1, 2])];
    const bytes = labelModel([trees([ints('classlabels_int64s', [0, 1])])], { outputs });
    expect(signature(bytes)).toMatchObject({
      outputs: [{ shape: [-1] }, {}],
      labelOutput: 'label',
      task: 'BINARY',
    });
  });

  test('labels that a text constant holds', () => {
    const outputs = [{ name: 'label', elem: elem.string, dims: [-1] }, float('scores', [-1, 2])];
    const pick = [
      { op: 'ArgMax', inputs: ['scores'], outputs: ['best'], attributes: [int('axis', 1)] },
      { op: 'Gather', inputs: ['names', 'best'], outputs: ['label'] },
    ];
    const initializers = [Buffer.concat(textTensor('names', ['cat', 'dog']))];
    expect(signature(labelModel(pick, { outputs, initializers }))).toMatchObject({
      classes: ['cat', 'dog'],
      positiveClass: 'dog',
      labelOutput: 'label',
      probabilitiesOutput: 'scores',
    });
  });

  test('labels that an encoder turns from numbers to names', () => {
    const outputs = [{ name: 'label', elem: elem.string, dims: [-1] }, float('scores', [-1, 2])];
    const nodes = [
      { ...trees([ints('classlabels_int64s', [0, 1])]), outputs: ['number', 'scores'] },
      {
        op: 'LabelEncoder',
        domain: 'ai.onnx.ml',
        inputs: ['number'],
        outputs: ['label'],
        attributes: [ints('keys_int64s', [1, 0]), strings('values_strings', ['dog', 'cat'])],
      },
    ];
    expect(signature(labelModel(nodes, { outputs })).classes).toEqual(['cat', 'dog']);
  });

  test('a whole number per row without known classes is no class', () => {
    expect(
      signature(labelModel([{ op: 'Whatever', inputs: ['x'], outputs: ['label', 'scores'] }])),
    ).toMatchObject({
      task: 'OTHER',
      classes: null,
      labelOutput: null,
      probabilitiesOutput: null,
      valueOutput: null,
    });
  });

  test('trees that track missing values make the input nullable, through what passes NaN on', () => {
    const tracks = ints('nodes_missing_value_tracks_true', [0, 1, 0]);
    const behind = (op: string) =>
      labelModel([
        { op, inputs: ['x'], outputs: ['z'] },
        { ...trees([tracks, ints('classlabels_int64s', [0, 1])]), inputs: ['z'] },
      ]);
    expect(signature(behind('Cast')).inputs[0]?.nullable).toBe(true);
    expect(signature(behind('Relu')).inputs[0]?.nullable).toBe(false);
  });

  test('an undeclared output shape is taken for one value per row', () => {
    expect(signature(buildModel({ ...identityModel, outputs: [float('y', null)] }))).toMatchObject({
      outputs: [{ shape: [-1] }],
      task: 'REGRESSION',
      valueOutput: 'y',
    });
  });

  test.each<[string, ModelSpec, RegExp]>([
    [
      'an element type without datatype',
      { ...identityModel, inputs: [{ name: 'x', elem: elem.bfloat16, dims: [-1] }] },
      /Input "x" is tensor\(bfloat16\), which cannot be served/,
    ],
    [
      'a sequence that no ZipMap makes',
      { ...identityModel, outputs: [sequenceOutput('y')] },
      /Output "y" is seq\(map\(string,tensor\(float\)\)\), which cannot be served/,
    ],
    ['no input', { ...identityModel, inputs: [] }, /takes no input/],
  ])('%s cannot be served', (_, spec, message) => {
    expect(() => signature(buildModel(spec))).toThrow(UnsupportedGraphError);
    expect(() => signature(buildModel(spec))).toThrow(message);
  });
});
