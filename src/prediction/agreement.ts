/** Whether two arms answer a row of the same request alike. Pure. */
import type { Signature } from '../signature/signature.ts';
import { resultAt } from '../tensor/results.ts';
import { floats, rowSize, type NamedTensor } from '../tensor/tensor.ts';

export interface ArmAnswer {
  readonly signature: Signature;
  readonly outputs: readonly NamedTensor[];
}

/**
 * Whether the candidate's answer for a row differs from the stable arm's: where their labels do (other texts among the
 * outputs are taken for labels), where one has a number and the other NaN or an infinity, and, with a tolerance, where any
 * number of an output differs by more. One row of a request, because its rows are not independent of each other.
 */
export function disagreesAt(
  row: number,
  stable: ArmAnswer,
  candidate: ArmAnswer,
  rows: number,
  tolerance: number | null,
): boolean {
  const ours = resultAt(stable.signature, stable.outputs, rows, row);
  const theirs = resultAt(candidate.signature, candidate.outputs, rows, row);
  if (ours.label !== theirs.label) return true;
  return stable.outputs.some((output) => {
    if (output.name === stable.signature.labelOutput) return false;
    const other = candidate.outputs.find(({ name }) => name === output.name);
    return differsAt(row, output, other, rows, tolerance);
  });
}

/** Reads an element as something to compare. */
type Reader = (at: number) => number | bigint | string;

function readerOf(tensor: NamedTensor): Reader {
  const numbers = floats(tensor);
  if (numbers !== null) return (at) => numbers[at]!;
  const { data } = tensor;
  return (at) => data[at]!;
}

/** What has no row for each row of the request is compared as a whole. */
function differsAt(
  row: number,
  stable: NamedTensor,
  candidate: NamedTensor | undefined,
  rows: number,
  tolerance: number | null,
): boolean {
  if (candidate?.data.length !== stable.data.length) return tolerance !== null;
  const [read, readOther] = [readerOf(stable), readerOf(candidate)];
  const hasRows = stable.shape[0] === rows;
  const step = hasRows ? rowSize(stable.shape) : stable.data.length;
  const from = hasRows ? row * step : 0;
  for (let at = from; at < from + step; at++) if (differ(read(at), readOther(at), tolerance)) return true;
  return false;
}

function differ(one: ReturnType<Reader>, other: ReturnType<Reader>, tolerance: number | null): boolean {
  if (one === other) return false;
  if (typeof one === 'string' || typeof other === 'string') return true;
  // Of 64-bit integers the difference is exact, whatever their size.
  if (typeof one === 'bigint' && typeof other === 'bigint') return exceeds(Number(one - other), tolerance);
  const [a, b] = [Number(one), Number(other)];
  if (Number.isFinite(a) && Number.isFinite(b)) return exceeds(a - b, tolerance);
  return !Object.is(a, b);
}

const exceeds = (difference: number, tolerance: number | null): boolean =>
  tolerance !== null && Math.abs(difference) > tolerance;
