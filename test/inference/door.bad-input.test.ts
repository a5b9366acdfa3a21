/** Everything that can be wrong with an inference request: refused by the protocol's form, with what and where. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { tailOf } from '#src/local/child.ts';
import { breastCancerSignature } from '#test/helpers/models.ts';
import {
  binaryHeaders,
  errorOf,
  inferPath,
  rawBinary,
  readAnswer,
  sendInference,
  type InferCall,
} from '#test/helpers/open-inference.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn, stopped, undeploy } from '#test/helpers/work.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';
import { serve } from '#test/prediction/served.ts';

const MAX_BODY_BYTES = 64 * 1024;
const MAX_INFER_BYTES = 512 * 1024;
const PREDICT_TIMEOUT_MS = 1500;

let stack: Stack;
const path = inferPath('cancer');
const { request, outputs } = fixturePredictions('breast-cancer', 'v2').requests[0]!;
const [input] = request.inputs as [(typeof request.inputs)[0]];
const floats = Buffer.from(Float32Array.from(input.data as number[]).buffer);
const declared = { name: 'input', shape: [1, 30], datatype: 'FP32' };
const binary = (size: number, more: object = {}) => ({
  ...declared,
  parameters: { binary_data_size: size },
  ...more,
});

beforeAll(async () => {
  const env = {
    MAX_BODY_BYTES: String(MAX_BODY_BYTES),
    MAX_INFER_BYTES: String(MAX_INFER_BYTES),
    MAX_ROWS: '2000',
    PREDICT_TIMEOUT_MS: String(PREDICT_TIMEOUT_MS),
  };
  stack = await startStack({ env });
  await Promise.all([
    serve(stack, 'cancer', 'breast-cancer/v2.onnx', breastCancerSignature),
    serve(stack, 'slow', 'breast-cancer/v5-slow.onnx', breastCancerSignature),
    serve(stack, 'nan', 'breast-cancer/v6-nan.onnx'),
    serve(stack, 'penguins', 'penguins/v1.onnx'),
    serve(stack, 'spam', 'spam-text/v1.onnx'),
  ]);
});

const text = (value: string) => ({ 'content-type': value });
const over = (changes: object): InferCall => ({ body: { inputs: [{ ...input, ...changes }] } });
const json = (body: string): InferCall => ({ body });
const nest = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

const cases: [string, InferCall, number, string | RegExp][] = [
  // What is no request
  ['nothing at all', { method: 'POST' }, 400, /^body: expected JSON/],
  ['an empty body', json(''), 400, /^body: expected JSON/],
  ['half a body', json('{"inputs": ['), 400, /^body: expected JSON/],
  ['a list', json('[]'), 400, 'body: expected a JSON object, found a list of 0.'],
  ['null', json('null'), 400, 'body: expected a JSON object, found null.'],
  ['no UTF-8', { body: Buffer.from([0x7b, 0xff, 0x7d]) }, 400, /^body: expected UTF-8/],
  ['no inputs', json('{}'), 400, 'inputs: expected a list of tensors, found nothing.'],
  ['inputs that are none', json('{"inputs": 7}'), 400, 'inputs: expected a list of tensors, found 7.'],
  ['an empty list', json('{"inputs": []}'), 400, /^inputs: expected a list with "input", found a list of 0/],
  ['an input that is none', json('{"inputs": [7]}'), 400, 'inputs.0: expected a tensor, found 7.'],
  ['an id that is a number', { body: { id: 7, inputs: request.inputs } }, 400, 'id: expected text, found 7.'],
  [
    'a member that nobody knows',
    { body: { inputs: request.inputs, ouptuts: [] } },
    400,
    /^ouptuts: .*Did you mean "outputs"/,
  ],
  ['a member of an input', over({ dtype: 'FP32' }), 400, /^inputs\.0\.dtype: expected one of name, shape/],
  // Bare tokens
  ...['NaN', 'Infinity', '-Infinity'].map((token): [string, InferCall, number, RegExp] => [
    `a bare ${token}`,
    json(`{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1, ${token}, 2]}]}`),
    400,
    new RegExp(`^body: expected JSON, found the bare token ${token}\\. JSON has no ${token}: send it as the`),
  ]),
  // Tensors in JSON
  ['a missing input', { body: { inputs: [{ ...input, name: 'x' }] } }, 400, /inputs: expected input "input"/],
  [
    'the same input twice',
    { body: { inputs: [input, input] } },
    400,
    'inputs.1.name: expected each input once, found "input" again.',
  ],
  ['another datatype', over({ datatype: 'FP64' }), 400, /^inputs\.0\.datatype: expected FP32, found text/],
  ['no datatype', over({ datatype: undefined }), 400, /^inputs\.0\.datatype: expected a datatype/],
  ['an unknown datatype', over({ datatype: 'FLOAT' }), 400, /^inputs\.0\.datatype: expected FP32/],
  [
    'no shape',
    over({ shape: undefined }),
    400,
    'inputs.0.shape: expected a list of dimensions, found nothing.',
  ],
  ['no data', over({ data: undefined }), 400, /^inputs\.0\.data: expected a list of values.*found nothing/],
  ['a negative dimension', over({ shape: [-1, 30] }), 400, /^inputs\.0\.shape\.0: expected a dimension/],
  ['half a dimension', over({ shape: [1.5, 20] }), 400, /^inputs\.0\.shape\.0: expected a dimension/],
  ['an absurd dimension', over({ shape: [2 ** 53, 30] }), 400, /^inputs\.0\.shape\.0: expected a dimension/],
  ['an absurd shape', over({ shape: [2 ** 52, 30] }), 400, /^inputs\.0\.shape: expected a shape of at most/],
  ['more rows than data', over({ shape: [1000, 30] }), 400, /^inputs\.0\.data: expected 30000 values/],
  [
    'too many rows',
    over({ shape: [2001, 30] }),
    400,
    /^inputs\.0\.shape\.0: expected at most 2000 rows \(MAX_ROWS\)/,
  ],
  [
    'no rows',
    over({ shape: [0, 30], data: [] }),
    400,
    'inputs.0.shape.0: expected at least one row, found 0.',
  ],
  ['another rank', over({ shape: [30] }), 400, /^inputs\.0\.shape: expected \[-1, 30\] \(rank 2\)/],
  [
    'ragged nesting',
    over({ shape: [2, 30], data: [input.data, input.data.slice(1)] }),
    400,
    /^inputs\.0\.data\.1: expected a list of 30, found a list of 29/,
  ],
  [
    'nesting too deep',
    json(`{"inputs":[{"name":"input","shape":[1,30],"datatype":"FP32","data":${nest(20_000)}}]}`),
    400,
    /^inputs\.0\.data: expected values nested as \[1, 30\]/,
  ],
  ['nesting that hangs in the air', json(`{"inputs":${nest(20_000)}}`), 400, /^inputs\.0: expected a tensor/],
  [
    'text',
    over({ data: [...input.data.slice(1), 'x'] }),
    400,
    'inputs.0.data.29: expected a finite number, found text "x".',
  ],
  [
    'null',
    over({ data: [null, ...input.data.slice(1)] }),
    400,
    /^inputs\.0\.data\.0: expected a finite number, found null/,
  ],
  [
    'a number beyond float32',
    over({ data: [1e39, ...input.data.slice(1)] }),
    400,
    /^inputs\.0\.data\.0: expected a number within float32/,
  ],
  [
    'a number beyond float64',
    json(JSON.stringify(over({}).body).replace('"data":[', '"data":[1e999,')),
    400,
    /^inputs\.0\.data: expected 30 values/,
  ],
  // Outputs and parameters
  [
    'an unknown output',
    { body: { ...request, outputs: [{ name: 'nope' }] } },
    400,
    'outputs.0: expected one of label, probabilities, found "nope".',
  ],
  [
    'an output twice',
    { body: { ...request, outputs: [{ name: 'label' }, { name: 'label' }] } },
    400,
    /^outputs\.1: expected each output once/,
  ],
  [
    'an output without a name',
    { body: { ...request, outputs: [{}] } },
    400,
    /^outputs\.0\.name: expected the name of an output/,
  ],
  ['outputs that are none', { body: { ...request, outputs: 'label' } }, 400, /^outputs: expected a list/],
  [
    'parameters that are none',
    { body: { ...request, parameters: 7 } },
    400,
    /^parameters: expected an object/,
  ],
  [
    'a flag that is none',
    { body: { ...request, parameters: { binary_data_output: 'yes' } } },
    400,
    /^parameters\.binary_data_output: expected true or false/,
  ],
  [
    'a flag of an output that is none',
    { body: { ...request, outputs: [{ name: 'label', parameters: { binary_data: 1 } }] } },
    400,
    /^outputs\.0\.parameters\.binary_data: expected true or false/,
  ],
  // Bytes whose lengths lie
  [
    'fewer bytes than the shape has',
    rawBinary({ inputs: [binary(116)] }, floats.subarray(4)),
    400,
    /^inputs\.0: 30 elements of FP32 are 120 bytes, found 116/,
  ],
  [
    'a size that is too large',
    rawBinary({ inputs: [binary(124)] }, floats),
    400,
    'inputs.0.parameters.binary_data_size: expected at most the 120 bytes that are left, found 124.',
  ],
  [
    'bytes behind the last tensor',
    rawBinary({ inputs: [binary(120)] }, floats, floats),
    400,
    'body: expected to end with the last tensor, found 120 more bytes.',
  ],
  [
    'a negative size',
    rawBinary({ inputs: [binary(-1)] }, floats),
    400,
    /binary_data_size: expected a number of bytes, found -1/,
  ],
  [
    'a size beyond all',
    rawBinary({ inputs: [binary(2 ** 60)] }, floats),
    400,
    /binary_data_size: expected a number of bytes/,
  ],
  [
    'data beside the bytes',
    rawBinary({ inputs: [binary(120, { data: [] })] }, floats),
    400,
    /^inputs\.0\.data: expected none beside binary data/,
  ],
  [
    'a shape that the bytes cannot be',
    rawBinary({ inputs: [binary(120, { shape: [2 ** 40, 30] })] }, floats),
    400,
    /^inputs\.0: .* found 120/,
  ],
  [
    'a negative shape of bytes',
    rawBinary({ inputs: [binary(120, { shape: [-1, 30] })] }, floats),
    400,
    /^inputs\.0\.shape: expected a list of dimensions, 0 or more/,
  ],
  [
    'bytes of an unknown datatype',
    rawBinary({ inputs: [binary(120, { datatype: 'BF16' })] }, floats),
    400,
    /^inputs\.0\.datatype: expected a datatype of the protocol/,
  ],
  [
    'bytes of another datatype',
    rawBinary({ inputs: [binary(120, { datatype: 'INT32' })] }, floats),
    400,
    /^inputs\.0\.datatype: expected FP32/,
  ],
  [
    'NaN in the bytes',
    rawBinary({ inputs: [binary(120)] }, floats.subarray(0, 116), Buffer.from([0, 0, 192, 127])),
    400,
    'inputs.0.data.29: expected a finite number, found NaN. The input is not nullable.',
  ],
  [
    'bytes without their size',
    rawBinary({ inputs: [declared] }, floats),
    400,
    /^body: expected to end with the last tensor/,
  ],
  // Their header
  [
    'no length of the header',
    { body: rawBinary({ inputs: [binary(120)] }, floats).body, headers: text('application/octet-stream') },
    400,
    /^Inference-Header-Content-Length: expected the length of the JSON header/,
  ],
  [
    'a length beyond the body',
    { body: '{}', headers: binaryHeaders(200) },
    400,
    /^Inference-Header-Content-Length: .*found 200, longer than the body of 2 bytes/,
  ],
  [
    'a length that is too short',
    { ...rawBinary({ inputs: [binary(120)] }, floats), headers: binaryHeaders(5) },
    400,
    /^body: expected JSON/,
  ],
  [
    'a length of 0',
    { ...rawBinary({ inputs: [binary(120)] }, floats), headers: binaryHeaders(0) },
    400,
    /^body: expected JSON/,
  ],
  ...['-1', '1e3', 'x', '99999999999999999999'].map((length): [string, InferCall, number, RegExp] => [
    `a length of ${length}`,
    { body: '{}', headers: { ...binaryHeaders(0), 'inference-header-content-length': length } },
    400,
    /^Inference-Header-Content-Length: expected a number of bytes, found text/,
  ]),
  // What is said of the body
  ...[
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    'application/jsonp',
    'application/json; charset=latin1',
  ].map((type): [string, InferCall, number, RegExp] => [
    `Content-Type ${type}`,
    { body: JSON.stringify(request), headers: text(type) },
    415,
    /^Content-Type: expected application\/json, .*found/,
  ]),
  [
    'an unknown coding',
    { body: request, headers: { 'content-encoding': 'br' } },
    415,
    'Content-Encoding: expected gzip, deflate or identity, found "br".',
  ],
  [
    'no gzip',
    { body: request, headers: { 'content-encoding': 'gzip' } },
    400,
    /^body: expected what Content-Encoding says, found incorrect header check/,
  ],
  [
    'half a gzip',
    { body: gzipSync(JSON.stringify(request)).subarray(0, 60), headers: { 'content-encoding': 'gzip' } },
    400,
    /^body: expected what Content-Encoding says, found unexpected end of file/,
  ],
  // Too much
  [
    'JSON beyond its limit',
    json(' '.repeat(MAX_BODY_BYTES + 1)),
    413,
    `The JSON body: expected at most ${MAX_BODY_BYTES} bytes (MAX_BODY_BYTES), found more.`,
  ],
  [
    'a JSON header beyond its limit',
    { body: Buffer.alloc(MAX_BODY_BYTES + 9), headers: binaryHeaders(MAX_BODY_BYTES + 1) },
    413,
    /^JSON header: .*MAX_BODY_BYTES/,
  ],
  [
    'bytes beyond their limit',
    rawBinary('{}', Buffer.alloc(MAX_INFER_BYTES)),
    413,
    /^The body: expected at most 524288 bytes \(MAX_INFER_BYTES\)/,
  ],
  [
    'what unpacks beyond the limit',
    { body: gzipSync(Buffer.alloc(50 * MAX_INFER_BYTES)), headers: { 'content-encoding': 'gzip' } },
    413,
    /MAX_BODY_BYTES/,
  ],
  [
    'bytes that unpack beyond the limit',
    {
      body: gzipSync(Buffer.alloc(50 * MAX_INFER_BYTES)),
      headers: { ...binaryHeaders(2), 'content-encoding': 'gzip' },
    },
    413,
    /MAX_INFER_BYTES/,
  ],
];

test.each(cases)('%s', async (_what, call, status, message) => {
  const answer = await sendInference(stack, path, call);
  const refused = errorOf(answer);
  expect(refused.error).toMatch(typeof message === 'string' ? /./ : message);
  if (typeof message === 'string') expect(refused.error).toBe(message);
  expect(refused.status).toBe(status);
  expect(refused.error).not.toMatch(/\bat .*\.ts:|node_modules/);
});

test('after all of it, it answers as ever', async () => {
  const { outputs: answered } = readAnswer(await sendInference(stack, path, { body: request }));
  expect(answered[0]).toEqual(outputs[0]);
});

test('texts in bytes: a NUL, no UTF-8, lengths that lie', async () => {
  const spam = inferPath('spam');
  const send = (payload: Buffer, shape = [1, 1]) => {
    const header = {
      inputs: [{ name: 'text', shape, datatype: 'BYTES', parameters: { binary_data_size: payload.length } }],
    };
    return sendInference(stack, spam, rawBinary(header, payload));
  };
  const element = (bytes: Buffer | string, claimed?: number): Buffer => {
    const content = Buffer.from(bytes as string);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(claimed ?? content.length);
    return Buffer.concat([length, content]);
  };
  const wrong: [Buffer, RegExp][] = [
    [element('win\0dow'), /^inputs\.0\.data\.0: expected text without NUL characters.*cuts a text/],
    [element(Buffer.from([0xff, 0xfe])), /^inputs\.0: element 0 is not UTF-8/],
    [element('win', 4), /^inputs\.0: element 0 claims 4 bytes, 3 are left/],
    [element('win', 0xffffffff), /claims 4294967295 bytes/],
    [element('win', 2), /^inputs\.0: 1 bytes follow the last element/],
    [Buffer.from([1, 0]), /need at least 4 bytes, found 2/],
  ];
  for (const [payload, message] of wrong) {
    const { status, error } = errorOf(await send(payload));
    expect([status, error]).toEqual([400, expect.stringMatching(message)]);
  }
  // The empty text is a text.
  const two = await send(Buffer.concat([element(''), element('win')]), [2, 1]);
  expect(readAnswer(two).outputs[0]!.shape).toEqual([2]);
  const asJson = await sendInference(stack, spam, {
    body: { inputs: [{ name: 'text', shape: [2, 1], datatype: 'BYTES', data: ['', 'win'] }] },
  });
  expect(readAnswer(asJson).outputs).toEqual(readAnswer(two).outputs);
});

test('inputs of different batches, and one that is missing', async () => {
  const { invalid_requests = [] } = fixturePredictions('penguins', 'v1');
  for (const { request: invalid } of invalid_requests) {
    const { status, error } = errorOf(
      await sendInference(stack, inferPath('penguins'), { body: invalid as object }),
    );
    expect([status, error]).toEqual([400, expect.stringMatching(/rows, as many as in|none of that name/)]);
  }
});

describe('what is borne', () => {
  const good: [string, InferCall][] = [
    [
      'unknown parameters',
      {
        body: {
          parameters: { priority: 1, x: 'y' },
          inputs: [{ ...input, parameters: { content_type: 'np' } }],
        },
      },
    ],
    [
      'null where nothing is meant',
      { body: { id: null, parameters: null, outputs: null, inputs: [{ ...input, parameters: null }] } },
    ],
    ['an empty list of outputs', { body: { ...request, outputs: [] } }],
    ['nested values', over({ data: [input.data] })],
    ['no content type', { body: request, headers: { 'content-type': '' } }],
    ['a charset', { body: request, headers: text('application/json; charset="UTF-8"') }],
    ['gzip', { body: gzipSync(JSON.stringify(request)), headers: { 'content-encoding': 'gzip' } }],
    ['deflate', { body: deflateSync(JSON.stringify(request)), headers: { 'content-encoding': 'deflate' } }],
    ['identity', { body: request, headers: { 'content-encoding': 'identity' } }],
    [
      'JSON whose length is told',
      {
        body: JSON.stringify(request),
        headers: { 'inference-header-content-length': String(JSON.stringify(request).length) },
      },
    ],
  ];
  test.each(good)('%s', async (_what, call) => {
    const { outputs: answered } = readAnswer(await sendInference(stack, path, call));
    expect(answered).toEqual(outputs);
  });

  test('tensors in bytes under application/json, and packed', async () => {
    const call = rawBinary({ inputs: [binary(120)] }, floats);
    const headers = { ...call.headers, 'content-type': 'application/json' };
    expect(readAnswer(await sendInference(stack, path, { ...call, headers })).outputs).toEqual(outputs);
    const packed = { body: gzipSync(call.body), headers: { ...call.headers, 'content-encoding': 'gzip' } };
    expect(readAnswer(await sendInference(stack, path, packed)).outputs).toEqual(outputs);
  });

  test('an output in bytes beside one in JSON', async () => {
    const wanted = [{ name: 'probabilities', parameters: { binary_data: true } }, { name: 'label' }];
    const answer = await sendInference(stack, path, { body: { ...request, outputs: wanted } });
    const length = Number(answer.headers['inference-header-content-length']);
    const header = JSON.parse(answer.body.toString('utf8', 0, length)) as { outputs: object[] };
    expect(header.outputs).toEqual([
      { name: 'probabilities', shape: [1, 2], datatype: 'FP32', parameters: { binary_data_size: 8 } },
      outputs[0],
    ]);
    expect(answer.body.length).toBe(length + 8);
    expect(readAnswer(answer).outputs[0]!.data).toEqual(outputs[1]!.data);
  });
});

/** A request by hand whose body comes as it likes. */
async function open(
  head: readonly string[],
  to = path,
): Promise<{ socket: Socket; answer: Promise<string> }> {
  const { hostname, port } = new URL(stack.api.url);
  const socket = connect(Number(port), hostname);
  let received = '';
  const answer = new Promise<string>((resolve, reject) => {
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      const end = received.indexOf('\r\n\r\n');
      const length = Number(/^content-length: (\d+)/im.exec(received)?.[1]);
      if (end !== -1 && received.length >= end + 4 + length) resolve(received);
    });
    socket.on('close', () => reject(new Error(`closed after ${received}`)));
  });
  answer.catch(() => undefined);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write([`POST ${to} HTTP/1.1`, `host: ${hostname}:${port}`, ...head, '', ''].join('\r\n'));
  return { socket, answer };
}

