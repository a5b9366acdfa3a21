/**
 * The graph that is served. The uploaded bytes stay as they are; but a ZipMap (the default of scikit-learn's
 * exporters) turns the probabilities into a sequence of maps, which the runtime's Node binding cannot return and
 * Open Inference has no datatype for. So the served graph offers the tensor that fed the ZipMap instead.
 */
import type { OnnxNode } from './graph.ts';
import type { OnnxModel } from './model.ts';
import { encodeBytes, encodeHeader, encodeInteger, fields, text } from './protobuf.ts';
import type { Field } from './protobuf.ts';
import { attributeInts, attributeStrings } from './tensor.ts';
import type { Labels } from './tensor.ts';

/** Names the derivation and its version; stored beside the served graph. */
const zipMapRemoved = 'zipmap-removed/1';

interface ServingGraph {
  readonly bytes: Buffer;
  readonly transform: typeof zipMapRemoved;
}

/** ZipMap: attribute `classlabels_strings` or `classlabels_int64s`; the same for the classifiers of ai.onnx.ml. */
export function nodeLabels(model: OnnxModel, node: OnnxNode): Labels | undefined {
  for (const attribute of node.attributes) {
    if (attribute.name === 'classlabels_strings') {
      const values = attributeStrings(model.bytes, attribute);
      if (values.length > 0) return { kind: 'text', values };
    }
    if (attribute.name === 'classlabels_int64s' || attribute.name === 'classlabels_ints') {
      const values = [...attributeInts(model.bytes, attribute)].map(String);
      if (values.length > 0) return { kind: 'integer', values };
    }
  }
  return undefined;
}

function isZipMap(node: OnnxNode): boolean {
  return node.opType === 'ZipMap' && node.domain === 'ai.onnx.ml';
}

/** The ZipMaps that produce an output of the graph and feed nothing else. */
function outputZipMaps(model: OnnxModel): OnnxNode[] {
  const outputs = new Set(model.outputs.map((output) => output.name));
  const candidates = model.nodes.filter((node) => isZipMap(node) && outputs.has(node.outputs[0] ?? ''));
  if (candidates.length === 0) return [];
  const used = new Set(model.nodes.flatMap((node) => node.inputs));
  return candidates.filter((node) => !used.has(node.outputs[0] ?? ''));
}

/**
 * NodeProto (1 input, 2 output, 3 name, 4 op_type) that gives the ZipMap's input the output's name. An Identity and
 * not a renamed tensor: it holds also where that tensor is used elsewhere, is an input, or is an output of its own.
 */
function identityNode(zipMap: OnnxNode): Buffer {
  const output = zipMap.outputs[0] ?? '';
  return encodeBytes(1, [
    encodeBytes(1, zipMap.inputs[0] ?? ''),
    encodeBytes(2, output),
    encodeBytes(3, `modelarium/${output}`),
    encodeBytes(4, 'Identity'),
  ]);
}

/**
 * ValueInfoProto (1 name, 2 type) of a float tensor [variable, classes]. The first dimension has no name, like
 * those the exporters write: a name that the graph uses for something else would be taken for the same size.
 */
function probabilitiesValue(name: string, classes: number): Buffer {
  const columns = encodeBytes(1, classes > 0 ? [encodeInteger(1, classes)] : []);
  const shape = encodeBytes(2, [encodeBytes(1, []), columns]);
  const tensorType = encodeBytes(1, [encodeInteger(1, 1), shape]);
  return encodeBytes(12, [encodeBytes(1, name), encodeBytes(2, [tensorType])]);
}

/** ValueInfoProto.name. */
function valueName(bytes: Buffer, field: Field): string {
  const name = [...fields(bytes, field, 'a value')].findLast((inner) => inner.number === 1);
  return name === undefined ? '' : text(bytes, name, 'a value');
}

/** The graph's fields, verbatim but for the ZipMaps, their outputs' declarations, and value_info (13) on them. */
function rewriteGraph(model: OnnxModel, zipMaps: readonly OnnxNode[]): Buffer[] {
  const { bytes, graphSpan } = model;
  const nodeAt = new Map(zipMaps.map((node) => [node.start, node]));
  const byOutput = new Map(zipMaps.map((node) => [node.outputs[0] ?? '', node]));
  const parts: Buffer[] = [];
  let from = graphSpan.start;
  const replace = (field: Field, replacement: Buffer[]) => {
    parts.push(bytes.subarray(from, field.tagAt), ...replacement);
    from = field.end;
  };
  for (const field of fields(bytes, graphSpan, 'the graph')) {
    const node = field.number === 1 ? nodeAt.get(field.start) : undefined;
    if (node !== undefined) replace(field, [identityNode(node)]);
    if (field.number !== 12 && field.number !== 13) continue;
    const name = valueName(bytes, field);
    const zipMap = byOutput.get(name);
    if (zipMap === undefined) continue;
    const classes = nodeLabels(model, zipMap)?.values.length ?? 0;
    replace(field, field.number === 12 ? [probabilitiesValue(name, classes)] : []);
  }
  parts.push(bytes.subarray(from, graphSpan.end));
  return parts;
}

/**
 * A graph of ML operators alone need not import ai.onnx, which Identity is of. Where other ai.onnx nodes are used
 * without an import, the runtime's own default stays in force. OperatorSetIdProto: 1 domain, 2 version.
 */
function missingOpset(model: OnnxModel): Buffer[] {
  if (model.opsets.has('ai.onnx') || model.nodes.some((node) => node.domain === 'ai.onnx')) return [];
  return [encodeBytes(8, [encodeBytes(1, ''), encodeInteger(2, 13)])];
}

/**
 * The graph to serve in place of the uploaded one: each ZipMap at an output replaced by the FP32 tensor
 * [-1, classes] that fed it, under the output's own name; every other byte verbatim.
 * @returns undefined when the uploaded graph can be served as it is.
 */
export function deriveServingGraph(model: OnnxModel): ServingGraph | undefined {
  const { bytes } = model;
  const zipMaps = outputZipMaps(model);
  if (zipMaps.length === 0) return undefined;
  const graph = rewriteGraph(model, zipMaps);
  const length = graph.reduce((sum, part) => sum + part.length, 0);
  const whole = [...fields(bytes, { start: 0, end: bytes.length }, 'the model')];
  const old = whole.find((field) => field.number === 7);
  const parts = [
    bytes.subarray(0, old?.tagAt ?? 0),
    encodeHeader(7, length),
    ...graph,
    bytes.subarray(model.graphSpan.end),
    ...missingOpset(model),
  ];
  return { bytes: Buffer.concat(parts), transform: zipMapRemoved };
}
