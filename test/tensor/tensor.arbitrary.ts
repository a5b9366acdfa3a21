import * as fc from 'fast-check';
import { datatypes, type Datatype } from '#src/signature/signature.ts';
import { readWire, type NamedTensor, type TensorData } from '#src/tensor/tensor.ts';
import { elementBytes } from '#src/tensor/tensor.ts';

/** As a model takes it and gives it: onnxruntime cuts a text at a NUL, which is therefore refused. */
const text = fc.string({ unit: 'binary' }).map((any) => any.replaceAll('\0', '0'));

function dataOf(datatype: Datatype, count: number): fc.Arbitrary<TensorData> {
  if (datatype === 'BYTES') {
    return fc.array(text, { minLength: count, maxLength: count });
  }
  const size = count * elementBytes(datatype);
  const bytes = fc.uint8Array({ minLength: size, maxLength: size, max: datatype === 'BOOL' ? 1 : 255 });
  return bytes.map((array) => readWire(datatype, count, array));
}

/** Tensors of every datatype, any bits in them, at least one dimension. */
export const anyTensor: fc.Arbitrary<NamedTensor> = fc
  .tuple(
    fc.string({ minLength: 1 }),
    fc.constantFrom(...datatypes),
    fc.array(fc.nat(4), { minLength: 1, maxLength: 3 }),
  )
  .chain(([name, datatype, shape]) => {
    const count = shape.reduce((product, dimension) => product * dimension, 1);
    return dataOf(datatype, count).map((data) => ({ name, datatype, shape, data }));
  });
