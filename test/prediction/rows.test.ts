/** Predicting by rows of named columns. */
import { beforeAll, expect, test } from 'vitest';
import { breastCancerColumns, breastCancerSignature, meaningOf } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';
import { penguin, patient, rowOf, serve } from './served.ts';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
  const columns = (model: string): object[] => meaningOf(model).feature_order.map((name) => ({ name }));
  await Promise.all([
    serve(stack, 'breast-cancer', 'breast-cancer/v2.onnx', breastCancerSignature),
    serve(stack, 'penguins', 'penguins/v1.onnx'),
    serve(stack, 'penguins-nullable', 'penguins/v1.onnx', {
      columns: Object.keys(penguin).map((name) => ({ name, nullable: true })),
    }),
    serve(stack, 'spam', 'spam-text/v1.onnx'),
    serve(stack, 'diamonds', 'diamonds/v2.onnx', { columns: columns('diamonds'), task: 'REGRESSION' }),
    serve(stack, 'iris', 'iris/v1.onnx', { columns: columns('iris') }),
  ]);
});

test('two classes: label, probability of the positive one, and every class', async () => {
  const { requests } = fixturePredictions('breast-cancer', 'v2');
  const malignant = requests.findIndex(({ outputs }) => outputs[0]!.data[0] === 'malignant');
  const rows = [0, malignant].map((request) => rowOf('breast-cancer', breastCancerColumns, request));
  const answer = await predict(stack, { deployment: 'test/breast-cancer', rows });
  expect(answer).toMatchObject({ arm: 'stable', warnings: [], latency: { batchSize: 2 } });
  expect(answer.requestId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  [0, malignant].forEach((request, at) => {
    const [label, probabilities] = requests[request]!.outputs;
    const [benign, positive] = probabilities!.data as [number, number];
    const row = answer.rows[at]!;
    expect(row.predictionId).toBe(`${answer.requestId}:${at}`);
    expect(row.label).toBe(label!.data[0]);
    expect(row.probability).toBeCloseTo(positive, 5);
    expect(row.probabilities).toEqual([
      { class: 'benign', probability: expect.closeTo(benign, 5) },
      { class: 'malignant', probability: expect.closeTo(positive, 5) },
    ]);
    expect(row.value).toBeNull();
    expect(row.outputs).toEqual({
      label: label!.data[0],
      probabilities: [expect.closeTo(benign, 5), expect.closeTo(positive, 5)],
    });
  });
});

test('by the name of the deployment, and only some outputs', async () => {
  const input = { deployment: 'test/breast-cancer', rows: [patient], outputs: ['probabilities'] };
  const { tensors, rows } = await predict(stack, input);
  expect(tensors.map(({ name }) => name)).toEqual(['probabilities']);
  expect(rows[0]).toMatchObject({
    label: 'benign',
    outputs: { probabilities: [expect.any(Number), expect.any(Number)] },
  });
});

test('named inputs of mixed types, with missing values', async () => {
  const rows = [
    penguin,
    {
      ...penguin,
      bill_length_mm: null,
      bill_depth_mm: 17,
      flipper_length_mm: 176,
      body_mass_g: 3450,
      island: 'Torgersen',
      sex: 'female',
    },
    {
      ...penguin,
      bill_length_mm: 'NaN',
      bill_depth_mm: 17,
      flipper_length_mm: 176,
      body_mass_g: 3450,
      island: 'Torgersen',
      sex: 'female',
    },
    {
      bill_length_mm: 46.2,
      bill_depth_mm: 14.4,
      flipper_length_mm: 214,
      body_mass_g: 4650,
      island: 'Biscoe',
      sex: '',
    },
    { ...penguin, island: 'Atlantis' },
  ];
  const answer = await predict(stack, { deployment: 'test/penguins', rows });
  expect(answer.rows.map(({ label }) => label)).toEqual(['Adelie', 'Adelie', 'Adelie', 'Gentoo', 'Adelie']);
  const [, asNull, asText] = answer.rows;
  expect(asNull!.probabilities).toEqual(asText!.probabilities);
  const missing = fixturePredictions('penguins', 'v1').requests[21]!.outputs[1]!.data as number[];
  asNull!.probabilities!.forEach(({ probability }, index) =>
    expect(probability).toBeCloseTo(missing[index]!, 5),
  );
  expect(asNull!.probability).toBeCloseTo(Math.max(...missing), 5);
});

test('a missing text, where the version says that it may be', async () => {
  const rows = [
    { ...penguin, sex: null },
    { ...penguin, sex: '' },
  ];
  const answer = await predict(stack, { deployment: 'test/penguins-nullable', rows });
  const [asNull, asText] = answer.rows;
  expect(asNull!.probabilities).toEqual(asText!.probabilities);
});

test('text', async () => {
  const rows = [
    'WIN a prize now, text WIN to 14144',
    'Are we still on for lunch at 9pm?',
    'café 你好 🐧 prize',
  ];
  const answer = await predict(stack, {
    deployment: 'test/spam',
    rows: rows.map((text) => ({ text })),
  });
  expect(answer.rows.map(({ label }) => label)).toEqual(['spam', 'ham', 'spam']);
});

test('a number', async () => {
  const columns = meaningOf('diamonds').feature_order;
  const { requests, tolerance } = fixturePredictions('diamonds', 'v2');
  const rows = [0, 1, 2].map((request) => rowOf('diamonds', columns, request));
  const answer = await predict(stack, { deployment: 'test/diamonds', rows });
  answer.rows.forEach(({ value, label, probability, probabilities }, at) => {
    const expected = requests[at]!.outputs[0]!.data[0] as number;
    expect(Math.abs(value! - expected) / expected).toBeLessThanOrEqual(tolerance);
    expect({ label, probability, probabilities }).toEqual({
      label: null,
      probability: null,
      probabilities: null,
    });
  });
});

test('more than two classes, from a graph that answered maps', async () => {
  const rows = [rowOf('iris', meaningOf('iris').feature_order)];
  const [row] = (await predict(stack, { deployment: 'test/iris', rows })).rows;
  expect(row).toMatchObject({ label: 'setosa', probability: expect.closeTo(1, 5) });
  expect(row!.probabilities!.map((each) => each.class)).toEqual(['setosa', 'versicolor', 'virginica']);
});

test('rows written into the document, with a variable within', async () => {
  const query = `mutation ($age: Float) {
      predict(input: { deployment: "test/spam", rows: [{ text: "win a prize" }] }) { ... on PredictPayload { rows { label } } }
      broken: predict(input: { deployment: "test/penguins", rows: [{ bill_length_mm: $age, bill_depth_mm: 14.4, flipper_length_mm: 214, body_mass_g: 4650, island: "Biscoe", sex: "" }] }) { ... on PredictPayload { rows { label } } }
    }`;
  const answers = [];
  // The fourth time the document is compiled.
  for (let run = 0; run < 6; run++) answers.push(await stack.data<object>(query, { age: 46.2 }));
  for (const answer of answers) {
    expect(answer).toEqual({
      predict: { rows: [{ label: 'spam' }] },
      broken: { rows: [{ label: 'Gentoo' }] },
    });
  }
});
