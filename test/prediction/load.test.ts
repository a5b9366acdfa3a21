/** More callers than a replica can answer: what is refused before a queue grows. */
import { beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict, resultOf, type Prediction } from '#test/helpers/predict.ts';
import { attempt } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';
import { patient } from './served.ts';

/** Far more than are answered within four times OVERLOAD_WAIT_MS and a few runs of 50 ms and more. */
const CALLERS = 80;
/** Answers from which the api knows how fast a replica is. */
const KNOWN = 24;

let stack: Stack;
let id: string;

beforeAll(async () => {
  stack = await startStack({ env: { OVERLOAD_WAIT_MS: '50' } });
  const model = fixtureFile('breast-cancer/v5-slow.onnx');
  const version = await stack.createModelVersion('fraud', [model], breastCancerSignature);
  id = (await stack.deploy(version.id, { name: 'slow' })).id;
  for (let count = 0; count < KNOWN; count++) await predict(stack, { deployment: id, rows: [patient] });
});

test('by GraphQL: an OverloadedError with when to come back; the others are answered, and it is over with the load', async () => {
  const outcomes = await Promise.all(
    Array.from({ length: CALLERS }, () =>
      attempt<Prediction>(stack, 'predict', { deployment: id, rows: [patient] }, 'requestId'),
    ),
  );
  const refusals = outcomes.flatMap((outcome) => ('refusal' in outcome ? [outcome.refusal] : []));
  expect(new Set(refusals.map(({ __typename }) => __typename))).toEqual(new Set(['OverloadedError']));
  expect(refusals.length).toBeGreaterThan(0);
  expect(refusals.length).toBeLessThan(CALLERS);
  for (const { retryAfterMs } of refusals) expect(retryAfterMs).toBeGreaterThan(0);
  expect((await resultOf(stack, { deployment: id, rows: [patient] })).__typename).toBe('PredictPayload');
});

test('by the Open Inference Protocol: 429 with Retry-After', async () => {
  const { inputs } = fixturePredictions('breast-cancer', 'v1').requests[0]!.request;
  const body = JSON.stringify({ inputs });
  const headers = { 'content-type': 'application/json' };
  const answers = await Promise.all(
    Array.from({ length: CALLERS }, () =>
      fetch(`${stack.api.url}/v2/models/${PROJECT}/slow/infer`, { method: 'POST', headers, body }),
    ),
  );
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 429]));
  const refused = answers.find(({ status }) => status === 429);
  expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(await refused?.json()).toEqual({
    error: expect.stringMatching(/more requests than its replicas/),
  });
});

test('what is refused is counted as shed, not as an error of the model', async () => {
  const query = `subscription ($id: ID!) { deploymentMetrics(deployment: $id) { arms { errors { shed model server } } } }`;
  interface Frame {
    readonly deploymentMetrics: {
      readonly arms: readonly {
        readonly errors: Readonly<Record<'shed' | 'model' | 'server', number | string>>;
      }[];
    };
  }
  const { deploymentMetrics } = await stack.until<Frame>(query, { id }, ({ deploymentMetrics: { arms } }) =>
    arms.some(({ errors }) => Number(errors.shed) > 0),
  );
  for (const { errors } of deploymentMetrics.arms)
    expect([Number(errors.model), Number(errors.server)]).toEqual([0, 0]);
});
