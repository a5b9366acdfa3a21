/** What goes in comes out: every datatype through an Identity, in JSON and in bytes, in all four combinations. */
import { beforeAll, describe, expect, test } from 'vitest';
import {
  errorOf,
  inferPath,
  rawBinary,
  readAnswer,
  sendInference,
  type InferCall,
} from '#test/helpers/open-inference.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { buildModel } from '#test/onnx/build-model.ts';

/** TensorProto.DataType. */
const elements = { FP32: 1, INT32: 6, INT64: 7, BYTES: 8, BOOL: 9, FP16: 10, FP64: 11, UINT64: 13 } as const;
type Name = keyof typeof elements;

const PIXELS = 16_384;

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
  const serve = async (model: string, name: Name, dims: readonly number[] = [-1]): Promise<void> => {
    const content = buildModel({
      nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
      inputs: [{ name: 'x', elem: elements[name], dims }],
      outputs: [{ name: 'y', elem: elements[name], dims }],
    });
    const { id } = await stack.createModelVersion(model, [{ name: 'identity.onnx', content }]);
    await stack.deploy(id, { name: model });
  };
  const names = Object.keys(elements) as Name[];
  await Promise.all([
    ...names.map((name) => serve(name.toLowerCase(), name)),
    serve('images', 'FP32', [-1, PIXELS]),
  ]);
});

const bytesOf = (data: { readonly buffer: ArrayBufferLike }): Buffer => Buffer.from(data.buffer);

function texts(values: readonly string[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(Buffer.byteLength(value));
      return [length, Buffer.from(value)];
    }),
  );
}

const big = [2n ** 53n - 1n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n, 0n, -9007199254740993n];
const huge = [2n ** 64n - 1n, 2n ** 53n + 1n, 0n];
const words = ['', 'é', '日本語', 'a"b\\c\n', '\u2028', '😀', ' '];

/** As JSON takes and gives it, and as bytes. */
const values: [Name, readonly unknown[], Buffer][] = [
  [
    'FP32',
    [0.10000000149011612, -0, 1.401298464324817e-45, 3.4028234663852886e38, 16777217],
    bytesOf(Float32Array.of(0.1, -0, 1.4e-45, 3.4028234663852886e38, 16777216)),
  ],
  [
    'FP64',
    [0.1, -0, 5e-324, 1.7976931348623157e308, 9007199254740992],
    bytesOf(Float64Array.of(0.1, -0, 5e-324, 1.7976931348623157e308, 9007199254740992)),
  ],
  [
    'FP16',
    [0.0999755859375, -0, 5.960464477539063e-8, 65504],
    bytesOf(Uint16Array.of(0x2e66, 0x8000, 0x0001, 0x7bff)),
  ],
  ['INT32', [-2147483648, 2147483647, 0], bytesOf(Int32Array.of(-2147483648, 2147483647, 0))],
  [
    'INT64',
    [
      9007199254740991,
      '9007199254740993',
      '-9223372036854775808',
      '9223372036854775807',
      0,
      '-9007199254740993',
    ],
    bytesOf(BigInt64Array.from(big)),
  ],
  ['UINT64', ['18446744073709551615', '9007199254740993', 0], bytesOf(BigUint64Array.from(huge))],
  ['BOOL', [true, false], Buffer.from([1, 0])],
  ['BYTES', words, texts(words)],
];

