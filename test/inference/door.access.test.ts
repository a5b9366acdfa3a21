/** Who may use the Open Inference Protocol, by which paths, and that it counts as GraphQL's `predict` does. */
import { beforeAll, describe, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import {
  errorOf,
  inferPath,
  jsonOf,
  readAnswer,
  sendInference,
  type InferCall,
} from '#test/helpers/open-inference.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import {
  createDeployment,
  createModel,
  createProject,
  createToken,
  createVersion,
  deploymentIn,
  workDone,
} from '#test/helpers/work.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';

const ADMIN = 'the-first-admin-has-a-token-of-sufficient-length';
const admin = { token: ADMIN };
const roles = ['READER', 'AUTHOR', 'OPERATOR', 'ADMIN'] as const;
const { request } = fixturePredictions('breast-cancer', 'v2').requests[0]!;

let stack: Stack;
let deployment: string;
let model: string;
let stranger: string;
const tokens = new Map<string, string>();

beforeAll(async () => {
  stack = await startStack({ adminToken: ADMIN });
  await createProject(stack, 'mine', admin);
  await createProject(stack, 'theirs', admin);
  model = await createModel(stack, 'mine', 'cancer', admin);
  const file = fixtureFile('breast-cancer/v2.onnx');
  const version = await createVersion(stack, model, [file], breastCancerSignature, admin);
  await workDone(stack, version.operation.id, admin);
  deployment = await createDeployment(stack, { project: 'mine', name: 'cancer', version: version.id }, admin);
  await deploymentIn(stack, deployment, 'LIVE', admin);
  for (const role of roles) {
    const { secret } = await createToken(stack, { project: 'mine', name: role, role }, admin);
    tokens.set(role, secret);
  }
  stranger = (await createToken(stack, { project: 'theirs', name: 'stranger', role: 'ADMIN' }, admin)).secret;
});

const ofModel = [
  ['GET', '/v2/models/mine/cancer'],
  ['GET', '/v2/models/mine/cancer/ready'],
  ['GET', '/v2/models/mine/cancer/versions/1'],
  ['GET', '/v2/models/mine/cancer/versions/1/ready'],
  ['POST', '/v2/models/mine/cancer/infer'],
  ['POST', '/v2/models/mine/cancer/versions/1/infer'],
] as const;
const callOf = (method: string, token?: string): InferCall => ({
  method,
  token,
  ...(method === 'POST' ? { body: request } : {}),
});

describe.each(ofModel)('%s %s', (method, path) => {
  test.each([...roles, 'the first ADMIN'])('%s: 200', async (who) => {
    const answer = await sendInference(stack, path, callOf(method, tokens.get(who) ?? ADMIN));
    expect(answer.status).toBe(200);
  });

  test('without a token, or with a wrong one: 401', async () => {
    for (const token of [undefined, `mdl_${'x'.repeat(43)}`, 'short']) {
      const answer = await sendInference(stack, path, callOf(method, token));
      expect(errorOf(answer)).toEqual({ status: 401, error: expect.stringContaining('Bearer') });
      expect(answer.headers['www-authenticate']).toBe('Bearer');
    }
  });

  test('for a stranger it does not exist, and is told from nothing by nothing', async () => {
    const theirs = errorOf(await sendInference(stack, path, callOf(method, stranger)));
    const nobodys = errorOf(
      await sendInference(stack, path.replace('mine', 'none'), callOf(method, stranger)),
    );
    expect(theirs.status).toBe(404);
    expect(theirs).toEqual({ ...nobodys, error: nobodys.error.replace('none', 'mine') });
  });

  test('a page of another origin: 403', async () => {
    const headers = { origin: 'https://elsewhere.example' };
    const answer = await sendInference(stack, path, { ...callOf(method, ADMIN), headers });
    expect(errorOf(answer)).toEqual({ status: 403, error: expect.stringContaining('ALLOWED_ORIGINS') });
  });
});

