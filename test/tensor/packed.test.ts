/** Tensors that are kept come back as they were, and other bytes are told apart. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { TensorSpec } from '#src/signature/signature.ts';
import { heldBytes, packTensors, unpackTensors } from '#src/tensor/packed.ts';
import { WireError } from '#src/tensor/tensor.ts';
import { anyTensor } from './tensor.arbitrary.ts';

const tensors = fc
  .array(anyTensor, { maxLength: 4 })
  .map((list) => list.map((tensor, index) => ({ ...tensor, name: `t${index}` })));
const specsOf = (list: readonly { name: string; datatype: TensorSpec['datatype'] }[]): TensorSpec[] =>
  list.map(({ name, datatype }) => ({ name, datatype, shape: [-1], nullable: false }));

test('what is packed is unpacked, also some of the signature in another order', () => {
  fc.assert(
    fc.property(tensors, fc.nat(), (list, drop) => {
      const specs = specsOf(list);
      const some = list.filter((_, index) => index !== drop % 5).toReversed();
      expect(unpackTensors(specs, packTensors(specs, some))).toEqual(some);
    }),
  );
});

test('bytes cut short are no tensors', () => {
  fc.assert(
    fc.property(tensors, fc.nat(), (list, at) => {
      const specs = specsOf(list);
      const bytes = packTensors(specs, list);
      if (bytes.length === 0) return;
      const cut = bytes.subarray(0, at % bytes.length);
      try {
        expect(unpackTensors(specs, cut).length).toBeLessThan(list.length);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }),
  );
});

test('what it holds is counted, texts too', () => {
  const numbers = { name: 'n', datatype: 'FP32', shape: [3], data: new Float32Array(3) } as const;
  const texts = { name: 't', datatype: 'BYTES', shape: [2], data: ['ab', 'c'] } as const;
  expect(heldBytes([numbers])).toBe(12);
  expect(heldBytes([{ ...texts, data: [...texts.data] }])).toBe(2 * 16 + 3);
});
