/** Predicting by rows of named columns, and everything that can be wrong with a request. */
import { beforeAll, describe, expect, test } from 'vitest';
import { breastCancerColumns, breastCancerSignature, fixtureFile, meaningOf } from '#test/helpers/models.ts';
import { predict, refusal, sendPredict } from '#test/helpers/predict.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn, stopped, undeploy } from '#test/helpers/work.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';

const MAX_ROWS = 120;

type Row = Record<string, unknown>;

/** Row 0 of a fixture's request for a model with one input, by column names. */
function rowOf(model: string, columns: readonly string[], request = 0): Row {
  const { data } = fixturePredictions(model, 'v1').requests[request]!.request.inputs[0]!;
  return Object.fromEntries(columns.map((name, index) => [name, data[index]]));
}

const patient = rowOf('breast-cancer', breastCancerColumns);
const penguin: Row = {
  bill_length_mm: 41.4,
  bill_depth_mm: 18.6,
  flipper_length_mm: 191,
  body_mass_g: 3700,
  island: 'Biscoe',
  sex: 'male',
};

let stack: Stack;
/** Deployments by name. */
const deployments: Record<string, string> = {};

async function serve(
  model: string,
  path: string,
  signature?: Record<string, unknown>,
  replicas = 1,
): Promise<void> {
  const { id } = await stack.createModelVersion(model, [fixtureFile(path)], signature);
  deployments[model] = (await stack.deploy(id, { name: model, replicas })).id;
}

beforeAll(async () => {
  stack = await startStack({ env: { MAX_ROWS: String(MAX_ROWS) } });
  const columns = (model: string): object[] => meaningOf(model).feature_order.map((name) => ({ name }));
  await Promise.all([
    serve('breast-cancer', 'breast-cancer/v2.onnx', breastCancerSignature),
    serve('bare', 'breast-cancer/v2.onnx'),
    serve('nan', 'breast-cancer/v6-nan.onnx'),
    serve('slow', 'breast-cancer/v5-slow.onnx', breastCancerSignature),
    serve('penguins', 'penguins/v1.onnx'),
    serve('penguins-nullable', 'penguins/v1.onnx', {
      columns: Object.keys(penguin).map((name) => ({ name, nullable: true })),
    }),
    serve('spam', 'spam-text/v1.onnx'),
    serve('diamonds', 'diamonds/v2.onnx', { columns: columns('diamonds'), task: 'REGRESSION' }),
    serve('iris', 'iris/v1.onnx', { columns: columns('iris') }),
  ]);
});

describe('rows', () => {
  test('two classes: label, probability of the positive one, and every class', async () => {
    const { requests } = fixturePredictions('breast-cancer', 'v2');
    const malignant = requests.findIndex(({ outputs }) => outputs[0]!.data[0] === 'malignant');
    const rows = [0, malignant].map((request) => rowOf('breast-cancer', breastCancerColumns, request));
    const answer = await predict(stack, { deployment: deployments['breast-cancer'], rows });
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
    const answer = await predict(stack, { deployment: deployments['penguins'], rows });
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
    const answer = await predict(stack, { deployment: deployments['penguins-nullable'], rows });
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
      deployment: deployments['spam'],
      rows: rows.map((text) => ({ text })),
    });
    expect(answer.rows.map(({ label }) => label)).toEqual(['spam', 'ham', 'spam']);
  });

  test('a number', async () => {
    const columns = meaningOf('diamonds').feature_order;
    const { requests, tolerance } = fixturePredictions('diamonds', 'v2');
    const rows = [0, 1, 2].map((request) => rowOf('diamonds', columns, request));
    const answer = await predict(stack, { deployment: deployments['diamonds'], rows });
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
    const [row] = (await predict(stack, { deployment: deployments['iris'], rows })).rows;
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
});

const { 'mean radius': _, ...withoutRadius } = patient;