test('a body that never comes: 408, in bounded time', async () => {
  const { socket, answer } = await open(['content-type: application/json', 'content-length: 100']);
  socket.write('{"inputs"');
  const startedAt = performance.now();
  expect(await answer).toMatch(
    /^HTTP\/1\.1 408 [^]*"error":"The body: expected all of it within 1500 ms \(PREDICT_TIMEOUT_MS\), found 9 bytes by then\."/,
  );
  expect(performance.now() - startedAt).toBeLessThan(PREDICT_TIMEOUT_MS + 5000);
  await once(socket, 'close');
});

test('a body that never ends: 413 as soon as it is too large', async () => {
  const head = [
    ...Object.entries(binaryHeaders(100)).map((each) => each.join(': ')),
    'transfer-encoding: chunked',
  ];
  const { socket, answer } = await open(head);
  const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
  const pour = (): void => {
    while (!socket.destroyed && socket.write(chunk));
    socket.once('drain', pour);
  };
  pour();
  expect(await answer).toMatch(/^HTTP\/1\.1 413 [^]*MAX_INFER_BYTES/);
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
});

test('a body that is longer than its length is not taken for one that is right', async () => {
  const body = JSON.stringify(request);
  const { socket, answer } = await open([
    'content-type: application/json',
    `content-length: ${body.length - 1}`,
  ]);
  socket.write(body);
  // The rest is no request: node itself refuses, and closes the connection.
  await expect(answer).rejects.toThrow(/HTTP\/1\.1 400/);
});

