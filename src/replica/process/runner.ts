import { Tensor, type RuntimeTensor, type Session } from '../../platform/onnx-runtime.ts';
import type { Datatype } from '../../signature/signature.ts';
import type { NamedTensor, TensorData } from '../../tensor/tensor.ts';

const runtimeTypes = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
} as const satisfies Record<Datatype, RuntimeTensor['type']>;

const datatypeOf = new Map<string, Datatype>(
  Object.entries(runtimeTypes).map(([datatype, type]) => [type, datatype as Datatype]),
);

function toRuntime({ datatype, shape, data }: NamedTensor): RuntimeTensor {
  const type = runtimeTypes[datatype];
  if (datatype === 'FP16') {
    // onnxruntime-node 1.30 turns the bits into a Float16Array (Node 24 has one), which its binding then cannot read.
    // The binding itself takes anything with these four members.
    return { type, dims: shape, data, location: 'cpu' } as unknown as RuntimeTensor;
  }
  return new Tensor(type as 'float32', data as Float32Array, shape);
}

function fromRuntime(name: string, tensor: RuntimeTensor): NamedTensor {
  const datatype = datatypeOf.get(tensor.type);
  if (datatype === undefined)
    throw new Error(`Output ${JSON.stringify(name)} is a tensor of ${tensor.type}.`);
  const raw = tensor.data as TensorData | Float16Array;
  const data = raw instanceof Float16Array ? new Uint16Array(raw.buffer, raw.byteOffset, raw.length) : raw;
  return { name, datatype, shape: tensor.dims, data };
}

/** Runs a graph: inputs to the named outputs, in that order. Blocks the thread. */
export type Run = (inputs: readonly NamedTensor[], outputs: readonly string[]) => Promise<NamedTensor[]>;

/** @returns a function that throws the runtime's own Error. */
export function runner(session: Session): Run {
  return async (inputs, outputs) => {
    const feeds: Record<string, RuntimeTensor> = {};
    for (const input of inputs) feeds[input.name] = toRuntime(input);
    const results = await session.run(feeds, outputs);
    return outputs.map((name) => fromRuntime(name, results[name] as RuntimeTensor));
  };
}
