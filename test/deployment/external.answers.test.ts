/** EXTERNAL servers that answer anything: callers hear of it as an error that names no more than the protocol's own. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { predict, refusal } from '#test/helpers/predict.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn } from '#test/helpers/work.ts';
import { buildModel, elem } from '#test/onnx/build-model.ts';

const dims = [-1, 1];
const tensors = (names: readonly string[]) => names.map((name) => ({ name, datatype: 'FP32', shape: dims }));
const metadata = { name: 'm', inputs: tensors(['x']), outputs: tensors(['y', 'z']) };

type Respond = (response: ServerResponse) => void;
const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}): Respond =>
  (response) =>
    response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(typeof body === 'string' ? body : JSON.stringify(body));

/** Whether it closes a connection when that is used again. */
let isClosing = false;
const used = new WeakSet<Socket>();
const closed: Socket[] = [];

/** Ready, with these metadata; what it answers to an inference is told by each test. */
let declared: unknown = metadata;
let respond: Respond;
const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  request.resume();
  const isUsed = used.has(request.socket);
  used.add(request.socket);
  if (isClosing && isUsed) {
    closed.push(request.socket);
    request.socket.destroy();
  } else if (request.method === 'POST') respond(response);
  else json(request.url?.endsWith('/m') ? declared : {})(response);
});

let stack: Stack;
let deployment: string;
let version: string;
let externalUrl: string;
const MOST = 64 * 1024;

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  externalUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/models/m`;
  stack = await startStack({ env: { MAX_INFER_BYTES: String(MOST) } });
  const content = buildModel({
    nodes: ['y', 'z'].map((name) => ({ op: 'Identity', inputs: ['x'], outputs: [name] })),
    inputs: [{ name: 'x', elem: elem.float, dims }],
    outputs: ['y', 'z'].map((name) => ({ name, elem: elem.float, dims })),
  });
  version = (await stack.createModelVersion('twice', [{ name: 'twice.onnx', content }])).id;
  const input = { project: PROJECT, name: 'theirs', version, target: 'EXTERNAL', externalUrl };
  deployment = await createDeployment(stack, input);
  await deploymentIn(stack, deployment, 'LIVE');
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const input = () => ({ deployment, tensors: [{ name: 'x', data: [[7]] }] });
const output = (name: string, more: object = {}) => ({
  name,
  datatype: 'FP32',
  shape: [1, 1],
  data: [7],
  ...more,
});
const answer = (...outputs: object[]) => json({ model_name: 'm', outputs });

describe.each([
  ['', {}],
  [' under a key', { idempotencyKey: 'key' }],
])('an answer%s', (_how, key) => {
  const keyed = (name: string) =>
    'idempotencyKey' in key ? { idempotencyKey: name.replaceAll(' ', '-') } : {};
  test('with more outputs than the version has, in another order: those of the version, in its order', async () => {
    respond = answer(output('more', { datatype: 'INT64' }), output('z'), output('y'));
    const { tensors: got } = await predict(stack, { ...input(), ...keyed('more') });
    expect(got.map(({ name, data }) => [name, data])).toEqual([
      ['y', [7]],
      ['z', [7]],
    ]);
  });
  test.each<[string, Respond, RegExp]>([
    ['without an output', answer(output('y')), /no output "z"/],
    ['of another datatype', answer(output('y', { datatype: 'FP64' }), output('z')), /"y" is FP64, not FP32/],
    ['that is no JSON', json('<html>'), /cannot be read/],
    ['that is nothing', json(''), /cannot be read/],
    ['that is too long', json(' '.repeat(MOST + 1)), /more than 65536 bytes/],
    ['of fewer values than its shape says', answer(output('y', { shape: [2, 1] }), output('z')), /2 values/],
  ])('%s: the model failed', async (name, given, message) => {
    respond = given;
    expect(await refusal(stack, { ...input(), ...keyed(name) })).toMatchObject({
      __typename: 'ModelError',
      message: expect.stringMatching(message),
    });
  });
});

const SECRET = 'File "/srv/app/secret.py", line 7';
test.each<[string, Respond, string, RegExp]>([
  ['500 with a page', json(`<pre>${SECRET}</pre>`, 500), 'ModelError', /answers 500/],
  [
    '500 with the reason, however long',
    json({ error: `x${'y'.repeat(50_000)}` }, 500),
    'ModelError',
    /: xy+…$/,
  ],
  [
    '400 with the reason',
    json({ error: 'x must be positive' }, 400),
    'ValidationError',
    /x must be positive/,
  ],
  ['400 with a page', json(SECRET, 400), 'ValidationError', /answers 400/],
  ['422', json({ detail: SECRET }, 422), 'ValidationError', /answers 422/],
  ['401', json(SECRET, 401), 'NotReadyError', /answers 401/],
  ['404', json(SECRET, 404), 'NotReadyError', /answers 404/],
  ['302', json('', 302, { location: 'http://127.0.0.1:1/' }), 'NotReadyError', /answers 302/],
  ['429', json(SECRET, 429), 'OverloadedError', /answers 429/],
])('%s', async (_what, given, type, message) => {
  respond = given;
  const error = await refusal(stack, input());
  expect(error).toMatchObject({ __typename: type, message: expect.stringMatching(message) });
  expect(error.message.length).toBeLessThan(2_200);
  expect(JSON.stringify(error)).not.toContain('secret.py');
});

test('connections that it closes as they are used again: asked once more, and no reason to give it up', async () => {
  respond = answer(output('y'), output('z'));
  isClosing = true;
  for (let time = 0; time < 3; time++) expect((await predict(stack, input())).rows).toHaveLength(1);
  // Looks come each second: one of them meets it.
  const before = closed.length;
  const query =
    'query ($id: ID!) { node(id: $id) { ... on Deployment { state arms { replicas { state restarts } } } } }';
  const now = () => stack.data<unknown>(query, { id: deployment });
  while (closed.length < before + 2) await now();
  isClosing = false;
  expect(await now()).toEqual({
    node: { state: 'LIVE', arms: [{ replicas: [{ state: 'READY', restarts: 0 }] }] },
  });
});

test('metadata that no text of PostgreSQL can hold: FAILED, with the reason in bounds', async () => {
  const odd = { name: `\0\ud800${'n'.repeat(50_000)}`, datatype: 'FP32', shape: Array(50_000).fill(1) };
  declared = {
    inputs: [odd],
    outputs: [
      { ...odd, name: 'y' },
      { ...odd, name: 'z', datatype: '\0' },
    ],
  };
  const given = { project: PROJECT, name: 'odd', version, target: 'EXTERNAL', externalUrl };
  const id = await createDeployment(stack, given);
  const { stateReason } = await deploymentIn(stack, id, ['FAILED', 'LIVE']);
  expect(stateReason).toMatch(/serves something else: /);
  expect(stateReason!.length).toBeLessThan(2_000);
});