describe('bad input', () => {
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
      Array<Row>(MAX_ROWS + 1).fill({ text: 'win' }),
      { path: ['rows'], expected: `at most ${MAX_ROWS} rows (MAX_ROWS)`, found: String(MAX_ROWS + 1) },
    ],
  ];

  test.each(wrong)('%s', async (_what, name, rows, issue) => {
    const { issues, ...error } = await refusal(stack, { deployment: deployments[name], rows });
    expect(error).toMatchObject({ __typename: 'ValidationError', code: 'VALIDATION' });
    expect(issues).toContainEqual({ ...issue, message: expect.stringContaining(issue.path.join('.')) });
  });

  test('a slip in a name is guessed', async () => {
    const { issues } = await refusal(stack, {
      deployment: deployments['breast-cancer'],
      rows: [{ ...withoutRadius, 'mean radios': 1 }],
    });
    expect(issues!.map(({ message }) => message).join(' ')).toMatch(/"?mean radius"?\?/);
  });

  test('twenty issues at most, and all of a row', async () => {
    const rows = Array<Row>(MAX_ROWS).fill(withoutRadius);
    const { issues } = await refusal(stack, { deployment: deployments['breast-cancer'], rows });
    expect(issues).toHaveLength(20);
  });

  test('as many rows as are allowed', async () => {
    const rows = Array<Row>(MAX_ROWS).fill({ text: 'win' });
    expect((await predict(stack, { deployment: deployments['spam'], rows })).rows).toHaveLength(MAX_ROWS);
  });

  test('what is no row at all', async () => {
    for (const row of [7, 'text', [1]]) {
      const { status, body } = await sendPredict(stack, { deployment: deployments['spam'], rows: [row] });
      expect([status, body.data]).toEqual([200, undefined]);
      expect(body.errors?.[0]?.message).toContain(`got invalid value ${JSON.stringify(row)}`);
    }
  });

  const tensors = [{ name: 'text', data: [['win']] }];
  test.each([
    ['rows and tensors', { rows: [{ text: 'win' }], tensors }, 'tensors', 'either rows or tensors', 'both'],
    ['neither', {}, 'rows', 'rows or tensors', 'neither'],
    [
      'an unknown output',
      { tensors, outputs: ['nope'] },
      'outputs.0',
      'one of label, probabilities',
      '"nope"',
    ],
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
    const { issues, code } = await refusal(stack, { deployment: deployments['spam'], ...input });
    expect(code).toBe('VALIDATION');
    expect(issues).toEqual([{ path: path.split('.'), expected, found, message: expect.any(String) }]);
  });

  test('rows for a version without columns: how to name them', async () => {
    const { __typename, hint, issues } = await refusal(stack, {
      deployment: deployments['bare'],
      rows: [patient],
    });
    expect(__typename).toBe('ValidationError');
    expect(issues).toMatchObject([{ path: ['rows'], expected: 'a signature with columns', found: 'none' }]);
    expect(hint).toMatch(/createVersion\(signature: \{columns/);
  });
});

describe('faults', () => {
  test("an answer that is no number is the model's error", async () => {
    const { requests } = fixturePredictions('breast-cancer', 'v6-nan');
    const { request } = requests.find(({ outputs }) => outputs[1]!.data.includes('NaN'))!;
    const error = await refusal(stack, { deployment: deployments['nan'], tensors: request.inputs });
    expect(error).toMatchObject({
      __typename: 'ModelError',
      code: 'MODEL_FAILED',
      hint: expect.stringContaining('RETURN'),
    });
    expect(error.message).toContain('"probabilities" holds NaN');
  });

  test('what takes longer than the caller waits', async () => {
    const rows = Array<Row>(8).fill(patient);
    const error = await refusal(stack, { deployment: deployments['slow'], rows, timeoutMs: 20 });
    expect(error).toMatchObject({
      __typename: 'DeadlineExceededError',
      code: 'DEADLINE_EXCEEDED',
      timeoutMs: 20,
    });
  });

  test('no such deployment', async () => {
    for (const deployment of ['test/nope', 'nope/spam', 'nonsense', '00000000-0000-7000-8000-000000000000']) {
      const error = await refusal(stack, { deployment, rows: [] });
      expect(error).toMatchObject({ __typename: 'NotFoundError', what: expect.stringContaining(deployment) });
    }
  });

  test('a deployment that is not up yet, and one that is out of service', async () => {
    const version = 'test/spam:1';
    await stack.worker.kill();
    const deployment = await createDeployment(stack, { project: 'test', version, name: 'late' });
    const input = { deployment, rows: [{ text: 'win' }] };
    const early = await refusal(stack, input);
    expect(early).toMatchObject({
      __typename: 'NotReadyError',
      code: 'NOT_READY',
      retryAfterMs: expect.any(Number),
    });
    expect(early.message).toContain('PENDING');
    await stack.worker.start();
    await deploymentIn(stack, deployment, ['LIVE']);
    await predict(stack, input);
    await stopped(stack, deployment);
    const late = await refusal(stack, input);
    expect(late).toMatchObject({ __typename: 'NotReadyError', retryAfterMs: null });
    expect(late.message).toContain('STOPPED');
  });

  test('a deployment whose only replica has died, and nobody starts it again', async () => {
    const others = stack.replicaPids();
    await stack.deploy('test/spam:1', { name: 'lonely' });
    const [pid] = stack.replicaPids().filter((each) => !others.includes(each));
    await stack.worker.kill();
    process.kill(pid!, 'SIGKILL');
    const error = await refusal(stack, { deployment: 'test/lonely', rows: [{ text: 'win' }] });
    expect(error).toMatchObject({
      __typename: 'NotReadyError',
      message: 'No replica of test/lonely is ready.',
      retryAfterMs: expect.any(Number),
    });
    await stack.worker.start();
    await stopped(stack, 'test/lonely');
  });

  test('undeploy answers what is in flight, and takes nothing new', async () => {
    const input = { deployment: deployments['slow'], rows: Array<Row>(8).fill(patient) };
    const inFlight = Array.from({ length: 6 }, () => predict(stack, input));
    let answered = 0;
    for (const answer of inFlight) void answer.then(() => (answered += 1));
    await Promise.race(inFlight);
    const { state } = await undeploy(stack, 'test/slow');
    expect(state).toBe('STOPPING');
    expect(answered).toBeLessThan(inFlight.length);
    const late = await refusal(stack, input);
    expect(late.__typename).toBe('NotReadyError');
    const answers = await Promise.all(inFlight);
    expect(answers.map(({ rows }) => rows.length)).toEqual(inFlight.map(() => 8));
    await deploymentIn(stack, deployments['slow']!, ['STOPPED']);
  });
});
