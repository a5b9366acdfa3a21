import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeRequest, decodeResponse, headerLengthOf } from '#src/inference/protocol.decode.ts';
import { encodeRequest, encodeResponse } from '#src/inference/protocol.ts';
import { RequestLayout } from '#src/inference/request-layout.ts';
import { ValidationError } from '#src/platform/errors.ts';
import { jsonData } from '#src/tensor/json.ts';
import { stack } from '#src/tensor/batch.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';
import { anyTensor } from '#test/tensor/tensor.arbitrary.ts';

const tensors = fc.array(anyTensor, { maxLength: 4 });
/** Comparable content: JSON elements see through views, and NaN is equal to itself. */
const content = (list: readonly NamedTensor[]) =>
  list.map((tensor) => [tensor.name, tensor.datatype, tensor.shape, jsonData(tensor)]);

test('a binary request comes back as it was sent', () => {
  fc.assert(
    fc.property(tensors, fc.option(fc.array(fc.string())), (inputs, outputs) => {
      const { body, headerLength } = encodeRequest(inputs, { binary: true, outputs });
      expect(headerLength! % 8).toBe(0);
      const request = decodeRequest(body, headerLength);
      expect(content(request.inputs as NamedTensor[])).toEqual(content(inputs));
      expect(request.outputs?.map(({ name }) => name) ?? null).toEqual(outputs);
      expect(request.binaryOutput).toBe(true);
    }),
  );
});

test('a response comes back as it was sent, whatever of it is binary', () => {
  const text = fc.string({ unit: 'grapheme' });
  fc.assert(
    fc.property(
      fc.uniqueArray(anyTensor, { selector: ({ name }) => name, maxLength: 4 }),
      fc.nat(),
      text,
      (outputs, mask, id) => {
        // Lone surrogates and 16-bit patterns of NaN do not survive JSON; values do.
        const response = { modelName: 'm', modelVersion: '3', id, parameters: { n: 1 }, outputs };
        const isBinary = (name: string) =>
          ((mask >> outputs.findIndex((one) => one.name === name)) & 1) === 1;
        const { body, headerLength } = encodeResponse(response, isBinary);
        const back = decodeResponse(body, headerLength);
        expect(back).toMatchObject({ modelName: 'm', modelVersion: '3', id, parameters: { n: 1 } });
        expect(content(back.outputs)).toEqual(content(outputs));
      },
    ),
  );
});

test('a layout encodes several calls as one request for all their rows', () => {
  fc.assert(
    fc.property(anyTensor, fc.integer({ min: 1, max: 4 }), (tensor, calls) => {
      const given = Array.from({ length: calls }, () => [tensor]);
      const layout = new RequestLayout([tensor], ['y']);
      const { body, headerLength } = layout.encode(given, calls * tensor.shape[0]!);
      const request = decodeRequest(body, headerLength);
      expect(content(request.inputs as NamedTensor[])).toEqual(content(stack(given)));
      expect(request.outputs).toEqual([{ name: 'y', binary: true }]);
    }),
  );
});

test('JSON: the id is kept, unknown parameters are borne, outputs choose their form', () => {
  const body = Buffer.from(
    JSON.stringify({
      id: '42',
      parameters: { priority: 1 },
      inputs: [{ name: 'x', shape: [1], datatype: 'FP32', parameters: { content_type: 'np' }, data: [1] }],
      outputs: [{ name: 'y', parameters: { binary_data: true } }, { name: 'z' }],
    }),
  );
  const request = decodeRequest(body, null);
  expect(request).toMatchObject({ id: '42', parameters: { priority: 1 }, binaryOutput: false });
  expect(request.outputs).toEqual([
    { name: 'y', binary: true },
    { name: 'z', binary: false },
  ]);
});

test('bare NaN is refused with advice', () => {
  const body = Buffer.from('{"inputs":[{"name":"x","data":[1, NaN]}]}');
  try {
    decodeRequest(body, null);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({
      issues: [{ found: 'the bare token NaN' }],
      hint: expect.stringContaining('"NaN"'),
    });
  }
});

test.each(['-1', '1.5', '', '1e3', '99999999999999999999'])('%j is no length of a header', (value) => {
  expect(() => headerLengthOf(value)).toThrow(ValidationError);
});

test('a body with anything changed is read or refused, never more', () => {
  const changed = fc.tuple(
    tensors,
    fc.nat(),
    fc.nat(255),
    fc.integer({ min: -9, max: 9 }),
    fc.integer({ min: -9, max: 9 }),
  );
  fc.assert(
    fc.property(changed, ([inputs, at, byte, longer, shifted]) => {
      const { body, headerLength } = encodeRequest(inputs, { binary: true });
      const hostile = Buffer.alloc(Math.max(0, body.length + longer));
      body.copy(hostile);
      if (hostile.length > 0) hostile[at % hostile.length] = byte;
      for (const decode of [decodeRequest, decodeResponse]) {
        try {
          decode(hostile, Math.max(0, headerLength! + shifted));
        } catch (error) {
          expect(error).toBeInstanceOf(ValidationError);
        }
      }
    }),
    { numRuns: 500 },
  );
});

/** The JSON of a request with one FP32 tensor. */
const header = (size: unknown, shape: unknown = [1]) =>
  Buffer.from(
    JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape, parameters: { binary_data_size: size } }],
    }),
  );

test('lengths that lie are named', () => {
  const cases: [Buffer, number, string][] = [
    [
      header(4),
      0,
      'inputs.0.parameters.binary_data_size: expected at most the 0 bytes that are left, found 4.',
    ],
    [header(2 ** 52), 4, 'bytes that are left'],
    [header(-4), 4, 'a number of bytes'],
    [header('4'), 4, 'a number of bytes'],
    [header(4), 5, '1 more bytes'],
    [header(4, [2]), 4, '2 elements of FP32 are 8 bytes, found 4'],
    [header(4, [-1]), 4, 'a list of dimensions'],
    [header(4, [2 ** 31, 2 ** 31]), 4, 'a list of dimensions'],
    [header(4, 1), 4, 'a list of dimensions'],
  ];
  for (const [json, payload, message] of cases) {
    const body = Buffer.concat([json, Buffer.alloc(payload)]);
    expect(() => decodeRequest(body, json.length)).toThrow(message);
  }
});
