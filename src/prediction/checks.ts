/** What goes into a model and what comes out of it, against the version's signature. */
import { shown } from '../name/name.ts';
import type { TagRecord } from '../platform/database.types.ts';
import { ValidationError } from '../platform/errors.ts';
import type { Signature } from '../signature/signature.ts';
import { parseTensors, type TensorInput } from '../tensor/parse.ts';
import { invalidOutput } from '../tensor/results.ts';
import { packRows, type Row } from '../tensor/rows.ts';
import type { NamedTensor } from '../tensor/tensor.ts';
import { ModelError } from './prediction.errors.ts';

/** What is asked of a model. */
export interface Asked {
  readonly rows?: readonly Row[] | null | undefined;
  readonly tensors?: readonly TensorInput[] | null | undefined;
  readonly outputs?: readonly string[] | null | undefined;
  /** Milliseconds; the configuration's where it is missing. */
  readonly timeoutMs?: number | null | undefined;
  /** Whatever the caller wants to find it by in the log. */
  readonly labels?: readonly TagRecord[] | null | undefined;
}

/** Rows or tensors as the tensors that the graph takes. @throws ValidationError */
export function pack(
  signature: Signature,
  input: Asked,
  maxRows: number,
  root: readonly string[] | undefined,
): NamedTensor[] {
  const { rows, tensors } = input;
  if ((rows ?? null) !== null && (tensors ?? null) !== null) {
    throw ValidationError.of(['tensors'], 'either rows or tensors', 'both');
  }
  if (rows) return packRows(signature, rows, maxRows);
  if (tensors) return parseTensors(signature, tensors, root === undefined ? { maxRows } : { maxRows, root });
  throw ValidationError.of(['rows'], 'rows or tensors', 'neither');
}

/** @throws ValidationError unless each is an output of the version, and named once. */
export function checkOutputs(signature: Signature, outputs: readonly string[] | null | undefined): void {
  if (!outputs) return;
  const known = signature.outputs.map((output) => output.name);
  if (outputs.length === 0)
    throw ValidationError.of(['outputs'], `some of ${known.join(', ')}`, 'an empty list');
  outputs.forEach((name, index) => {
    if (!known.includes(name))
      throw ValidationError.of(['outputs', index], `one of ${known.join(', ')}`, shown(name));
    if (outputs.indexOf(name) !== index)
      throw ValidationError.of(['outputs', index], 'each output once', shown(name));
  });
}

/**
 * The outputs that were asked for, in that order: a server of somebody else's may answer anything.
 * @throws ModelError when one is not there, or is something else.
 */
export function outputsOf(
  signature: Signature,
  asked: readonly string[] | null,
  outputs: readonly NamedTensor[],
): NamedTensor[] {
  const specs = asked?.map((name) => signature.outputs.find((spec) => spec.name === name)!);
  return (specs ?? signature.outputs).map(({ name, datatype }) => {
    const output = outputs.find((one) => one.name === name);
    if (output?.datatype === datatype) return output;
    const found = output
      ? `output ${shown(name)} is ${output.datatype}, not ${datatype}`
      : `no output ${shown(name)}`;
    throw new ModelError(`The model's answer is invalid: ${found}.`, { isInvalid: true });
  });
}

/** @throws ModelError when an answer holds NaN or an infinity and the deployment does not return such. */
export function checkNumbers(
  signature: Signature,
  outputs: readonly NamedTensor[],
  rows: number,
  returned: boolean,
): string[] {
  const invalid = invalidOutput(signature, outputs, rows);
  if (invalid === null) return [];
  if (returned) return [invalid];
  throw new ModelError(`The model's answer is invalid: ${invalid}`, {
    hint: 'Deploy with invalidOutputs: RETURN to get it as it is.',
    isInvalid: true,
  });
}
