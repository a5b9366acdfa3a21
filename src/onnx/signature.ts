/** What a graph takes and answers, from its own declarations and what the caller adds. */
import type { ValidationIssue } from '../platform/errors.ts';
import type { Datatype, GivenSignature, Signature, TensorSpec } from '../signature/signature.ts';
import { classesOf, labelCandidates, positiveClassOf, rolesOf, taskOf } from './classes.ts';
import { columnsOf } from './columns.ts';
import { classesBehind, nullableInputs } from './dataflow.ts';
import type { OnnxModel } from './model.ts';
import { SignatureMismatch, UnsupportedGraphError } from './onnx.errors.ts';
import type { Labels, ReadExternal } from './tensor.ts';
import { describeType, elemTypeName } from './value-type.ts';
import type { OnnxValue } from './value-type.ts';

/** Open Inference datatypes by onnxruntime's element type. */
const datatypeOf: Readonly<Record<string, Datatype>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float: 'FP32',
  double: 'FP64',
  string: 'BYTES',
};

/** A tensor without a declared shape is taken for one value per row. */
function tensorSpec(role: 'Input' | 'Output', value: OnnxValue, nullable: boolean): TensorSpec {
  const { name, type } = value;
  const datatype = type.kind === 'tensor' ? datatypeOf[elemTypeName(type.elemType)] : undefined;
  if (type.kind !== 'tensor' || datatype === undefined) {
    const served = Object.keys(datatypeOf).join(', ');
    throw new UnsupportedGraphError(
      `${role} "${name}" is ${describeType(type)}, which cannot be served. Expected a tensor of ${served}.`,
    );
  }
  return { name, datatype, shape: type.dims ?? [-1], nullable };
}

/** Where rows are variable, a label declared as [1] is one per row: converters (LightGBM's) declare it so. */
function withRows(outputs: readonly TensorSpec[], inputs: readonly TensorSpec[]): TensorSpec[] {
  const variable = inputs.some((input) => input.shape[0] === -1);
  const labels = labelCandidates(outputs);
  return outputs.map((output) =>
    variable && labels.includes(output) && output.shape[0] === 1
      ? { ...output, shape: [-1, ...output.shape.slice(1)] }
      : output,
  );
}

/** The graph's own classes: behind a label output first, then behind any other (a ZipMap among them). */
function foundClasses(model: OnnxModel, outputs: readonly TensorSpec[], readExternal: ReadExternal) {
  const labels = labelCandidates(outputs);
  for (const { name, datatype } of [...labels, ...outputs.filter((output) => !labels.includes(output))]) {
    const found: Labels | undefined = classesBehind(model, name, readExternal);
    const contradicts = datatype === 'BYTES' && found?.kind === 'integer';
    if (found !== undefined && !contradicts) return found;
  }
  return undefined;
}

/**
 * The signature of a version.
 * @param model the uploaded graph, which still has its ZipMap and so the classes.
 * @param served the graph that is served: its inputs and outputs are the signature's. The same where none is derived.
 * @param readExternal reads labels that lie in an external data file; without it those stay unknown.
 * @throws SignatureMismatch when `given` does not fit the graph, with every issue.
 * @throws UnsupportedGraphError when an input or output has no Open Inference datatype, or there is no input.
 */
export function signatureOf(
  model: OnnxModel,
  served: OnnxModel,
  given: GivenSignature | null,
  readExternal: ReadExternal = () => undefined,
): Signature {
  if (served.inputs.length === 0) throw new UnsupportedGraphError('The graph takes no input.');
  const issues: ValidationIssue[] = [];
  const nullable = nullableInputs(served);
  const plain = served.inputs.map((input) => {
    const spec = tensorSpec('Input', input, false);
    return { ...spec, nullable: spec.datatype.startsWith('FP') && nullable.has(spec.name) };
  });
  const outputs = withRows(
    served.outputs.map((output) => tensorSpec('Output', output, false)),
    plain,
  );
  const found = foundClasses(model, outputs, readExternal);
  const classes = classesOf(given?.classes, found, outputs, issues);
  const roles = rolesOf(outputs, classes, found);
  const task = taskOf(given?.task, classes, roles, issues);
  const positiveClass = positiveClassOf(given?.positiveClass, classes, task, issues);
  const columns = columnsOf(given?.columns, plain, issues);
  if (issues.length > 0) throw new SignatureMismatch(issues);
  const mayMiss = new Set(columns?.filter((column) => column.nullable).map((column) => column.input));
  const inputs = plain.map((input) => ({ ...input, nullable: input.nullable || mayMiss.has(input.name) }));
  return { inputs, outputs, columns, classes, positiveClass, task, ...roles };
}
