import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OnnxFormatError } from '#src/onnx/onnx.errors.ts';
import {
  encodeBytes,
  encodeInteger,
  encodeVarint,
  fields,
  int64,
  int64s,
  integer,
  text,
} from '#src/onnx/protobuf.ts';
import type { Field } from '#src/onnx/protobuf.ts';

const whole = (bytes: Buffer) => ({ start: 0, end: bytes.length });

function only(bytes: Buffer): Field {
  const [field, ...more] = fields(bytes, whole(bytes), 'a test');
  if (field === undefined || more.length > 0) throw new Error('Expected one field.');
  return field;
}

describe('reading', () => {
  test('gives back what was written', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 29 - 1 }),
        fc.maxSafeNat(),
        fc.string(),
        (number, value, word) => {
          const bytes = Buffer.concat([encodeInteger(number, value), encodeBytes(number, word)]);
          const [first, second, ...more] = [...fields(bytes, whole(bytes), 'a test')];
          expect(more).toEqual([]);
          expect(first?.number).toBe(number);
          expect(first && integer(bytes, first, 'a test')).toBe(value);
          expect(second && text(bytes, second, 'a test')).toBe(Buffer.from(word).toString('utf8'));
        },
      ),
    );
  });

  test.each([
    ['ffffffffffffffffff01', -1n],
    ['80808080808080808001', -(2n ** 63n)],
    ['ffffffffffffffff7f', 2n ** 63n - 1n],
    ['8080808010', 2n ** 32n],
    ['f8ffffffffffffffff01', -8n],
  ])('reads the 64-bit number %s exactly', (hex, expected) => {
    const bytes = Buffer.from(`08${hex}`, 'hex');
    expect(int64(bytes, only(bytes), 'a test')).toBe(expected);
  });

  test('reads repeated numbers packed and one by one', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat(), { minLength: 1 }), (values) => {
        const packed = encodeBytes(1, values.map(encodeVarint));
        const single = Buffer.concat(values.map((value) => encodeInteger(1, value)));
        for (const bytes of [packed, single]) {
          const found = [...fields(bytes, whole(bytes), 'a test')].flatMap((field) => [
            ...int64s(bytes, field, 'a test'),
          ]);
          expect(found).toEqual(values.map(BigInt));
        }
      }),
    );
  });
});

describe('refusing', () => {
  test.each([
    ['field number 0', '00'],
    ['a group', '0b'],
    ['a number of 11 bytes', '08ffffffffffffffffffff01'],
    ['a number that ends early', '0880'],
    ['a length beyond the end', '0a05aa'],
    ['a length of nearly 2^64', '0affffffffffffffffff01'],
    ['4 bytes of which 3 are there', '0daabbcc'],
  ])('%s', (_, hex) => {
    const bytes = Buffer.from(hex, 'hex');
    expect(() => [...fields(bytes, whole(bytes), 'a test')]).toThrow(OnnxFormatError);
  });

  test('any other bytes than those that end with the last field', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (array) => {
        const bytes = Buffer.from(array);
        try {
          const found = [...fields(bytes, whole(bytes), 'a test')];
          expect(found.at(-1)?.end ?? 0).toBe(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(OnnxFormatError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
