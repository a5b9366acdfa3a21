/** Nodes and graphs (onnx.proto: GraphProto, NodeProto, AttributeProto), walked without touching the weights. */
import { OnnxFormatError } from './onnx.errors.ts';
import { expectWire, fields, text, wireTypes } from './protobuf.ts';
import type { Field, Span } from './protobuf.ts';
import { readTensor } from './tensor.ts';
import type { OnnxAttribute, OnnxTensor } from './tensor.ts';
import { readValue } from './value-type.ts';
import type { OnnxValue } from './value-type.ts';

export interface OnnxNode extends Span {
  readonly opType: string;
  /** `ai.onnx` where the file leaves it empty. */
  readonly domain: string;
  readonly name: string;
  /** '' stands for an optional input that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: readonly OnnxAttribute[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  /** As declared, initializers with defaults among them. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly OnnxTensor[];
}

/** Exporters nest a handful of levels; the limit keeps a hostile file from exhausting the call stack. */
const maxGraphDepth = 32;

/** Sees every tensor with external data, however deep it lies. */
export type OnTensor = (tensor: OnnxTensor) => void;

export function domainName(domain: string): string {
  return domain === '' ? 'ai.onnx' : domain;
}

/**
 * Refuses a message field that occurs twice: Protocol Buffers merge the two, so that what was checked in each
 * alone would not be what the runtime sees.
 */
export function once(seen: Set<number>, field: Field, what: string): Field {
  if (seen.has(field.number)) {
    throw new OnnxFormatError(`Malformed ONNX: ${what} holds field ${field.number} twice.`, field.tagAt);
  }
  seen.add(field.number);
  return expectWire(field, wireTypes.bytes, what);
}

/** SparseTensorProto: 1 values, 2 indices. Its name is that of its values. */
function readSparse(bytes: Buffer, span: Span, onTensor: OnTensor): OnnxTensor | undefined {
  const seen = new Set<number>();
  let values: OnnxTensor | undefined;
  for (const field of fields(bytes, span, 'a sparse tensor')) {
    if (field.number > 2) continue;
    const tensor = readTensor(bytes, once(seen, field, 'a sparse tensor'));
    onTensor(tensor);
    if (field.number === 1) values = tensor;
  }
  return values;
}

function readAttribute(bytes: Buffer, span: Span, onTensor: OnTensor, depth: number): OnnxAttribute {
  const what = 'an attribute';
  const seen = new Set<number>();
  let name = '';
  for (const field of fields(bytes, span, what)) {
    switch (field.number) {
      case 1:
        name = text(bytes, field, what);
        break;
      case 5:
        onTensor(readTensor(bytes, once(seen, field, what)));
        break;
      case 10:
        onTensor(readTensor(bytes, expectWire(field, wireTypes.bytes, what)));
        break;
      case 6:
        readGraph(bytes, once(seen, field, what), onTensor, depth + 1);
        break;
      case 11:
        readGraph(bytes, expectWire(field, wireTypes.bytes, what), onTensor, depth + 1);
        break;
      case 22:
        readSparse(bytes, once(seen, field, what), onTensor);
        break;
      case 23:
        readSparse(bytes, expectWire(field, wireTypes.bytes, what), onTensor);
        break;
      default:
    }
  }
  return { name, start: span.start, end: span.end };
}

/** NodeProto: 1 input, 2 output, 3 name, 4 op_type, 5 attribute, 7 domain. */
export function readNode(bytes: Buffer, span: Span, onTensor: OnTensor, depth: number): OnnxNode {
  const what = 'a node';
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes: OnnxAttribute[] = [];
  let [name, opType, domain] = ['', '', ''];
  for (const field of fields(bytes, span, what)) {
    if (field.number === 1) inputs.push(text(bytes, field, what));
    else if (field.number === 2) outputs.push(text(bytes, field, what));
    else if (field.number === 3) name = text(bytes, field, what);
    else if (field.number === 4) opType = text(bytes, field, what);
    else if (field.number === 7) domain = text(bytes, field, what);
    else if (field.number === 5) {
      attributes.push(readAttribute(bytes, expectWire(field, wireTypes.bytes, what), onTensor, depth));
    }
  }
  const { start, end } = span;
  return { opType, domain: domainName(domain), name, inputs, outputs, attributes, start, end };
}

/** GraphProto: 1 node, 2 name, 5 initializer, 11 input, 12 output, 15 sparse_initializer. */
export function readGraph(bytes: Buffer, span: Span, onTensor: OnTensor, depth = 0): OnnxGraph {
  if (depth > maxGraphDepth) {
    throw new OnnxFormatError(`Graphs are nested deeper than ${maxGraphDepth} levels.`, span.start);
  }
  const what = 'the graph';
  const nodes: OnnxNode[] = [];
  const inputs: OnnxValue[] = [];
  const outputs: OnnxValue[] = [];
  const initializers: OnnxTensor[] = [];
  let name = '';
  for (const field of fields(bytes, span, what)) {
    if (field.number === 2) name = text(bytes, field, what);
    if (![1, 5, 11, 12, 15].includes(field.number)) continue;
    expectWire(field, wireTypes.bytes, what);
    if (field.number === 1) nodes.push(readNode(bytes, field, onTensor, depth));
    else if (field.number === 11) inputs.push(readValue(bytes, field));
    else if (field.number === 12) outputs.push(readValue(bytes, field));
    else {
      const tensor = field.number === 5 ? readTensor(bytes, field) : readSparse(bytes, field, onTensor);
      if (tensor === undefined) continue;
      initializers.push(tensor);
      if (field.number === 5) onTensor(tensor);
    }
  }
  return { name, nodes, inputs, outputs, initializers };
}
