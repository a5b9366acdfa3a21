/** What a row of the log is made of: with what is redacted left out, wherever it comes in. */
import { expect, test } from 'vitest';
import type { Signature } from '#src/signature/signature.ts';
import { newId } from '#src/platform/id.ts';
import { encode, inputsOf, type Waiting } from '#src/prediction/log.entry.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';
import { unpackTensors } from '#src/tensor/packed.ts';

const signature: Signature = {
  inputs: [
    { name: 'numbers', datatype: 'FP32', shape: [-1, 3], nullable: false },
    { name: 'city', datatype: 'BYTES', shape: [-1, 1], nullable: false },
    { name: 'count', datatype: 'INT64', shape: [-1], nullable: false },
  ],
  outputs: [{ name: 'label', datatype: 'BYTES', shape: [-1], nullable: false }],
  columns: [
    { name: 'a', input: 'numbers', index: 0, datatype: 'FP32', nullable: false },
    { name: 'b', input: 'numbers', index: 1, datatype: 'FP32', nullable: false },
    { name: 'c', input: 'numbers', index: 2, datatype: 'FP32', nullable: false },
    { name: 'city', input: 'city', index: null, datatype: 'BYTES', nullable: false },
    { name: 'count', input: 'count', index: null, datatype: 'INT64', nullable: false },
  ],
  classes: null,
  positiveClass: null,
  task: 'OTHER',
  labelOutput: 'label',
  probabilitiesOutput: null,
  valueOutput: null,
};
const inputs: NamedTensor[] = [
  { name: 'numbers', datatype: 'FP32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
  { name: 'city', datatype: 'BYTES', shape: [2, 1], data: ['Bern', 'Ulm'] },
  { name: 'count', datatype: 'INT64', shape: [2], data: BigInt64Array.of(7n, 8n) },
];
const outputs: NamedTensor[] = [{ name: 'label', datatype: 'BYTES', shape: [2], data: ['a\0b', '\ud800'] }];

function waiting(change: Partial<Waiting> = {}, as = signature): Waiting {
  const arm = { name: 'stable', weight: 1, version: { id: newId() } as never, signature: as };
  const entry = {
    deploymentId: newId(),
    arm,
    rollout: null,
    rows: 2,
    latencyMs: 1,
    error: null,
    labels: null,
  };
  return { entry, requestId: newId(), inputs, outputs, tooLarge: false, luck: 0.5, ...change };
}
const settings = { sampleRate: 1, redact: [] as string[], retentionDays: 30 };

test('without anything redacted all of it comes back', () => {
  const { row, inputs: packed } = encode(waiting(), settings);
  expect(row).toMatchObject({ payload: 'LOGGED', redacted: null });
  const back = unpackTensors(signature.inputs, packed!);
  expect(back).toEqual(inputs);
  expect(inputsOf(signature, 1, 2, back, [])).toEqual({ a: 4, b: 5, c: 6, city: 'Ulm', count: 8 });
});

test('redacted columns are empty in every row, and the tensors that were predicted on are as they were', () => {
  const redact = ['b', 'city', 'count'];
  const { row, inputs: packed } = encode(waiting(), { ...settings, redact });
  expect(row).toMatchObject({ redacted: redact });
  const back = unpackTensors(signature.inputs, packed!);
  expect(back.map(({ data }) => [...data])).toEqual([
    [1, 0, 3, 4, 0, 6],
    ['', ''],
    [0n, 0n],
  ]);
  expect(inputsOf(signature, 0, 2, back, redact)).toEqual({ a: 1, c: 3 });
  expect([...inputs[0]!.data]).toEqual([1, 2, 3, 4, 5, 6]);
});

test('where the version names no columns, whole inputs are redacted', () => {
  const nameless = { ...signature, columns: null };
  const redact = ['numbers'];
  const back = unpackTensors(
    signature.inputs,
    encode(waiting({}, nameless), { ...settings, redact }).inputs!,
  );
  expect(back.map(({ name }) => name)).toEqual(['city', 'count']);
  expect(inputsOf(nameless, 1, 2, back, redact)).toEqual({ city: ['Ulm'], count: 8 });
});

test('labels are such as PostgreSQL can hold', () => {
  expect(encode(waiting(), settings).row['answer_labels']).toEqual(['a\ufffdb', '\ufffd']);
});

test.each([
  ['beyond the rate', { luck: 0.6 }, 'NOT_SAMPLED'],
  ['not held', { inputs: null }, 'NOT_SAMPLED'],
  ['too large', { tooLarge: true }, 'TOO_LARGE'],
])('%s: no payload, but the answers', (_name, change, payload) => {
  const encoded = encode(waiting(change), { ...settings, sampleRate: 0.6 });
  expect(encoded).toMatchObject({ inputs: null, outputs: null, row: { payload, redacted: null } });
  expect(encoded.row['answer_labels']).toHaveLength(2);
});
