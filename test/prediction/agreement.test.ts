/** When two arms answer a row alike. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { disagreesAt, type ArmAnswer } from '#src/prediction/agreement.ts';
import type { Signature } from '#src/signature/signature.ts';
import type { NamedTensor, TensorData } from '#src/tensor/tensor.ts';

/** The first row at which two answers differ; null where they agree on all of them. */
function disagreementOf(
  stable: ArmAnswer,
  candidate: ArmAnswer,
  rows: number,
  tolerance: number | null,
): number | null {
  for (let row = 0; row < rows; row++) if (disagreesAt(row, stable, candidate, rows, tolerance)) return row;
  return null;
}

const bare: Signature = {
  inputs: [],
  outputs: [],
  columns: null,
  classes: null,
  positiveClass: null,
  task: 'OTHER',
  labelOutput: null,
  probabilitiesOutput: null,
  valueOutput: null,
};
const tensor = (
  name: string,
  datatype: NamedTensor['datatype'],
  shape: readonly number[],
  data: TensorData,
): NamedTensor => ({ name, datatype, shape, data });
const floats = (name: string, shape: readonly number[], ...data: number[]): NamedTensor =>
  tensor(name, 'FP64', shape, Float64Array.from(data));

describe('a classifier with a label output', () => {
  const signature: Signature = {
    ...bare,
    task: 'BINARY',
    classes: ['benign', 'malignant'],
    positiveClass: 'malignant',
    labelOutput: 'label',
    probabilitiesOutput: 'probabilities',
  };
  const answer = (...malignant: number[]): ArmAnswer => ({
    signature,
    outputs: [
      tensor(
        'label',
        'BYTES',
        [malignant.length],
        malignant.map((p) => (p > 0.5 ? 'malignant' : 'benign')),
      ),
      floats('probabilities', [malignant.length, 2], ...malignant.flatMap((p) => [1 - p, p])),
    ],
  });
  test('differs where a label does, at the first such row', () => {
    expect(disagreementOf(answer(0.1, 0.9, 0.2), answer(0.2, 0.8, 0.3), 3, null)).toBeNull();
    expect(disagreementOf(answer(0.1, 0.9, 0.2), answer(0.2, 0.4, 0.9), 3, null)).toBe(1);
  });
  test('with a tolerance also where a probability differs by more', () => {
    expect(disagreementOf(answer(0.1, 0.9), answer(0.15, 0.85), 2, 0.1)).toBeNull();
    expect(disagreementOf(answer(0.1, 0.9), answer(0.15, 0.75), 2, 0.1)).toBe(1);
    // Row 0 differs in its numbers, row 1 in its label.
    expect(disagreementOf(answer(0.1, 0.9), answer(0.4, 0.4), 2, 0.1)).toBe(0);
  });
  test('of 64-bit integers the labels are told apart, whatever their size', () => {
    const labelled = (...labels: bigint[]): ArmAnswer => ({
      signature: { ...signature, probabilitiesOutput: null },
      outputs: [tensor('label', 'INT64', [labels.length, 1], BigInt64Array.from(labels))],
    });
    expect(disagreementOf(labelled(1n, 2n ** 62n), labelled(1n, 2n ** 62n), 2, 10)).toBeNull();
    expect(disagreementOf(labelled(1n, 2n ** 62n), labelled(1n, 2n ** 62n + 1n), 2, 10)).toBe(1);
  });
});

describe('a network without a label output', () => {
  const signature: Signature = {
    ...bare,
    task: 'MULTICLASS',
    classes: ['0', '1', '2'],
    probabilitiesOutput: 'scores',
  };
  const answer = (...scores: number[][]): ArmAnswer => ({
    signature,
    outputs: [floats('scores', [scores.length, 3], ...scores.flat())],
  });
  test('differs where another class is the most probable', () => {
    const ours = answer([0.1, 0.8, 0.1], [0.3, 0.3, 0.4]);
    expect(disagreementOf(ours, answer([0.2, 0.5, 0.3], [0.1, 0.1, 0.8]), 2, null)).toBeNull();
    expect(disagreementOf(ours, answer([0.2, 0.5, 0.3], [0.5, 0.1, 0.4]), 2, null)).toBe(1);
  });
});

