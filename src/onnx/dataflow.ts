/** Questions about how values flow through the main graph. Nested graphs are not looked into. */
import type { OnnxNode } from './graph.ts';
import type { OnnxModel } from './model.ts';
import { nodeLabels } from './serving-graph.ts';
import { attributeFloat, attributeInts, attributeStrings, attributeTensor, labelsOf } from './tensor.ts';
import type { Labels, ReadExternal } from './tensor.ts';

function attributeOf(node: OnnxNode, name: string) {
  return node.attributes.find((attribute) => attribute.name === name);
}

/** Which node produces each tensor. */
function producers(model: OnnxModel): Map<string, OnnxNode> {
  return new Map(model.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
}

/** The nodes that `tensor` depends on, nearest first. */
function* upstream(tensor: string, producedBy: ReadonlyMap<string, OnnxNode>): Generator<OnnxNode, void> {
  const seen = new Set([tensor]);
  // A Set grows while it is iterated: it is the queue, and keeps cycles out.
  for (const name of seen) {
    const node = producedBy.get(name);
    if (node === undefined) continue;
    yield node;
    for (const input of node.inputs) seen.add(input);
  }
}

/** A tensor's values where it is an initializer or made by a Constant node. */
function constantLabels(
  model: OnnxModel,
  name: string,
  producedBy: ReadonlyMap<string, OnnxNode>,
  readExternal: ReadExternal,
): Labels | undefined {
  const initializer = model.initializers.get(name);
  if (initializer !== undefined) return labelsOf(model.bytes, initializer, readExternal);
  const node = producedBy.get(name);
  if (node?.opType !== 'Constant') return undefined;
  const attribute = attributeOf(node, 'value');
  const tensor = attribute && attributeTensor(model.bytes, attribute);
  return tensor && labelsOf(model.bytes, tensor, readExternal);
}

/** LabelEncoder from the indices 0..n-1 to names: attributes keys_int64s and values_strings. */
function encoderLabels(model: OnnxModel, node: OnnxNode): Labels | undefined {
  const [keys, values] = [attributeOf(node, 'keys_int64s'), attributeOf(node, 'values_strings')];
  if (keys === undefined || values === undefined) return undefined;
  const positions = [...attributeInts(model.bytes, keys)].map(Number);
  const names = attributeStrings(model.bytes, values);
  const ordered = names.map((_, index) => names[positions.indexOf(index)]);
  return ordered.every((name) => name !== undefined) ? { kind: 'text', values: ordered } : undefined;
}

/**
 * The class labels that stand nearest upstream of `output`, in the order of the probabilities' columns: a ZipMap's or
 * a classifier's attribute, or the constant that ArrayFeatureExtractor or Gather picks the label from (which is how
 * skl2onnx ends models that are no single classifier operator).
 */
export function classesBehind(
  model: OnnxModel,
  output: string,
  readExternal: ReadExternal,
): Labels | undefined {
  const producedBy = producers(model);
  for (const node of upstream(output, producedBy)) {
    if (node.domain === 'ai.onnx.ml' && (node.opType === 'ZipMap' || node.opType.endsWith('Classifier'))) {
      const labels = nodeLabels(model, node);
      if (labels !== undefined) return labels;
    } else if (node.opType === 'LabelEncoder') {
      const labels = encoderLabels(model, node);
      if (labels !== undefined) return labels;
    } else if (node.opType === 'ArrayFeatureExtractor' || node.opType === 'Gather') {
      const labels = constantLabels(model, node.inputs[0] ?? '', producedBy, readExternal);
      // Gather from whole numbers is how exporters compute shapes.
      if (labels !== undefined && (node.opType !== 'Gather' || labels.kind === 'text')) return labels;
    }
  }
  return undefined;
}

/** Operators that hand a NaN on as a NaN. */
const passesNaN = new Set(
  (
    'Cast Identity Concat Reshape Flatten Squeeze Unsqueeze Transpose Gather Slice Split ' +
    'Scaler Normalizer FeatureVectorizer ArrayFeatureExtractor Add Sub Mul Div'
  ).split(' '),
);

/** Operators with a defined answer to NaN: imputation, a tree's branch for missing values, an explicit test. */
function handlesNaN(model: OnnxModel, node: OnnxNode): boolean {
  if (node.opType === 'IsNaN') return true;
  if (node.opType === 'Imputer') {
    const replaced = attributeOf(node, 'replaced_value_float');
    return replaced !== undefined && Number.isNaN(attributeFloat(model.bytes, replaced));
  }
  const tracks = attributeOf(node, 'nodes_missing_value_tracks_true');
  if (!node.opType.startsWith('TreeEnsemble') || tracks === undefined) return false;
  for (const track of attributeInts(model.bytes, tracks)) if (track === 1n) return true;
  return false;
}

/** The graph's inputs of which NaN reaches an operator that knows what to do with it. */
export function nullableInputs(model: OnnxModel): Set<string> {
  const producedBy = producers(model);
  const reached = new Set<string>();
  for (const node of model.nodes) if (handlesNaN(model, node)) reached.add(node.inputs[0] ?? '');
  for (const name of reached) {
    const node = producedBy.get(name);
    if (node !== undefined && passesNaN.has(node.opType)) for (const input of node.inputs) reached.add(input);
  }
  return reached;
}