test('whoever leaves takes the work along: none of it is answered', async () => {
  interface Frame {
    readonly arms: readonly { requests: number; errors: { client: number } }[];
  }
  const query = `subscription ($id: ID!) { deploymentMetrics(deployment: $id, backfillSeconds: 0) { arms { requests errors { client } } } }`;
  const frames = stack.subscribe<{ deploymentMetrics: Frame }>(query, { id: 'test/slow' });
  const first = frames.next();
  const [rows, callers] = [2, 24];
  const data = Buffer.concat(Array.from({ length: rows }, () => floats));
  const { body, headers } = rawBinary({ inputs: [binary(data.length, { shape: [rows, 30] })] }, data);
  const head = [...Object.entries(headers).map((each) => each.join(': ')), `content-length: ${body.length}`];
  await first;
  const leaving = Array.from({ length: callers }, async () => {
    const { socket } = await open(head, inferPath('slow'));
    await new Promise((sent) => socket.write(body, sent));
    socket.destroy();
  });
  await Promise.all(leaving);
  // Whoever was gone before the api had read all of it never was a request at this arm.
  for await (const { deploymentMetrics } of frames) {
    const [{ requests, errors } = { requests: 0, errors: { client: 0 } }] = deploymentMetrics.arms;
    expect(errors.client).toBe(requests);
    if (requests > 0) break;
  }
  // A run that had begun goes on; what waited behind it is gone.
  let status = 504;
  while (status === 504) ({ status } = await sendInference(stack, inferPath('slow'), { body: request }));
  expect(status).toBe(200);
});

