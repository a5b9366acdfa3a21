/** One JSON value into one element of a typed array: the rules of every datatype, for tensors and rows alike. */
import type { Datatype } from '../signature/signature.ts';
import { describe } from './issues.ts';
import { toFloat16Bits, type TensorData } from './tensor.ts';

interface CellFault {
  readonly expected: string;
  readonly found: string;
  readonly why: string;
}

/** Writes a value at an index, or says what is wrong with it; then nothing was written. */
export type CellWriter = (data: TensorData, at: number, value: unknown) => CellFault | null;

const fault = (expected: string, value: unknown, why = ''): CellFault => ({
  expected,
  found: describe(value),
  why,
});

/** Smallest magnitudes that round to infinity: half a step (ties to even) above the largest finite value. */
const overflow = { FP16: 65_520, FP32: 2 ** 128 - 2 ** 103, FP64: Number.POSITIVE_INFINITY };
const special: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
};
type FloatDatatype = keyof typeof overflow;

/** What is written for a value that is no finite number in range; undefined where it is refused. */
function specialFloat(value: unknown, nullable: boolean): number | undefined {
  if (!nullable) return undefined;
  if (value === null) return Number.NaN;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : value;
  return typeof value === 'string' && Object.hasOwn(special, value) ? special[value] : undefined;
}

function floatFault(datatype: FloatDatatype, value: unknown, nullable: boolean): CellFault {
  const bits = { FP16: 'float16', FP32: 'float32', FP64: 'float64' }[datatype];
  if (typeof value === 'number' && Number.isFinite(value)) return fault(`a number within ${bits}`, value);
  const missing =
    value === null ||
    typeof value === 'number' ||
    (typeof value === 'string' && Object.hasOwn(special, value));
  const why =
    missing && !nullable ? 'This input has no missing values: its signature does not say nullable.' : '';
  return fault(nullable ? 'a number, "NaN" or null' : 'a finite number', value, why);
}

// One literal function per width: the engine then sees one kind of array in each.

function float32Writer(nullable: boolean): CellWriter {
  const limit = overflow.FP32;
  return (data, at, value) => {
    if (typeof value === 'number' && value < limit && value > -limit) {
      (data as Float32Array)[at] = value;
      return null;
    }
    const other = specialFloat(value, nullable);
    if (other === undefined) return floatFault('FP32', value, nullable);
    (data as Float32Array)[at] = other;
    return null;
  };
}

function float64Writer(nullable: boolean): CellWriter {
  return (data, at, value) => {
    const number =
      typeof value === 'number' && Number.isFinite(value) ? value : specialFloat(value, nullable);
    if (number === undefined) return floatFault('FP64', value, nullable);
    (data as Float64Array)[at] = number;
    return null;
  };
}

function float16Writer(nullable: boolean): CellWriter {
  return (data, at, value) => {
    const fits = typeof value === 'number' && Math.abs(value) < overflow.FP16;
    const number = fits ? value : specialFloat(value, nullable);
    if (number === undefined) return floatFault('FP16', value, nullable);
    (data as Uint16Array)[at] = toFloat16Bits(number);
    return null;
  };
}

function integerWriter(datatype: Datatype, least: number, most: number): CellWriter {
  return (data, at, value) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) {
      (data as Int32Array)[at] = value;
      return null;
    }
    return fault(`an integer of ${datatype}, ${least} to ${most}`, value);
  };
}

function bigIntegerWriter(datatype: Datatype, least: bigint, most: bigint): CellWriter {
  const expected = `an integer of ${datatype}, ${least} to ${most}`;
  return (data, at, value) => {
    let integer: bigint;
    if (typeof value === 'number' && Number.isSafeInteger(value)) integer = BigInt(value);
    else if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) integer = BigInt(value);
    else {
      const rounded = typeof value === 'number' && Number.isInteger(value);
      return fault(
        expected,
        value,
        rounded ? 'Beyond 2^53 - 1 a JSON number is rounded: send it as a string.' : '',
      );
    }
    if (integer < least || integer > most) return fault(expected, value);
    (data as BigInt64Array)[at] = integer;
    return null;
  };
}

const booleanWriter: CellWriter = (data, at, value) => {
  if (typeof value !== 'boolean') return fault('true or false', value);
  (data as Uint8Array)[at] = value ? 1 : 0;
  return null;
};

/** What is wrong with a text that is meant for a model; null when nothing is. */
export function textFault(value: string): CellFault | null {
  if (value.includes('\0')) {
    return fault('text without NUL characters', value, 'onnxruntime silently cuts a text at its first NUL.');
  }
  return value.isWellFormed() ? null : fault('well-formed Unicode text', value, 'It holds a lone surrogate.');
}

function textWriter(nullable: boolean): CellWriter {
  return (data, at, value) => {
    // A missing text enters graphs that impute it as the empty one (scikit-learn's exporters).
    const text = value === null && nullable ? '' : value;
    if (typeof text !== 'string') return fault(nullable ? 'text or null' : 'text', value);
    const wrong = textFault(text);
    if (wrong !== null) return wrong;
    (data as string[])[at] = text;
    return null;
  };
}

/** The writer for a datatype's array. */
export function cellWriter(datatype: Datatype, nullable: boolean): CellWriter {
  switch (datatype) {
    case 'FP32':
      return float32Writer(nullable);
    case 'FP64':
      return float64Writer(nullable);
    case 'FP16':
      return float16Writer(nullable);
    case 'BYTES':
      return textWriter(nullable);
    case 'BOOL':
      return booleanWriter;
    case 'INT64':
      return bigIntegerWriter(datatype, -(2n ** 63n), 2n ** 63n - 1n);
    case 'UINT64':
      return bigIntegerWriter(datatype, 0n, 2n ** 64n - 1n);
    default: {
      const bits = Number(datatype.replace(/\D/g, ''));
      return datatype.startsWith('U')
        ? integerWriter(datatype, 0, 2 ** bits - 1)
        : integerWriter(datatype, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1);
    }
  }
}
