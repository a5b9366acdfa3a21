/** Requests that are right and still get no prediction; and those that do, although the deployment ends. */
import { beforeAll, expect, test } from 'vitest';
import { breastCancerSignature } from '#test/helpers/models.ts';
import { predict, refusal, resultOf } from '#test/helpers/predict.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn, stopped, undeploy } from '#test/helpers/work.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';
import { patient, serve, type Row } from './served.ts';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
  await Promise.all([
    serve(stack, 'nan', 'breast-cancer/v6-nan.onnx'),
    serve(stack, 'slow', 'breast-cancer/v5-slow.onnx', breastCancerSignature),
    serve(stack, 'spam', 'spam-text/v1.onnx'),
  ]);
});

test("an answer that is no number is the model's error", async () => {
  const { requests } = fixturePredictions('breast-cancer', 'v6-nan');
  const { request } = requests.find(({ outputs }) => outputs[1]!.data.includes('NaN'))!;
  const error = await refusal(stack, { deployment: 'test/nan', tensors: request.inputs });
  expect(error).toMatchObject({
    __typename: 'ModelError',
    code: 'MODEL_FAILED',
    hint: expect.stringContaining('RETURN'),
  });
  expect(error.message).toContain('"probabilities" holds NaN');
});

test('what takes longer than the caller waits', async () => {
  const rows = Array<Row>(8).fill(patient);
  const error = await refusal(stack, { deployment: 'test/slow', rows, timeoutMs: 20 });
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
  let late = await refusal(stack, input);
  // The api hears of it a moment later than we do.
  while (late.message.includes('STOPPING')) late = await refusal(stack, input);
  expect(late).toMatchObject({ __typename: 'NotReadyError', retryAfterMs: null });
  expect(late.message).toContain('STOPPED');
});

test('a deployment whose only replica has died, and nobody starts it again', async () => {
  const others = stack.replicaPids();
  await stack.deploy('test/spam:1', { name: 'lonely' });
  const [pid] = stack.replicaPids().filter((each) => !others.includes(each));
  await stack.worker.kill('SIGTERM');
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
  const input = { deployment: 'test/slow', rows: Array<Row>(8).fill(patient) };
  const inFlight = Array.from({ length: 6 }, () => predict(stack, input));
  let answered = 0;
  for (const answer of inFlight) void answer.then(() => (answered += 1));
  await Promise.race(inFlight);
  const { id, state } = await undeploy(stack, 'test/slow');
  expect(state).toBe('STOPPING');
  expect(answered).toBeLessThan(inFlight.length);
  // The api that routes hears of it a moment later.
  let late = await resultOf(stack, input);
  while (late.__typename === 'PredictPayload') late = await resultOf(stack, input);
  expect(late.__typename).toBe('NotReadyError');
  const answers = await Promise.all(inFlight);
  expect(answers.map(({ rows }) => rows.length)).toEqual(inFlight.map(() => 8));
  await deploymentIn(stack, id, ['STOPPED']);
});
