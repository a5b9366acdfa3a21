import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { datatypes, type Datatype } from '#src/signature/signature.ts';
import { jsonData, jsonText } from '#src/tensor/json.ts';
import { stack, stackable, unstack } from '#src/tensor/batch.ts';
import {
  allocate,
  elementBytes,
  elementCount,
  fromFloat16Bits,
  readWire,
  toFloat16Bits,
  WireError,
  wireSize,
  writeWire,
  type NamedTensor,
  type TensorData,
} from '#src/tensor/tensor.ts';
import { anyTensor } from '#test/tensor/tensor.arbitrary.ts';

function wire(data: TensorData): Buffer {
  const bytes = Buffer.alloc(wireSize(data));
  expect(writeWire(data, bytes, 0)).toBe(bytes.length);
  return bytes;
}

test('bytes and back is the same tensor, at every alignment', () => {
  fc.assert(
    fc.property(anyTensor, fc.nat(8), (tensor, shift) => {
      const bytes = wire(tensor.data);
      const moved = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
      const back = readWire(tensor.datatype, tensor.data.length, moved);
      expect(wire(back).equals(bytes)).toBe(true);
      expect(jsonData({ ...tensor, data: back })).toEqual(jsonData(tensor));
    }),
  );
});

test('bytes of another length or content are refused, never misread', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...datatypes),
      fc.nat(1000),
      fc.uint8Array({ maxLength: 64 }),
      (datatype, count, bytes) => {
        try {
          const data = readWire(datatype, count, bytes);
          expect(data.length).toBe(count);
          expect(wireSize(data)).toBe(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      },
    ),
  );
});

test('what cannot be text is refused', () => {
  const lying = Buffer.from([255, 255, 255, 255, 65]);
  expect(() => readWire('BYTES', 1, lying)).toThrow('claims 4294967295 bytes, 1 are left');
  expect(() => readWire('BYTES', 1, Buffer.from([1, 0, 0, 0, 0xff]))).toThrow('not UTF-8');
  expect(() => readWire('BYTES', 2 ** 40, lying)).toThrow('need at least');
  expect(() => readWire('BYTES', 0, lying)).toThrow('5 bytes follow');
});

describe('element counts', () => {
  test.each([
    [[], 1],
    [[0, 5], 0],
    [[2, 3, 4], 24],
    [[2 ** 31, 2 ** 31], null],
    [[2 ** 31, 2 ** 31, 0], null],
    [[-1, 2], null],
    [[1.5], null],
    [[Number.NaN], null],
  ])('%j', (shape, count) => expect(elementCount(shape)).toBe(count));
});

test('every float16 survives the way through a number', () => {
  for (let bits = 0; bits < 0x1_0000; bits++) {
    const value = fromFloat16Bits(bits);
    if (!Number.isNaN(value)) expect(toFloat16Bits(value)).toBe(bits);
  }
});

test('each datatype has its width', () => {
  const widths = Object.fromEntries(datatypes.map((one: Datatype) => [one, elementBytes(one)]));
  expect(widths).toMatchObject({
    BOOL: 1,
    UINT8: 1,
    INT16: 2,
    FP16: 2,
    FP32: 4,
    INT64: 8,
    FP64: 8,
    BYTES: 0,
  });
});

test('JSON text is what JSON.stringify makes of the elements', () => {
  fc.assert(
    fc.property(anyTensor, (tensor) => {
      expect(JSON.parse(jsonText(tensor))).toEqual(JSON.parse(JSON.stringify(jsonData(tensor))));
    }),
  );
});

test('JSON holds what numbers cannot', () => {
  const data = BigInt64Array.of(2n ** 53n - 1n, 2n ** 53n, -(2n ** 63n));
  expect(jsonData({ name: 'x', datatype: 'INT64', shape: [3], data })).toEqual([
    9007199254740991,
    '9007199254740992',
    '-9223372036854775808',
  ]);
  const floats = Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, -1.5);
  expect(jsonData({ name: 'x', datatype: 'FP32', shape: [3], data: floats })).toEqual([
    'NaN',
    'Infinity',
    -1.5,
  ]);
  expect(jsonData({ name: 'x', datatype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) })).toEqual([
    false,
    true,
  ]);
});

test('a batch taken apart is what it was put together from', () => {
  const calls = fc
    .tuple(anyTensor, fc.array(fc.nat(4), { minLength: 1, maxLength: 5 }))
    .map(([{ name, datatype, shape }, rows]) => {
      const tail = shape.slice(1);
      return rows.map((count): NamedTensor[] => {
        const size = tail.reduce((product, dimension) => product * dimension, count);
        const data = allocate(datatype, size);
        if (datatype === 'BYTES') (data as string[]).fill(`row of ${count}`);
        return [{ name, datatype, shape: [count, ...tail], data }];
      });
    });
  fc.assert(
    fc.property(calls, (parts) => {
      expect(parts.every((part) => stackable(parts[0]!, part))).toBe(true);
      const counts = parts.map(([tensor]) => tensor!.shape[0]!);
      expect(unstack(stack(parts), counts)).toEqual(parts);
    }),
  );
});