test('a token that is revoked in the middle of its use', async () => {
  const { secret, token } = await createToken(stack, { project: 'mine', name: 'x', role: 'READER' }, admin);
  const call = { token: secret, body: request };
  expect((await sendInference(stack, inferPath('cancer', 'mine'), call)).status).toBe(200);
  const query = 'mutation ($input: RevokeTokenInput!) { revokeToken(input: $input) { __typename } }';
  await stack.data(query, { input: { token: token.id } }, admin);
  let status = 200;
  const until = Date.now() + 5000;
  while (status === 200 && Date.now() < until)
    ({ status } = await sendInference(stack, inferPath('cancer', 'mine'), call));
  expect(status).toBe(401);
});

describe('the same deployment by', () => {
  const uuidOf = (id: string): string => Buffer.from(id, 'base64').toString().split(':')[1] as string;
  const names: [string, () => string][] = [
    ['two segments', () => 'mine/cancer'],
    ['one encoded segment', () => 'mine%2Fcancer'],
    ['one encoded segment in lower case', () => 'mine%2fcancer'],
    ['its id', () => encodeURIComponent(deployment)],
    ['its id as it is', () => deployment],
    ['its UUID', () => uuidOf(deployment)],
    ['escapes that need not be', () => '%6Dine/c%61ncer'],
  ];
  test.each(names)('%s', async (_what, name) => {
    for (const rest of ['', '/versions/1', '/', '/versions/1/']) {
      const path = `/v2/models/${name()}${rest}`;
      const found = jsonOf(await sendInference(stack, path, { token: ADMIN }));
      expect(found).toMatchObject({ name: 'mine/cancer', versions: ['1'] });
    }
    for (const rest of ['/infer', '/versions/1/infer', '/infer?x=1']) {
      const path = `/v2/models/${name()}${rest}`;
      const answer = readAnswer(await sendInference(stack, path, { token: ADMIN, body: request }));
      expect(answer).toMatchObject({ modelName: 'mine/cancer', modelVersion: '1', id: 'v2-1' });
    }
  });
});

describe('what is not there: 404', () => {
  const cases: [string, () => string, RegExp][] = [
    ['a project alone', () => '/v2/models/mine', /project.*name/],
    ['a project alone, asked to infer', () => '/v2/models/mine/infer', /"mine\/infer" was not found/],
    ['an unknown name', () => '/v2/models/mine/none', /"mine\/none" was not found/],
    ['a version that is not deployed', () => '/v2/models/mine/cancer/versions/7', /Deployed there: 1\./],
    ['a version that is no number', () => '/v2/models/mine/cancer/versions/one', /"one".*numbers/],
    ['a version beyond all', () => '/v2/models/mine/cancer/versions/99999999999999999999', /numbers/],
    ['a path of another server', () => '/v2/repository/index', /There is \/v2/],
    ['more behind it', () => '/v2/models/mine/cancer/infer/more', /There is \/v2/],
    ['a broken escape', () => '/v2/models/mine%2', /escape/],
    ['a NUL', () => '/v2/models/mine/a%00b', /was not found/],
  ];
  test.each(cases)('%s', async (_what, path, message) => {
    for (const token of [ADMIN, tokens.get('READER')]) {
      const { status, error } = errorOf(await sendInference(stack, path(), { token }));
      expect(status).toBe(404);
      expect(error).toMatch(message);
    }
  });

  test('to infer at a version that is not deployed', async () => {
    const call = { token: ADMIN, body: request };
    const answer = await sendInference(stack, '/v2/models/mine/cancer/versions/2/infer', call);
    expect(errorOf(answer)).toEqual({
      status: 404,
      error: 'Version 2 at mine/cancer was not found. Deployed there: 1.',
    });
  });

  test('the id of something else: 400', async () => {
    const path = `/v2/models/${encodeURIComponent(model)}`;
    const { status, error } = errorOf(await sendInference(stack, path, { token: ADMIN }));
    expect([status, error]).toEqual([400, 'model: expected a Deployment, found the id of a Model.']);
  });
});

