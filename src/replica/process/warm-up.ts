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
const SLOW_MS = 20;
/**
 * One row and several are run by turns, so often, and the fastest of each counts: whatever disturbs a run only makes it
 * slower. No further turn begins once they have taken this long.
 */
const TURNS = 3;
const TURNS_MS = 1000;

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
 *
 * @param threads that a run takes.
 */
export async function warmUp(run: Run, signature: Signature, threads: number): Promise<Learnt> {
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
  return {
    rowsIndependent: true,
    sharedRows: await measureRows(run, signature, outputs, threads === 1 ? cpuMs : wallMs),
  };
}

/** What a run takes, in milliseconds: several threads that wait for one another say more by the clock, ... */
const wallMs = (): number => performance.now();
/** ... and a single one, which is the one that asks, by what it computed, whoever else keeps the machine busy. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** How many rows are best run together, by what one row and what several cost. */
async function measureRows(
  run: Run,
  signature: Signature,
  outputs: readonly string[],
  nowMs: () => number,
): Promise<number> {
  const row = signature.inputs.map((spec) => probe(spec, 1));
  const timed = async (inputs: readonly NamedTensor[]): Promise<number> => {
    const began = nowMs();
    await run(inputs, outputs);
    return nowMs() - began;
  };
  try {
    const startedAt = performance.now();
    let one = await timed(row);
    const rows = one < SLOW_MS ? MANY_ROWS : FEW_ROWS;
    const several = stack(Array.from({ length: rows }, () => row));
    let many = await timed(several);
    for (let turn = 1; turn < TURNS && performance.now() - startedAt < TURNS_MS; turn++) {
      one = Math.min(one, await timed(row));
      many = Math.min(many, await timed(several));
    }
    return worthSharing(one, many, rows);
  } catch {
    // Made-up values are outside of what this graph takes: nothing is known, so nothing speaks against it.
    return Number.MAX_SAFE_INTEGER;
  }
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
