/**
 * joblib's arrays: in place of one stands a wrapper, and right after the BUILD that gives the wrapper its attributes
 * lie the array's raw bytes (joblib/numpy_pickle.py: NumpyArrayWrapper.read_array). A reader that takes those for
 * opcodes loses its place; one that skips too many or too few misses what an attacker has put there.
 */
import { dtypeOf, shapeOf } from './dtype.ts';
import type { ElementType } from './dtype.ts';
import { isInstance, isReaderClass } from './value.ts';
import type { Instance, Value } from './value.ts';

export interface WrappedArray {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Whether a byte that counts padding, and the padding, lie before the elements (joblib 1.2 and later). */
  readonly padded: boolean;
}

/** joblib's largest padding: arrays are aligned to 16 bytes. */
export const maxPadding = 16;

function arrayOf(wrapper: Instance): WrappedArray | undefined {
  if (wrapper.partial) return undefined;
  const { attributes } = wrapper;
  const type = dtypeOf(attributes?.get('dtype'));
  const shape = shapeOf(attributes?.get('shape'));
  const alignment = attributes?.get('numpy_array_alignment_bytes') ?? null;
  if (type === undefined || shape === undefined) return undefined;
  if (alignment !== null && typeof alignment !== 'number') return undefined;
  return { type, shape, padded: alignment !== null };
}

/** The array that follows the BUILD of this value; undefined where it is no wrapper, or does not tell. */
export function wrappedBy(value: Value): WrappedArray | 'unclear' | undefined {
  return isInstance(value) && isReaderClass(value.callee) ? (arrayOf(value) ?? 'unclear') : undefined;
}

/** Bytes of all elements. Beyond 2^53 it is inexact, and more than any file has. */
export function arrayBytes({ type, shape }: WrappedArray): number {
  return shape.reduce((product, dimension) => product * dimension, type.size);
}
