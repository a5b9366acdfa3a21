/** The static rules of ONNX, on models built field by field. */
import { describe, expect, test } from 'vitest';
import { encodeBytes, encodeInteger } from '#src/onnx/protobuf.ts';
import { buildModel, externalTensor, identityModel } from '../onnx/build-model.ts';
import { inspectBytes, rulesOf } from './inspect-bytes.ts';

async function answer(bytes: Buffer, name = 'm.onnx'): Promise<string[]> {
  const inspection = await inspectBytes(bytes, name);
  return [inspection.verdict, ...rulesOf(inspection)];
}

/** TensorProto's fields: dims, data_type, name, and its data. */
function initializer(dims: number[], type: number, ...data: Buffer[]): Buffer {
  const sizes = dims.map((dim) => encodeInteger(1, dim));
  return Buffer.concat([...sizes, encodeInteger(2, type), encodeBytes(8, 'W'), ...data]);
}
const raw = (length: number) => encodeBytes(9, [Buffer.alloc(length)]);
const withTensor = (tensor: Buffer) => buildModel({ ...identityModel, initializers: [tensor] });

test('a model in order is SAFE, whatever it is called', async () => {
  const bytes = buildModel(identityModel);
  expect(await answer(bytes)).toEqual(['SAFE']);
  expect(await inspectBytes(bytes, 'no-ending')).toMatchObject({ format: 'ONNX', verdict: 'SAFE' });
});

describe('operators', () => {
  const using = (domain: string, op = 'Thing') =>
    buildModel({ ...identityModel, nodes: [{ op, domain, inputs: ['x'], outputs: ['y'] }] });

  test.each(['', 'ai.onnx', 'ai.onnx.ml', 'com.microsoft'])(
    'of the domain %j are carried',
    async (domain) => {
      expect(await answer(using(domain))).toEqual(['SAFE']);
    },
  );

  test.each(['evil.ops', 'com.microsoftx', 'ai.onnx.contrib'])('of the domain %j are not', async (domain) => {
    expect(await answer(using(domain))).toEqual(['SUSPICIOUS', 'onnx.unknown-domain']);
  });

  test('that a function of the model defines are its own', async () => {
    const local = encodeBytes(25, [encodeBytes(1, 'Thing'), encodeBytes(10, 'my.functions')]);
    expect(await answer(Buffer.concat([using('my.functions'), local]))).toEqual(['SAFE']);
    expect(await answer(Buffer.concat([using('other'), local]))).toEqual([
      'SUSPICIOUS',
      'onnx.unknown-domain',
    ]);
  });

  test('that run Python are dangerous in any domain', async () => {
    expect(await answer(using('com.microsoft', 'PythonOp'))).toEqual(['DANGEROUS', 'onnx.runs-python']);
  });
});

describe('tensors', () => {
  test.each<[string, Buffer]>([
    ['raw', initializer([2, 3], 1, raw(24))],
    ['raw, of half a byte each', initializer([3], 22, raw(2))],
    ['floats', initializer([2], 1, encodeBytes(4, [Buffer.alloc(8)]))],
    ['integers, packed', initializer([2], 7, encodeBytes(7, [Buffer.of(1, 0x80, 1)]))],
    ['texts', initializer([2], 8, encodeBytes(6, 'a'), encodeBytes(6, 'b'))],
    ['of no elements', initializer([0, 3], 1)],
  ])('%s, with as many as their dimensions say', async (_, tensor) => {
    expect(await answer(withTensor(tensor))).toEqual(['SAFE']);
  });

  test.each<[string, Buffer]>([
    ['too few raw bytes', initializer([2, 3], 1, raw(20))],
    ['too many raw bytes', initializer([2, 3], 1, raw(25))],
    ['too few floats', initializer([2], 1, encodeBytes(4, [Buffer.alloc(4)]))],
    ['too many integers', initializer([1], 7, encodeBytes(7, [Buffer.of(1, 2)]))],
    ['no data', initializer([2], 1)],
    ['an unknown type', initializer([1], 77, raw(4))],
    ['dimensions beyond counting', initializer([2 ** 31, 2 ** 31, 2 ** 31], 1, raw(4))],
  ])('with %s', async (_, tensor) => {
    expect(await answer(withTensor(tensor))).toEqual(['UNREADABLE', 'onnx.tensor-size']);
  });

  test.each(['../w', '/etc/passwd', 'a/../../w', 'C:w', '..\\w', '~/w', 'file:///w', '', '%2e%2e/w'])(
    'whose data lie at %j',
    async (location) => {
      expect(await answer(withTensor(Buffer.concat(externalTensor('W', { location }))))).toEqual([
        'DANGEROUS',
        'onnx.external-path',
      ]);
    },
  );
});

test('bytes that begin like ONNX and are not, are not', async () => {
  const numbers = Buffer.alloc(1000, 0x12);
  numbers.set([0x08, 0x07, 0x12]);
  expect(await inspectBytes(numbers, 'weights')).toMatchObject({ format: 'OPAQUE', verdict: 'SAFE' });
  expect((await inspectBytes(numbers, 'weights.onnx')).verdict).toBe('UNREADABLE');
});
