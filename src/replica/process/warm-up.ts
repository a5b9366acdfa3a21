/** The first runs of a graph, which are slow, and what they teach: whether rows influence one another. */
import type { Signature, TensorSpec } from '../../signature/signature.ts';
import { stack, unstack } from '../../tensor/batch.ts';
import { allocate, elementCount, floats, toFloat16Bits, type NamedTensor } from '../../tensor/tensor.ts';
import type { Run } from './runner.ts';

const MOST_RUNS = 5;
/** A slow model is warm after fewer runs. */
const ENOUGH_MS = 500;

/** Relative to max(1, |value|). Different batch sizes take different kernels, whose sums round differently. */
const TOLERANCE = 1e-4;

/** Rows that are tried at once to learn what a row costs; fewer where one alone takes long. */
const MANY_ROWS = 8;
const FEW_ROWS = 2;
const SLOW_MS = 60;
/** Each is measured this often; the fastest counts, as whatever disturbs a run only makes it slower. */
const MEASURED = 3;

export interface Learnt {
  /** Whether a row's answer is the same whatever stands beside it. */
  readonly rowsIndependent: boolean;
  /** Rows of several requests that are best run together; 0 or 1 when none are. */
  readonly sharedRows: number;
}

/**
 * Runs the graph a few times on an empty row, then on two different rows, apart and together. When the two rows' answers
 * are not the same both ways (a dynamically quantised graph takes its scale from the whole batch), requests must not
 * share a run: an answer would depend on who else asks.
 */
export async function warmUp(run: Run, signature: Signature): Promise<Learnt> {
  const outputs = signature.outputs.map(({ name }) => name);
  const startedAt = performance.now();
  try {
    const empty = signature.inputs.map((spec) => probe(spec, 0));
    for (let done = 0; done < MOST_RUNS && performance.now() - startedAt < ENOUGH_MS; done++) {
      await run(empty, outputs);
    }
  } catch {
    // Not every graph takes an empty row; that says nothing about the rows to come.
  }
  const isBatch = signature.inputs.every((spec) => spec.shape[0] === -1);
  if (!isBatch || !(await compareRows(run, signature, outputs)))
    return { rowsIndependent: false, sharedRows: 0 };
  return { rowsIndependent: true, sharedRows: await measureRows(run, signature, outputs) };
}

/** How many rows are best run together, by what one row and what several cost. */
async function measureRows(run: Run, signature: Signature, outputs: readonly string[]): Promise<number> {
  const row = signature.inputs.map((spec) => probe(spec, 1));
  try {
    const one = await fastest(run, row, outputs, 1);
    const rows = one < SLOW_MS ? MANY_ROWS : FEW_ROWS;
    const many = await fastest(run, stack(Array.from({ length: rows }, () => row)), outputs, rows);
    return worthSharing(one, many, rows);
  } catch {
    // Made-up values are outside of what this graph takes: nothing is known, so nothing speaks against it.
    return Number.MAX_SAFE_INTEGER;
  }
}

async function fastest(
  run: Run,
  inputs: readonly NamedTensor[],
  outputs: readonly string[],
  rows: number,
): Promise<number> {
  let best = Infinity;
  const startedAt = performance.now();
  for (let done = 0; done < MEASURED; done++) {
    const began = performance.now();
    await run(inputs, outputs);
    best = Math.min(best, performance.now() - began);
    if (performance.now() - startedAt > SLOW_MS * rows) break;
  }
  return best;
}

/** A shared run may take this many times what a run costs without its rows, or this long, whichever is longer. */
const GAIN = 4;
const CHEAP_MS = 2;

/**
 * A run costs something, and each row in it. Sharing spares the first; the price is that everybody waits for all rows.
 * So rows are added only until they cost a few times what they spare: with a graph that takes them one after the other
 * there is nothing to gain.
 */
export function worthSharing(oneMs: number, manyMs: number, many: number): number {
  const perRow = Math.max(0, (manyMs - oneMs) / (many - 1));
  const perRun = Math.max(0, oneMs - perRow);
  if (perRow === 0) return Number.MAX_SAFE_INTEGER;
  return Math.max(1, Math.floor(Math.max(GAIN * perRun, CHEAP_MS) / perRow));
}

async function compareRows(run: Run, signature: Signature, outputs: readonly string[]): Promise<boolean> {
  const rows = [1, 1000].map((scale) => signature.inputs.map((spec) => probe(spec, scale)));
  try {
    const apart: NamedTensor[][] = [];
    for (const row of rows) apart.push(await run(row, outputs));
    const together = unstack(await run(stack(rows), outputs), [1, 1]);
    if (together === null) return false;
    return apart.every((one, row) => together[row]!.every((output, index) => close(one[index]!, output)));
  } catch {
    // Made-up values are outside of what this graph takes. Failing apart from a batch remains: see Batcher.
    return signature.outputs.every((spec) => spec.shape.length > 0);
  }
}

/** One row of pseudo-random values below `scale`, the same at every start; 0 gives zeros and empty texts. */
function probe(spec: TensorSpec, scale: number): NamedTensor {
  const shape = spec.shape.map((dimension) => (dimension === -1 ? 1 : dimension));
  const count = elementCount(shape) ?? 0;
  const data = allocate(spec.datatype, count);
  const { name, datatype } = spec;
  if (scale === 0) return { name, datatype, shape, data };
  let seed = 1 + scale;
  for (let at = 0; at < count; at++) {
    // Numerical Recipes' linear congruential generator, 32 bits.
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    const value = (seed / 2 ** 32) * scale;
    if (Array.isArray(data)) data[at] = `probe ${Math.floor(value)}`;
    else if (datatype === 'FP16') data[at] = toFloat16Bits(value);
    else if (datatype === 'BOOL') data[at] = value * 2 > scale ? 1 : 0;
    else if (datatype === 'INT64' || datatype === 'UINT64') data[at] = BigInt(Math.floor(value));
    else data[at] = datatype === 'FP32' || datatype === 'FP64' ? value : Math.floor(value);
  }
  return { name, datatype, shape, data };
}

function close(one: NamedTensor, other: NamedTensor): boolean {
  if (one.data.length !== other.data.length) return false;
  const [left, right] = [floats(one), floats(other)];
  if (left === null || right === null) {
    return [...one.data].every((element, at) => element === other.data[at]);
  }
  return left.every((value, at) => {
    const twin = right[at]!;
    if (Object.is(value, twin)) return true;
    return Math.abs(value - twin) <= TOLERANCE * Math.max(1, Math.abs(value));
  });
}
