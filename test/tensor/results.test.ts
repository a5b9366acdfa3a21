import { expect, test } from 'vitest';
import type { Signature } from '#src/signature/signature.ts';
import { hasInvalidNumbers, invalidOutput, rowResults } from '#src/tensor/results.ts';
import { toFloat16Bits, type NamedTensor } from '#src/tensor/tensor.ts';
import { fixtureSignature } from '#test/replica/process.harness.ts';

const signature: Signature = {
  ...fixtureSignature('breast-cancer', 'v2'),
  classes: ['benign', 'malignant'],
  positiveClass: 'malignant',
  task: 'BINARY',
  labelOutput: 'label',
  probabilitiesOutput: 'probabilities',
};
const label = (...data: string[]): NamedTensor => ({
  name: 'label',
  datatype: 'BYTES',
  shape: [data.length],
  data,
});
const probabilities = (width: number, ...data: number[]): NamedTensor => ({
  name: 'probabilities',
  datatype: 'FP32',
  shape: [data.length / width, width],
  data: Float32Array.from(data),
});

test('two classes: the probability is that of the positive one', () => {
  const [first, second] = rowResults(
    signature,
    [label('benign', 'malignant'), probabilities(2, 0.75, 0.25, 0.5, 0.5)],
    2,
  );
  expect([first!.label, first!.probability]).toEqual(['benign', 0.25]);
  expect(first!.probabilities).toEqual([
    { class: 'benign', probability: 0.75 },
    { class: 'malignant', probability: 0.25 },
  ]);
  expect([second!.label, second!.probability, second!.value]).toEqual(['malignant', 0.5, null]);
  expect(first!.outputs).toEqual({ label: 'benign', probabilities: [0.75, 0.25] });
});

test('one column of two classes is the positive one; the label follows', () => {
  const [row] = rowResults({ ...signature, labelOutput: null }, [probabilities(1, 0.75)], 1);
  expect([row!.label, row!.probability]).toEqual(['malignant', 0.75]);
  expect(row!.probabilities).toEqual([
    { class: 'benign', probability: 0.25 },
    { class: 'malignant', probability: 0.75 },
  ]);
});

test('several classes: the probability is that of the label, float16 included', () => {
  const several = {
    ...signature,
    classes: ['a', 'b', 'c'],
    positiveClass: null,
    task: 'MULTICLASS' as const,
  };
  const halves: NamedTensor = {
    name: 'probabilities',
    datatype: 'FP16',
    shape: [1, 3],
    data: Uint16Array.from([0.25, 0.5, 0.25].map(toFloat16Bits)),
  };
  const [argmax] = rowResults({ ...several, labelOutput: null }, [halves], 1);
  expect([argmax!.label, argmax!.probability]).toEqual(['b', 0.5]);
  const index: NamedTensor = { name: 'label', datatype: 'INT64', shape: [1], data: BigInt64Array.of(2n) };
  const [integer] = rowResults(several, [index, halves], 1);
  expect([integer!.label, integer!.probability]).toEqual(['2', 0.25]);
});

test('a regression has a value and nothing else', () => {
  const regression = {
    ...signature,
    task: 'REGRESSION' as const,
    labelOutput: null,
    probabilitiesOutput: null,
    classes: null,
    valueOutput: 'variable',
  };
  const output = {
    name: 'variable',
    datatype: 'FP32' as const,
    shape: [2, 1],
    data: Float32Array.of(1.5, Number.NaN),
  };
  const [one, two] = rowResults(regression, [output], 2);
  expect([one!.value, one!.label, one!.probability, one!.probabilities]).toEqual([1.5, null, null, null]);
  expect([two!.value, two!.outputs]).toEqual(['NaN', { variable: ['NaN'] }]);
});

test('outputs that were not fetched, and NaN, leave no false label', () => {
  const [bare] = rowResults(signature, [], 1);
  expect([bare!.label, bare!.probability, bare!.probabilities, bare!.outputs]).toEqual([
    null,
    null,
    null,
    {},
  ]);
  const nan = probabilities(2, Number.NaN, Number.NaN);
  const [row] = rowResults({ ...signature, labelOutput: null }, [nan], 1);
  expect([row!.label, row!.probability]).toEqual([null, 'NaN']);
});

test('outputs that are no answer are found', () => {
  expect(hasInvalidNumbers([label('a'), probabilities(2, 1, 0)])).toBe(false);
  expect(hasInvalidNumbers([probabilities(2, 1, Number.NaN)])).toBe(true);
  expect(hasInvalidNumbers([probabilities(2, Number.NEGATIVE_INFINITY, 0)])).toBe(true);
  expect(invalidOutput(signature, [label('a'), probabilities(2, 1, 0)], 1)).toBeNull();
  expect(invalidOutput(signature, [probabilities(2, 1, Number.NaN)], 1)).toContain('NaN');
  expect(invalidOutput(signature, [label('a')], 2)).toContain('for 2 rows');
});