describe.each(values)('%s', (datatype, json, bytes) => {
  const input = { name: 'x', shape: [json.length], datatype };
  const asJson = (binary: boolean): InferCall => ({
    body: Buffer.from(
      // JSON.stringify writes -0 as 0.
      `{"parameters":{"binary_data_output":${binary}},"inputs":[{"name":"x","shape":[${json.length}],"datatype":"${datatype}","data":[${json.map((value) => (Object.is(value, -0) ? '-0' : JSON.stringify(value))).join(',')}]}]}`,
    ),
  });
  const asBytes = (binary: boolean): InferCall =>
    rawBinary(
      {
        parameters: { binary_data_output: binary },
        inputs: [{ ...input, parameters: { binary_data_size: bytes.length } }],
      },
      bytes,
    );

  test.each([
    ['JSON', asJson],
    ['bytes', asBytes],
  ])('from %s', async (_what, call) => {
    const path = inferPath(datatype.toLowerCase());
    const inBytes = await sendInference(stack, path, call(true));
    const length = Number(inBytes.headers['inference-header-content-length']);
    expect(inBytes.status).toBe(200);
    expect(inBytes.body.subarray(length)).toEqual(bytes);
    const inJson = await sendInference(stack, path, call(false));
    const { outputs } = JSON.parse(inJson.body.toString()) as { outputs: { data: unknown[] }[] };
    const { data } = outputs[0]!;
    // What a float32 or a double rounds on the way in is no longer what was written.
    const rounded = json.map((value) => (value === 16777217 ? 16777216 : value));
    expect(data).toEqual(rounded);
    expect(readAnswer(inJson).outputs).toEqual(readAnswer(inBytes).outputs);
  });
});

describe('integers of 64 bits that a JSON number cannot hold: 400, never rounded', () => {
  test.each([
    '9007199254740992',
    '9007199254740993',
    '-9007199254740993',
    '1e16',
    '18446744073709551615',
    '1.5',
    '"0x1"',
    '"1e3"',
    '" 1"',
    '""',
  ])('%s', async (value) => {
    for (const name of ['int64', 'uint64'] as const) {
      const body = `{"inputs":[{"name":"x","shape":[2],"datatype":"${name.toUpperCase()}","data":[1,${value}]}]}`;
      const { status, error } = errorOf(await sendInference(stack, inferPath(name), { body }));
      expect([status, error]).toEqual([
        400,
        expect.stringMatching(/^inputs\.0\.data\.1: expected an integer of U?INT64/),
      ]);
      if (/^-?\d{16}$/.test(value)) expect(error).toContain('a JSON number is rounded: send it as a string');
    }
  });

  test('beyond 64 bits, and below what is unsigned', async () => {
    for (const [name, value] of [
      ['int64', '9223372036854775808'],
      ['int64', '-9223372036854775809'],
      ['uint64', '18446744073709551616'],
      ['uint64', '-1'],
    ] as const) {
      const body = { inputs: [{ name: 'x', shape: [1], datatype: name.toUpperCase(), data: [value] }] };
      const { status, error } = errorOf(await sendInference(stack, inferPath(name), { body }));
      expect([status, error]).toEqual([400, expect.stringContaining(`text "${value}"`)]);
    }
  });
});

test('a truth value that is neither', async () => {
  const header = {
    inputs: [{ name: 'x', shape: [2], datatype: 'BOOL', parameters: { binary_data_size: 2 } }],
  };
  const answer = await sendInference(stack, inferPath('bool'), rawBinary(header, Buffer.from([1, 2])));
  expect(errorOf(answer)).toEqual({ status: 400, error: 'inputs.0.data.1: expected 0 or 1, found 2.' });
});

test('a thousand images of 64 KB in one request come back, wherever their bytes begin', async () => {
  const bytes = Buffer.alloc(1000 * PIXELS * 4, 'image');
  for (const pad of [0, 1]) {
    const header = JSON.stringify({
      parameters: { binary_data_output: true },
      inputs: [
        {
          name: 'x',
          shape: [1000, PIXELS],
          datatype: 'FP32',
          parameters: { binary_data_size: bytes.length },
        },
      ],
    });
    const call = rawBinary(header + ' '.repeat(pad), bytes);
    const { status, headers, body } = await sendInference(stack, inferPath('images'), call);
    expect(status).toBe(200);
    expect(body.subarray(Number(headers['inference-header-content-length'])).equals(bytes)).toBe(true);
  }
});