test('a model that fails, one that is too slow, one that is gone', async () => {
  const { requests } = fixturePredictions('breast-cancer', 'v6-nan');
  const nan = requests.find((one) => one.outputs[1]!.data.includes('NaN'))!;
  const failed = await sendInference(stack, inferPath('nan'), { body: nan.request });
  expect(errorOf(failed)).toEqual({
    status: 500,
    error: expect.stringMatching(/"probabilities" holds NaN.*RETURN/),
  });
  const rows = 1500;
  const data = Buffer.concat(Array.from({ length: rows }, () => floats));
  const call = rawBinary({ inputs: [binary(data.length, { shape: [rows, 30] })] }, data);
  const late = await sendInference(stack, inferPath('slow'), call);
  expect(errorOf(late)).toEqual({ status: 504, error: expect.stringContaining('No answer within 1500 ms') });
  await stopped(stack, 'test/nan');
  let gone = await sendInference(stack, inferPath('nan'), { body: nan.request });
  // The api hears of it a moment later than we do.
  while (gone.body.includes('STOPPING'))
    gone = await sendInference(stack, inferPath('nan'), { body: nan.request });
  expect([404, 503]).toContain(errorOf(gone).status);
});

test('a deployment on its way up or out: 503, and when to try again', async () => {
  const { id } = await stack.deploy('test/spam:1', { name: 'leaving' });
  await stack.worker.kill('SIGTERM');
  const others = stack.replicaPids();
  expect(others.length).toBeGreaterThan(0);
  await undeploy(stack, id);
  let answer = await sendInference(stack, '/v2/models/test/leaving/ready');
  while (answer.status === 200) answer = await sendInference(stack, '/v2/models/test/leaving/ready');
  expect(errorOf(answer)).toEqual({ status: 503, error: expect.stringContaining('STOPPING') });
  const wanted = { project: 'test', name: 'late', version: 'test/spam:1' };
  const late = await createDeployment(stack, wanted);
  const early = await sendInference(stack, inferPath('late'), { body: request });
  expect(errorOf(early)).toEqual({ status: 503, error: expect.stringContaining('PENDING') });
  expect(early.headers['retry-after']).toBe('1');
  await stack.worker.start();
  await deploymentIn(stack, id, ['STOPPED']);
  await deploymentIn(stack, late, ['LIVE']);
});

test('what nobody expected is masked under an id that the log has', async () => {
  const database = stack.openDatabase();
  try {
    // A deployment that this api has not met yet is looked for in a table that is not there.
    await database.db.schema.alterTable('deployment').renameTo('deployment_away').execute();
    const answer = await sendInference(stack, inferPath('never-met'), { body: request });
    await database.db.schema.alterTable('deployment_away').renameTo('deployment').execute();
    const { status, error } = errorOf(answer);
    expect(status).toBe(500);
    const [, id] = /^Unexpected error\. It is in the server's log under (\S+)\.$/.exec(error) ?? [];
    expect(id).toBeDefined();
    expect(tailOf(stack.api.log, 50)).toContain(id);
  } finally {
    await database.close();
  }
});
