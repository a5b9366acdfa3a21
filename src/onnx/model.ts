/** Reads a model file without trust and without a runtime (onnx.proto: ModelProto). */
import type { ExternalData } from './external-data.ts';
import { foreignFormat, looksLikeText } from './foreign-format.ts';
import { domainName, once, readGraph, readNode } from './graph.ts';
import type { OnTensor, OnnxGraph, OnnxNode } from './graph.ts';
import { OnnxFormatError } from './onnx.errors.ts';
import { expectWire, fields, integer, text, wireTypes } from './protobuf.ts';
import type { Span } from './protobuf.ts';
import { rawBytes } from './tensor.ts';
import type { OnnxTensor } from './tensor.ts';
import type { OnnxValue } from './value-type.ts';

/** A tensor's place in a file beside the model. */
interface ExternalTensor extends ExternalData {
  readonly tensor: string;
  /** Bytes that the file must hold at least; unknown parts count as none. */
  readonly needs: number;
}

export interface OnnxModel {
  /** The whole file: nodes, attributes and tensors are spans of it. */
  readonly bytes: Buffer;
  /** Where the graph lies in `bytes`. */
  readonly graphSpan: Span;
  readonly irVersion: number;
  /** Name and version of the program that wrote it, such as `skl2onnx 1.20.0`; null when it does not say. */
  readonly producer: string | null;
  /** Operator set versions by domain; the default domain is `ai.onnx`. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly name: string;
  /** What a caller must feed: the graph's inputs without those that an initializer gives a value. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Of the main graph, in the file's order; those of nested graphs and functions are checked but not kept. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  readonly external: readonly ExternalTensor[];
}

/** Protocol Buffers cannot be larger. */
export const maxModelBytes = 2 ** 31 - 1;

/** Versions of the format so far are 1 to 13; what the runtime bears it says itself. */
const maxIrVersion = 100;

interface Header {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  graph: OnnxGraph | undefined;
  graphSpan: Span | undefined;
  readonly opsets: Map<string, number>;
}

/** OperatorSetIdProto: 1 domain, 2 version. */
function addOpset(bytes: Buffer, span: Span, opsets: Map<string, number>): void {
  let [domain, version] = ['', 0];
  for (const field of fields(bytes, span, 'an operator set import')) {
    if (field.number === 1) domain = text(bytes, field, 'an operator set import');
    if (field.number === 2) version = integer(bytes, field, 'an operator set import');
  }
  opsets.set(domainName(domain), version);
}

/** TrainingInfoProto: 1 initialization, 2 algorithm. FunctionProto: 7 node. */
function checkNested(bytes: Buffer, span: Span, graphs: readonly number[], onTensor: OnTensor): void {
  for (const field of fields(bytes, span, 'the model')) {
    if (graphs.includes(field.number)) {
      readGraph(bytes, expectWire(field, wireTypes.bytes, 'the model'), onTensor, 1);
    } else if (graphs.length === 0 && field.number === 7) {
      readNode(bytes, expectWire(field, wireTypes.bytes, 'a function'), onTensor, 1);
    }
  }
}

/** ModelProto: 1 ir_version, 2 producer_name, 3 producer_version, 7 graph, 8 opset_import, 20 training_info, 25 functions. */
function readHeader(bytes: Buffer, onTensor: OnTensor): Header {
  const what = 'the model';
  const header: Header = {
    irVersion: 0,
    producerName: '',
    producerVersion: '',
    graph: undefined,
    graphSpan: undefined,
    opsets: new Map(),
  };
  const seen = new Set<number>();
  for (const field of fields(bytes, { start: 0, end: bytes.length }, what)) {
    if (field.number === 1) header.irVersion = integer(bytes, field, what);
    else if (field.number === 2) header.producerName = text(bytes, field, what);
    else if (field.number === 3) header.producerVersion = text(bytes, field, what);
    else if (field.number === 7) {
      header.graph = readGraph(bytes, once(seen, field, what), onTensor);
      header.graphSpan = { start: field.start, end: field.end };
    } else if (field.number === 8) {
      addOpset(bytes, expectWire(field, wireTypes.bytes, what), header.opsets);
    } else if (field.number === 20 || field.number === 25) {
      expectWire(field, wireTypes.bytes, what);
      checkNested(bytes, field, field.number === 20 ? [1, 2] : [], onTensor);
    }
  }
  return header;
}

function placeOf(tensor: OnnxTensor): ExternalTensor | undefined {
  if (tensor.external === null) return undefined;
  const needs = tensor.external.offset + (tensor.external.length ?? rawBytes(tensor));
  return { ...tensor.external, tensor: tensor.name, needs };
}

function checkedHead(bytes: Buffer): void {
  if (bytes.length === 0) throw new OnnxFormatError('The file is empty.', 0);
  const foreign = foreignFormat(bytes.subarray(0, 64));
  if (foreign !== undefined) {
    throw new OnnxFormatError(`This is not an ONNX file: it starts like ${foreign}.`, 0);
  }
}

function readOrName(bytes: Buffer, onTensor: OnTensor): Header {
  try {
    return readHeader(bytes, onTensor);
  } catch (error) {
    if (!(error instanceof OnnxFormatError) || !looksLikeText(bytes.subarray(0, 512))) throw error;
    throw new OnnxFormatError('This is not an ONNX file: it is text.', 0);
  }
}

/**
 * Reads the structure of an ONNX file; weights are skipped where they lie.
 * @throws OnnxFormatError when it is empty, of another format, truncated, malformed, without a graph, output or
 * operator set, nested too deep, or when its external data point out of its folder.
 */
export function readOnnxModel(bytes: Buffer): OnnxModel {
  checkedHead(bytes);
  const external: ExternalTensor[] = [];
  const header = readOrName(bytes, (tensor) => {
    const place = placeOf(tensor);
    if (place !== undefined) external.push(place);
  });
  const { graph, graphSpan, irVersion, opsets } = header;
  const missing = (what: string) =>
    new OnnxFormatError(`This is not a whole ONNX model: it has no ${what}.`, bytes.length);
  if (irVersion < 1 || irVersion > maxIrVersion) {
    throw new OnnxFormatError(
      `This is not an ONNX model: the format version ${irVersion} does not exist.`,
      0,
    );
  }
  if (graph === undefined || graphSpan === undefined) throw missing('graph');
  if (graph.outputs.length === 0) throw missing('output');
  if (opsets.size === 0) throw missing('operator set import');
  const initializers = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  return {
    bytes,
    graphSpan,
    irVersion,
    opsets,
    initializers,
    external,
    producer: `${header.producerName} ${header.producerVersion}`.trim() || null,
    name: graph.name,
    inputs: graph.inputs.filter((input) => !initializers.has(input.name)),
    outputs: graph.outputs,
    nodes: graph.nodes,
  };
}
