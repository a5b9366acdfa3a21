/** Whether two arms answer the same request alike. Pure. */
import type { Signature } from '../signature/signature.ts';
import { rowResults } from '../tensor/results.ts';
import { floats, rowSize, type NamedTensor } from '../tensor/tensor.ts';

export interface ArmAnswer {
  readonly signature: Signature;
  readonly outputs: readonly NamedTensor[];
}

/**
 * The first row at which the candidate's answer differs from the stable arm's; null where both agree on all rows. They
 * differ where their labels do (other texts among the outputs are taken for labels), where one has a number and the other
 * NaN or an infinity, and, with a tolerance, where any number of an output differs by more.
 */
export function disagreementOf(
  stable: ArmAnswer,
  candidate: ArmAnswer,
  rows: number,
  tolerance: number | null,
): number | null {
  let first = labelDifference(stable, candidate, rows) ?? rows;
  for (const output of stable.outputs) {
    const other = candidate.outputs.find(({ name }) => name === output.name);
    if (output.name !== stable.signature.labelOutput)
      first = Math.min(first, outputDifference(output, other, rows, tolerance) ?? rows);
  }
  return first < rows ? first : null;
}

function labelDifference(stable: ArmAnswer, candidate: ArmAnswer, rows: number): number | null {
  const ours = rowResults(stable.signature, stable.outputs, rows);
  const theirs = rowResults(candidate.signature, candidate.outputs, rows);
  const at = ours.findIndex(({ label }, row) => label !== theirs[row]!.label);
  return at === -1 ? null : at;
}

/** Reads an element as something to compare. */
type Reader = (at: number) => number | bigint | string;

function readerOf(tensor: NamedTensor): Reader {
  const numbers = floats(tensor);
  if (numbers !== null) return (at) => numbers[at]!;
  const { data } = tensor;
  return (at) => data[at]!;
}

/** The first row of an output that differs; what has no row for each row of the request counts as row 0. */
function outputDifference(
  stable: NamedTensor,
  candidate: NamedTensor | undefined,
  rows: number,
  tolerance: number | null,
): number | null {
  if (candidate?.data.length !== stable.data.length) return tolerance === null ? null : 0;
  const [read, readOther] = [readerOf(stable), readerOf(candidate)];
  const step = stable.shape[0] === rows ? Math.max(1, rowSize(stable.shape)) : stable.data.length;
  for (let at = 0; at < stable.data.length; at++)
    if (differ(read(at), readOther(at), tolerance)) return Math.floor(at / step);
  return null;
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
