/** What only the runtime can tell: whether it takes the graph, and what a run answers. */
import { loadSession, Tensor } from '../platform/onnx-runtime.ts';
import type { RuntimeTensor, Session } from '../platform/onnx-runtime.ts';
import type { OnnxModel } from '../onnx/model.ts';
import { elemTypeName } from '../onnx/value-type.ts';
import type { OnnxValue } from '../onnx/value-type.ts';

type Loaded =
  | { readonly outcome: 'loaded'; readonly session: Session }
  /** The graph is at fault. */
  | { readonly outcome: 'refused'; readonly reason: string }
  /** This host is at fault: another may load it. */
  | { readonly outcome: 'host'; readonly warning: string };

/** The runtime's words without the paths and signatures of its own source, and without those of this host. */
export function plainMessage(message: string, path: string): string {
  return message
    .replaceAll(path, 'the model')
    .replace(/^Load model from .*? failed:/, '')
    .replace(/\/onnxruntime_src\/\S+:\d+ .*?\)>? (?=[A-Z[])/s, '')
    .replace(/\b\w+\.(?:cc|h):\d+ \w+ /, ' ')
    .replaceAll(/\s+/g, ' ')
    .replace(/^Exception during initialization: |^Fatal error: /, '')
    .trim();
}

/** Loads the served graph as a replica will. */
export async function tryLoading(path: string): Promise<Loaded> {
  try {
    return { outcome: 'loaded', session: await loadSession(path, { threads: 1 }) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const locale = /locale with name:([\w.@-]+)/.exec(message)?.[1];
    if (locale === undefined) {
      return {
        outcome: 'refused',
        reason: `The runtime does not take this model: ${plainMessage(message, path)}`,
      };
    }
    const warning = `The model needs the system locale ${locale}, which this host does not have; it can be deployed only on hosts that do.`;
    return { outcome: 'host', warning };
  }
}

/** @returns what is wrong, if the runtime sees other inputs or outputs than the signature does. */
export function disagreement(
  session: Session,
  served: Pick<OnnxModel, 'inputs' | 'outputs'>,
): string | undefined {
  for (const [what, ours, theirs] of [
    ['inputs', served.inputs, session.inputNames],
    ['outputs', served.outputs, session.outputNames],
  ] as const) {
    const found = new Set(theirs);
    if (ours.length === found.size && ours.every((value) => found.has(value.name))) continue;
    const names = ours.map((value) => value.name).join(', ');
    return `The file declares the ${what} ${names}, but the runtime finds ${theirs.join(', ')}.`;
  }
  return undefined;
}

/** More than this for one row is no cheap trial. */
const maxTrialCells = 10_000_000;

type Blank = (cells: number, dims: readonly number[]) => RuntimeTensor;

const blanks: Readonly<Record<string, Blank>> = {
  float: (cells, dims) => new Tensor('float32', new Float32Array(cells), dims),
  double: (cells, dims) => new Tensor('float64', new Float64Array(cells), dims),
  float16: (cells, dims) => new Tensor('float16', new Uint16Array(cells), dims),
  int8: (cells, dims) => new Tensor('int8', new Int8Array(cells), dims),
  uint8: (cells, dims) => new Tensor('uint8', new Uint8Array(cells), dims),
  int16: (cells, dims) => new Tensor('int16', new Int16Array(cells), dims),
  uint16: (cells, dims) => new Tensor('uint16', new Uint16Array(cells), dims),
  int32: (cells, dims) => new Tensor('int32', new Int32Array(cells), dims),
  uint32: (cells, dims) => new Tensor('uint32', new Uint32Array(cells), dims),
  int64: (cells, dims) => new Tensor('int64', new BigInt64Array(cells), dims),
  uint64: (cells, dims) => new Tensor('uint64', new BigUint64Array(cells), dims),
  bool: (cells, dims) => new Tensor('bool', new Uint8Array(cells), dims),
  string: (cells, dims) => new Tensor('string', Array.from<string>({ length: cells }).fill(''), dims),
};

/** A tensor of zeros (or empty texts) with 1 for every variable size; undefined when it would be large. */
function blank({ type }: OnnxValue): RuntimeTensor | undefined {
  if (type.kind !== 'tensor') return undefined;
  const dims = (type.dims ?? [1]).map((dim) => Math.max(dim, dim < 0 ? 1 : 0));
  const cells = dims.reduce((product, dim) => product * dim, 1);
  if (cells > maxTrialCells) return undefined;
  return blanks[elemTypeName(type.elemType)]?.(cells, dims);
}

/**
 * Runs one row of zeros.
 * @returns the shape of each output, or undefined where a row would not be small.
 * @throws Error with the runtime's message; zeros may be no legal input, so it proves little.
 */
export async function trialRun(
  session: Session,
  inputs: readonly OnnxValue[],
): Promise<ReadonlyMap<string, readonly number[]> | undefined> {
  const feeds: Record<string, RuntimeTensor> = {};
  for (const input of inputs) {
    const tensor = blank(input);
    if (tensor === undefined) return undefined;
    feeds[input.name] = tensor;
  }
  const results = await session.run(feeds);
  return new Map(Object.entries(results).map(([name, tensor]) => [name, tensor.dims]));
}

/** Fills in the shapes that the file leaves undeclared; the first dimension is the row when inputs have rows. */
export function withObservedShapes(
  served: OnnxModel,
  observed: ReadonlyMap<string, readonly number[]>,
): OnnxModel {
  const hasRows = served.inputs.some(({ type }) => type.kind === 'tensor' && type.dims?.[0] === -1);
  const outputs = served.outputs.map((output) => {
    const dims = observed.get(output.name);
    if (output.type.kind !== 'tensor' || output.type.dims !== null || dims === undefined) return output;
    const shape = dims.map((dim, at) => (at === 0 && hasRows ? -1 : dim));
    return { name: output.name, type: { ...output.type, dims: shape } };
  });
  return { ...served, outputs };
}
