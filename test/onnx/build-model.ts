/** Writes small ONNX models for tests, field by field (onnx.proto). */
import { encodeBytes, encodeHeader, encodeInteger } from '#src/onnx/protobuf.ts';

/** TensorProto.DataType. */
export const elem = { float: 1, int32: 6, int64: 7, string: 8, bool: 9, double: 11, bfloat16: 16 } as const;

export interface ValueSpec {
  readonly name: string;
  readonly elem: number;
  /** -1 is variable; null declares no shape. */
  readonly dims: readonly number[] | null;
}

export interface NodeSpec {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: readonly Buffer[];
}

export interface ModelSpec {
  readonly nodes: readonly NodeSpec[];
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly (ValueSpec | Buffer)[];
  readonly initializers?: readonly Buffer[];
  /** Operator set versions by domain, '' being ai.onnx. */
  readonly opsets?: Readonly<Record<string, number>>;
  /** Fields of the ModelProto after all others. */
  readonly more?: readonly Buffer[];
}

/** ValueInfoProto as field `number`. */
function value(number: number, spec: ValueSpec): Buffer {
  const dims = (spec.dims ?? []).map((dim) => encodeBytes(1, dim < 0 ? [] : [encodeInteger(1, dim)]));
  const shape = spec.dims === null ? [] : [encodeBytes(2, dims)];
  const type = encodeBytes(2, [encodeBytes(1, [encodeInteger(1, spec.elem), ...shape])]);
  return encodeBytes(number, [encodeBytes(1, spec.name), type]);
}

/** A graph output of type seq(map(string, tensor(float))). */
export function sequenceOutput(name: string): Buffer {
  const float = encodeBytes(2, [encodeBytes(1, [encodeInteger(1, elem.float)])]);
  const map = encodeBytes(5, [encodeInteger(1, elem.string), float]);
  const sequence = encodeBytes(4, [encodeBytes(1, [map])]);
  return encodeBytes(12, [encodeBytes(1, name), encodeBytes(2, [sequence])]);
}

/** AttributeProto with strings (9; type 8). */
export function strings(name: string, values: readonly string[]): Buffer {
  const body = values.map((text) => encodeBytes(9, text));
  return encodeBytes(5, [encodeBytes(1, name), ...body, encodeInteger(20, 8)]);
}

/** AttributeProto with ints (8; type 7). */
export function ints(name: string, values: readonly number[]): Buffer {
  const body = values.map((each) => encodeInteger(8, each));
  return encodeBytes(5, [encodeBytes(1, name), ...body, encodeInteger(20, 7)]);
}

/** AttributeProto with one int (3; type 2). */
export function int(name: string, each: number): Buffer {
  return encodeBytes(5, [encodeBytes(1, name), encodeInteger(3, each), encodeInteger(20, 2)]);
}

/** AttributeProto with a graph (6; type 5). */
export function subgraph(name: string, graph: readonly Buffer[]): Buffer {
  return encodeBytes(5, [encodeBytes(1, name), encodeBytes(6, graph), encodeInteger(20, 5)]);
}

/** TensorProto's fields of a float tensor that lies in an external file. */
export function externalTensor(name: string, entries: Readonly<Record<string, string>>): Buffer[] {
  const external = Object.entries(entries).map(([key, text]) =>
    encodeBytes(13, [encodeBytes(1, key), encodeBytes(2, text)]),
  );
  const head = [encodeInteger(1, 2), encodeInteger(2, elem.float), encodeBytes(8, name)];
  return [...head, ...external, encodeInteger(14, 1)];
}

/** TensorProto's fields of a text tensor. */
export function textTensor(name: string, values: readonly string[]): Buffer[] {
  const head = [encodeInteger(1, values.length), encodeInteger(2, elem.string)];
  return [...head, ...values.map((text) => encodeBytes(6, text)), encodeBytes(8, name)];
}

/** TensorProto's fields of a one-dimensional tensor of int64. */
export function int64Tensor(name: string, values: readonly number[]): Buffer {
  const head = [encodeInteger(1, values.length), encodeInteger(2, elem.int64)];
  return Buffer.concat([...head, ...values.map((each) => encodeInteger(7, each)), encodeBytes(8, name)]);
}

export function node(spec: NodeSpec): Buffer {
  return encodeBytes(1, [
    ...spec.inputs.map((name) => encodeBytes(1, name)),
    ...spec.outputs.map((name) => encodeBytes(2, name)),
    encodeBytes(3, spec.outputs[0] ?? ''),
    encodeBytes(4, spec.op),
    ...(spec.attributes ?? []),
    ...(spec.domain === undefined ? [] : [encodeBytes(7, spec.domain)]),
  ]);
}

export function buildModel(spec: ModelSpec): Buffer {
  const graph = Buffer.concat([
    ...spec.nodes.map(node),
    encodeBytes(2, 'test'),
    ...(spec.initializers ?? []).map((tensor) => encodeBytes(5, [tensor])),
    ...spec.inputs.map((input) => value(11, input)),
    ...spec.outputs.map((output) => (Buffer.isBuffer(output) ? output : value(12, output))),
  ]);
  const opsets = Object.entries(spec.opsets ?? { '': 17, 'ai.onnx.ml': 1 }).map(([domain, version]) =>
    encodeBytes(8, [encodeBytes(1, domain), encodeInteger(2, version)]),
  );
  const head = [encodeInteger(1, 8), encodeBytes(2, 'test')];
  return Buffer.concat([...head, encodeHeader(7, graph.length), graph, ...opsets, ...(spec.more ?? [])]);
}

/** Identity from x to y, both float [-1, 2]. */
export const identityModel: ModelSpec = {
  nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
  inputs: [{ name: 'x', elem: elem.float, dims: [-1, 2] }],
  outputs: [{ name: 'y', elem: elem.float, dims: [-1, 2] }],
};

/** A Loop without trip count whose condition stays true: it loads, and never ends. */
export function endlessLoop(): Buffer {
  const body = [
    node({ op: 'Identity', inputs: ['condition'], outputs: ['again'] }),
    node({ op: 'Identity', inputs: ['before'], outputs: ['after'] }),
    encodeBytes(2, 'body'),
    value(11, { name: 'iteration', elem: elem.int64, dims: [] }),
    value(11, { name: 'condition', elem: elem.bool, dims: [] }),
    value(11, { name: 'before', elem: elem.float, dims: [-1, 2] }),
    value(12, { name: 'again', elem: elem.bool, dims: [] }),
    value(12, { name: 'after', elem: elem.float, dims: [-1, 2] }),
  ];
  const always = [encodeInteger(2, elem.bool), encodeInteger(5, 1), encodeBytes(8, 'always')];
  return buildModel({
    ...identityModel,
    nodes: [
      { op: 'Loop', inputs: ['', 'always', 'x'], outputs: ['y'], attributes: [subgraph('body', body)] },
    ],
    initializers: [Buffer.concat(always)],
  });
}