test('a wrong method: 405, with those that work', async () => {
  for (const [method, path, allow] of [
    ['GET', '/v2/models/mine/cancer/infer', 'POST'],
    ['POST', '/v2/models/mine/cancer', 'GET, HEAD'],
    ['DELETE', '/v2', 'GET, HEAD'],
  ] as const) {
    const answer = await sendInference(stack, path, { method, token: ADMIN });
    expect(errorOf(answer).status).toBe(405);
    expect(answer.headers.allow).toBe(allow);
  }
});

test('the server itself, without a token', async () => {
  expect(jsonOf(await sendInference(stack, '/v2'))).toEqual({
    name: 'modelarium',
    version: '2',
    extensions: ['binary_tensor_data'],
  });
  expect((await sendInference(stack, '/v2/health/live')).status).toBe(200);
  const ready = await sendInference(stack, '/v2/health/ready');
  expect([ready.status, jsonOf(ready)]).toMatchObject([200, { ready: true }]);
  expect((await sendInference(stack, '/v2', { method: 'HEAD' })).body).toHaveLength(0);
});

test('a page of an origin that is allowed learns what it may send and read', async () => {
  const headers = { origin: stack.api.url, 'access-control-request-method': 'POST' };
  const answer = await sendInference(stack, '/v2/models/mine/cancer/infer', { method: 'OPTIONS', headers });
  expect(answer.status).toBe(204);
});

test('counted under the arm, as GraphQL counts: answers, rows, and what was wrong with a body', async () => {
  interface Frame {
    readonly arms: readonly { requests: number; rowsPerSecond: number; errors: { client: number } }[];
  }
  const query = `subscription ($deployment: ID!) {
    deploymentMetrics(deployment: $deployment, backfillSeconds: 0) { arms { requests rowsPerSecond errors { client } } }
  }`;
  const wanted = { project: 'mine', name: 'counted', version: 'mine/cancer:1' };
  const counted = await createDeployment(stack, wanted, admin);
  await deploymentIn(stack, counted, 'LIVE', admin);
  const frames = stack.subscribe<{ deploymentMetrics: Frame }>(query, { deployment: counted }, admin);
  const first = frames.next();
  const path = '/v2/models/mine/counted/infer';
  const [input] = request.inputs as [(typeof request.inputs)[0]];
  const rows = { ...input, shape: [3, 30], data: [...input.data, ...input.data, ...input.data] };
  await sendInference(stack, path, { token: ADMIN, body: { inputs: [rows] } });
  await predict(stack, { deployment: counted, tensors: [rows] }, admin);
  // Neither JSON, nor a length that is right, nor an input: each is a caller's mistake at this arm.
  for (const body of ['{', '{"inputs": []}', { inputs: [{ ...input, shape: [1, 29] }] }])
    await sendInference(stack, path, { token: ADMIN, body });
  // Nor does a key hide it, or make a fault of ours of what is nested too deep.
  const headers = { 'idempotency-key': 'wrong' };
  const deep = '['.repeat(50_000) + ']'.repeat(50_000);
  for (const body of [
    '{',
    `{"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": ${deep}}]}`,
  ]) {
    const { status } = await sendInference(stack, path, { token: ADMIN, body, headers });
    expect(status).toBe(400);
  }
  const sum = { requests: 0, rows: 0, client: 0 };
  await first;
  for await (const { deploymentMetrics } of frames) {
    for (const { requests, rowsPerSecond, errors } of deploymentMetrics.arms) {
      sum.requests += requests;
      sum.rows += rowsPerSecond;
      sum.client += errors.client;
    }
    if (sum.requests >= 7) break;
  }
  expect(sum).toEqual({ requests: 7, rows: 6, client: 5 });
});
