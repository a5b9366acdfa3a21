/** A prediction under a key is made once, whoever asks and whoever dies, and everybody gets the same answer. */
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict, refusal, resultOf, type Prediction } from '#test/helpers/predict.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { stopped } from '#test/helpers/work.ts';
import { rowsOf } from '#test/fault/stack-facts.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';
import { loggedBy, untilLogged } from './logged.ts';
import { patient, penguin, serve, type Row } from './served.ts';

let stack: Stack;
let slow: string;

beforeAll(async () => {
  stack = await startStack({ apis: 2 });
  const { id } = await stack.createModelVersion(
    'slow',
    [fixtureFile('breast-cancer/v5-slow.onnx')],
    breastCancerSignature,
  );
  slow = (await stack.deploy(id, { name: 'slow' })).id;
  await Promise.all([
    serve(stack, 'penguins', 'penguins/v1.onnx'),
    serve(stack, 'nan', 'breast-cancer/v6-nan.onnx'),
  ]);
});

/** Requests that were run: each is one in the log. */
async function runs(deployment: string): Promise<Set<string>> {
  // What is asked now is written after all that was run before.
  const last = await predict(stack, { deployment, rows: [patient] });
  await loggedBy(stack, last.rows[0]!.predictionId);
  const logged = await untilLogged(stack, deployment, 1);
  return new Set(logged.map(({ requestId }) => requestId).filter((id) => id !== last.requestId));
}

test('asked again, it is answered as the first time, in every field, without being run', async () => {
  const input = { deployment: 'test/penguins', rows: [penguin, penguin], idempotencyKey: 'again' };
  const first = await predict(stack, input);
  const { body_mass_g, ...rest } = penguin;
  // Columns in another order are the same request; and it may wait for longer.
  const rows = [penguin, { body_mass_g, ...rest }];
  for (const api of stack.apis) {
    expect(await predict(stack, { ...input, rows, timeoutMs: 60_000 }, { api })).toEqual(first);
  }
});

test('twins at two apis at once: one run, one answer', async () => {
  const input = { deployment: slow, rows: Array<Row>(4).fill(patient), idempotencyKey: 'twins' };
  const before = await runs(slow);
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, index) => predict(stack, input, { api: stack.apis[index % 2]! })),
  );
  expect(answers).toEqual(answers.map(() => answers[0]));
  const after = await runs(slow);
  const made = [...after].filter((id) => !before.has(id));
  expect(made).toContain(answers[0]!.requestId);
  // The other one is what `runs` itself asked.
  expect(made).toHaveLength(2);
});

test.each([
  ['other rows', { rows: [{ ...penguin, sex: 'female' }] }],
  ['more rows', { rows: [penguin, penguin] }],
  ['other outputs', { outputs: ['label'] }],
  ['other labels', { labels: [{ key: 'k', value: 'v' }] }],
])('another request with the key is a conflict: %s', async (name, change) => {
  const input = { deployment: 'test/penguins', rows: [penguin], idempotencyKey: `conflict-${name.length}` };
  await predict(stack, input);
  const error = await refusal(stack, { ...input, ...change });
  expect(error).toMatchObject({ __typename: 'ConflictError', code: 'CONFLICT' });
  expect(error.message).toContain(input.idempotencyKey);
  // The same key is another deployment's own.
  const other = { deployment: slow, rows: [patient], idempotencyKey: input.idempotencyKey };
  expect((await resultOf(stack, other)).__typename).toBe('PredictPayload');
});

test.each([[''], ['a key'], ['ключ'], ['k'.repeat(201)], ['line\n']])(
  '%j is no key',
  async (idempotencyKey) => {
    const error = await refusal(stack, { deployment: 'test/penguins', rows: [penguin], idempotencyKey });
    expect(error).toMatchObject({
      __typename: 'ValidationError',
      issues: [{ path: ['idempotencyKey'], expected: expect.stringContaining('1 to 200') }],
    });
  },
);

test('what failed may be tried again under its key, also with another request', async () => {
  const late = {
    deployment: slow,
    rows: Array<Row>(8).fill(patient),
    timeoutMs: 20,
    idempotencyKey: 'failed',
  };
  expect(await refusal(stack, late)).toMatchObject({ __typename: 'DeadlineExceededError', timeoutMs: 20 });
  await predict(stack, { deployment: slow, rows: [patient], idempotencyKey: 'failed' });
  const { requests } = fixturePredictions('breast-cancer', 'v6-nan');
  const inputs = (nan: boolean) =>
    requests.find(({ outputs }) => outputs[1]!.data.includes('NaN') === nan)!.request.inputs;
  const model = { deployment: 'test/nan', tensors: inputs(true), idempotencyKey: 'model' };
  expect((await refusal(stack, model)).__typename).toBe('ModelError');
  await predict(stack, { ...model, tensors: inputs(false) });
});

test('a twin waits no longer than its own deadline', async () => {
  const input = { deployment: slow, rows: Array<Row>(8).fill(patient), idempotencyKey: 'patience' };
  const first = predict(stack, input);
  await held('patience');
  const error = await refusal(stack, { ...input, timeoutMs: 15 }, { api: stack.apis[1]! });
  expect(error).toMatchObject({ __typename: 'DeadlineExceededError', timeoutMs: 15 });
  await first;
});

/** Resolves once somebody works under a key. */
async function held(key: string): Promise<void> {
  const find = sql<object>`select from idempotency_key where key = ${key}`;
  while ((await rowsOf(stack, find)).length === 0);
}

test('kill -9 of the api that works under a key: a twin takes over', async () => {
  const [owner, other] = stack.apis;
  const input = { deployment: slow, rows: Array<Row>(24).fill(patient), idempotencyKey: 'orphan' };
  const lost = resultOf(stack, input, { api: owner! }).catch((error: unknown) => error);
  await held('orphan');
  const waiting = predict(stack, input, { api: other! });
  await owner!.kill();
  expect(await lost).toBeInstanceOf(Error);
  const answer: Prediction = await waiting;
  await owner!.start();
  expect(await predict(stack, input, { api: owner! })).toEqual(answer);
});

test('a key whose day is over is free, and swept away', async () => {
  const input = { deployment: 'test/penguins', rows: [penguin], idempotencyKey: 'expires' };
  const first = await predict(stack, input);
  const expire = sql<object>`update idempotency_key set expires_at = now() - interval '1 s' where key = 'expires'`;
  await rowsOf(stack, expire);
  const second = await predict(stack, { ...input, rows: [penguin, penguin] });
  expect(second.requestId).not.toBe(first.requestId);
  await rowsOf(stack, expire);
  // A worker that starts looks at once.
  await stack.worker.restart('SIGTERM');
  const find = sql<object>`select from idempotency_key where key = 'expires'`;
  while ((await rowsOf(stack, find)).length > 0);
});

test('an answer outlives its deployment', async () => {
  const input = { deployment: 'test/nan', tensors: [], idempotencyKey: 'model' };
  const { requests } = fixturePredictions('breast-cancer', 'v6-nan');
  const tensors = requests.find(({ outputs }) => !outputs[1]!.data.includes('NaN'))!.request.inputs;
  const first = await predict(stack, { ...input, tensors });
  const { node } = await stack.data<{ node: { id: string } }>(
    'query { node: project(name: "test") { ... on Project { deployment(name: "nan") { id } } } }',
  );
  const id = (node as unknown as { deployment: { id: string } }).deployment.id;
  await stopped(stack, id);
  expect(await predict(stack, { ...input, deployment: id, tensors })).toEqual(first);
});