describe('a regression', () => {
  const signature: Signature = { ...bare, task: 'REGRESSION', valueOutput: 'price' };
  const answer = (...prices: number[]): ArmAnswer => ({
    signature,
    outputs: [floats('price', [prices.length, 1], ...prices)],
  });
  test('differs by more than the tolerance, and without one by nothing', () => {
    expect(disagreementOf(answer(100, 200), answer(101, 199), 2, 1)).toBeNull();
    expect(disagreementOf(answer(100, 200), answer(101, 201.5), 2, 1)).toBe(1);
    expect(disagreementOf(answer(1e308), answer(-1e308), 1, null)).toBeNull();
  });
  test('NaN and an infinity differ from a number, with or without a tolerance, and not from themselves', () => {
    for (const tolerance of [null, 1e9])
      for (const odd of [NaN, Infinity, -Infinity]) {
        expect(disagreementOf(answer(1, 2), answer(1, odd), 2, tolerance)).toBe(1);
        expect(disagreementOf(answer(odd), answer(odd), 1, tolerance)).toBeNull();
      }
  });
  test('for all numbers: alike means within the tolerance, whichever arm asks', () => {
    const number = fc.double({ noNaN: true, min: -1e6, max: 1e6 });
    fc.assert(
      fc.property(number, number, fc.double({ min: 0, max: 1e6, noNaN: true }), (a, b, tolerance) => {
        const found = disagreementOf(answer(a), answer(b), 1, tolerance);
        expect(found).toBe(Math.abs(a - b) > tolerance ? 0 : null);
        expect(disagreementOf(answer(b), answer(a), 1, tolerance)).toBe(found);
      }),
    );
  });
});

describe('outputs of no known meaning', () => {
  test('texts are labels, integers are numbers, half precision is widened', () => {
    const answer = (text: string, count: bigint, half: number): ArmAnswer => ({
      signature: bare,
      outputs: [
        tensor('text', 'BYTES', [2], ['same', text]),
        tensor('count', 'INT64', [2], BigInt64Array.of(5n, count)),
        tensor('half', 'FP16', [2], Uint16Array.from(new Uint16Array(Float16Array.of(1, half).buffer))),
      ],
    });
    const ours = answer('a', 7n, 0.5);
    expect(disagreementOf(ours, answer('a', 8n, 0.75), 2, 1)).toBeNull();
    expect(disagreementOf(ours, answer('b', 7n, 0.5), 2, null)).toBe(1);
    expect(disagreementOf(ours, answer('a', 9n, 0.5), 2, 1)).toBe(1);
    expect(disagreementOf(ours, answer('a', 7n, 2.5), 2, 1)).toBe(1);
  });
  test('one that is missing, or of another size, differs where numbers count', () => {
    const ours: ArmAnswer = { signature: bare, outputs: [floats('out', [1, 2], 1, 2)] };
    for (const outputs of [[], [floats('out', [1, 3], 1, 2, 3)]]) {
      expect(disagreementOf(ours, { signature: bare, outputs }, 1, 0.1)).toBe(0);
      expect(disagreementOf(ours, { signature: bare, outputs }, 1, null)).toBeNull();
    }
  });
  test('more outputs of the candidate are no difference', () => {
    const ours: ArmAnswer = { signature: bare, outputs: [floats('out', [1], 1)] };
    const theirs: ArmAnswer = { signature: bare, outputs: [floats('more', [1], 9), floats('out', [1], 1)] };
    expect(disagreementOf(ours, theirs, 1, 0)).toBeNull();
  });
});
