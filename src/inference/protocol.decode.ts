/** Bodies of the Open Inference Protocol v2 from foreign hands: every length is checked before it is believed. */
import { isUtf8 } from 'node:buffer';
import { ValidationError } from '../platform/errors.ts';
import type { Datatype } from '../signature/signature.ts';
import { cellWriter } from '../tensor/cell.ts';
import { suggestion } from '../text/nearest.ts';
import { describe } from '../tensor/issues.ts';
import type { TensorInput } from '../tensor/parse.ts';
import {
  allocate,
  elementCount,
  isDatatype,
  readWire,
  WireError,
  type NamedTensor,
} from '../tensor/tensor.ts';
import type { InferRequest, InferResponse, Parameters, RequestedOutput } from './protocol.ts';

/** Reads the HTTP header `Inference-Header-Content-Length`: null when it is not there. @throws ValidationError */
export function headerLengthOf(value: string | string[] | undefined): number | null {
  if (value === undefined) return null;
  if (typeof value === 'string' && /^\d{1,15}$/.test(value)) return Number(value);
  throw ValidationError.of(['Inference-Header-Content-Length'], 'a number of bytes', describe(value));
}

/** @throws ValidationError for a body that is no request; whether the model can take it is `parseTensors`' question. */
export function decodeRequest(body: Buffer, headerLength: number | null): InferRequest {
  const { header, payload } = split(body, headerLength);
  checkMembers(header, requestMembers, []);
  const inputs = listOf(header['inputs'], 'inputs');
  const parameters = objectOf(header['parameters'], ['parameters']) as Parameters;
  const binaryOutput = flagOf(parameters, 'binary_data_output', []) ?? false;
  const reader = new PayloadReader(payload);
  const decoded: TensorInput[] = [];
  for (let index = 0; index < inputs.length; index++) {
    const input = inputs[index]!;
    const path = ['inputs', index];
    checkMembers(input, inputMembers, path);
    const size = binarySizeOf(input, path);
    decoded.push(size === null ? declaredInput(input, path) : reader.read(input, size, path));
  }
  reader.finish();
  return {
    id: textOf(header['id'], 'id'),
    parameters,
    inputs: decoded,
    outputs: (header['outputs'] ?? null) === null ? null : requestedOutputs(header['outputs'], binaryOutput),
    binaryOutput,
  };
}

const requestMembers = new Set(['id', 'parameters', 'inputs', 'outputs']);
const inputMembers = new Set(['name', 'shape', 'datatype', 'parameters', 'data']);
const outputMembers = new Set(['name', 'parameters']);

/** What the protocol does not know would be ignored: a slip in a name is better told. Parameters are free. */
function checkMembers(object: JsonObject, known: ReadonlySet<string>, path: Path): void {
  for (const name in object) {
    if (known.has(name)) continue;
    const expected = `one of ${[...known].join(', ')}`;
    const where = [...path, name];
    const meant = suggestion(name, known);
    const message = `${where.join('.')}: expected ${expected}, found an unknown member.${meant === '' ? '' : ` ${meant}`}`;
    throw ValidationError.of(where, expected, 'an unknown member', { message });
  }
}

/** A parameter that is true or false; undefined where it is not given. */
function flagOf(parameters: JsonObject, name: string, path: Path): boolean | undefined {
  const value = parameters[name] ?? undefined;
  if (value === undefined || typeof value === 'boolean') return value;
  throw ValidationError.of([...path, 'parameters', name], 'true or false', describe(value));
}

/** An input with its values in JSON; what the protocol demands beside them must be there. */
function declaredInput(input: JsonObject, path: Path): TensorInput {
  for (const name of ['shape', 'datatype']) {
    if ((input[name] ?? null) === null) {
      const expected = name === 'shape' ? 'a list of dimensions' : 'a datatype of the protocol';
      throw ValidationError.of([...path, name], expected, 'nothing');
    }
  }
  return input as unknown as TensorInput;
}

function requestedOutputs(given: unknown, binaryOutput: boolean): RequestedOutput[] {
  return listOf(given, 'outputs').map((output, index) => {
    const { name } = output;
    checkMembers(output, outputMembers, ['outputs', index]);
    if (typeof name !== 'string') {
      throw ValidationError.of(['outputs', index, 'name'], 'the name of an output', describe(name));
    }
    const parameters = objectOf(output['parameters'], ['outputs', index, 'parameters']);
    return { name, binary: flagOf(parameters, 'binary_data', ['outputs', index]) ?? binaryOutput };
  });
}

/** @throws ValidationError for a body that is no response. JSON values of a server that writes NaN as text or null are read. */
export function decodeResponse(body: Buffer, headerLength: number | null): InferResponse {
  const { header, payload } = split(body, headerLength);
  const reader = new PayloadReader(payload);
  const outputs = listOf(header['outputs'], 'outputs').map((output, index) => {
    const path = ['outputs', index];
    const size = binarySizeOf(output, path);
    return size === null ? jsonTensor(output, path) : reader.read(output, size, path);
  });
  reader.finish();
  const version = header['model_version'];
  return {
    modelName: textOf(header['model_name'], 'model_name') ?? '',
    modelVersion: typeof version === 'number' ? String(version) : textOf(version, 'model_version'),
    id: textOf(header['id'], 'id'),
    parameters: objectOf(header['parameters'], ['parameters']) as Parameters,
    outputs,
  };
}

type Path = readonly (string | number)[];
type JsonObject = Readonly<Record<string, unknown>>;

function split(body: Buffer, headerLength: number | null): { header: JsonObject; payload: Buffer } {
  if (headerLength !== null && headerLength > body.length) {
    const found = `${headerLength}, longer than the body of ${body.length} bytes`;
    throw ValidationError.of(['Inference-Header-Content-Length'], 'the length of the JSON header', found);
  }
  const end = headerLength ?? body.length;
  if (!isUtf8(body.subarray(0, end))) throw ValidationError.of(['body'], 'UTF-8', 'other bytes');
  const header = parseJson(body.toString('utf8', 0, end));
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw ValidationError.of(['body'], 'a JSON object', describe(header));
  }
  return { header: header as JsonObject, payload: body.subarray(end) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Some clients write Python's NaN and Infinity. Outside of strings they follow a comma, bracket or colon.
    const bare = /[[,:]\s*(NaN|-?Infinity)\s*[\],}]/.exec(text)?.[1];
    const found = bare === undefined ? (error as Error).message : `the bare token ${bare}`;
    const hint = `JSON has no ${bare}: send it as the string "${bare}", or the tensor as binary data.`;
    throw ValidationError.of(['body'], 'JSON', found, bare === undefined ? {} : { hint });
  }
}

function listOf(value: unknown, name: string): JsonObject[] {
  if (!Array.isArray(value)) throw ValidationError.of([name], 'a list of tensors', describe(value));
  return value.map((entry, index) => {
    if (typeof entry === 'object' && entry !== null && !Array.isArray(entry)) return entry as JsonObject;
    throw ValidationError.of([name, index], 'a tensor', describe(entry));
  });
}

function objectOf(value: unknown, path: Path): JsonObject {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw ValidationError.of(path, 'an object', describe(value));
  return value as JsonObject;
}

function textOf(value: unknown, name: string): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string') throw ValidationError.of([name], 'text', describe(value));
  return value;
}

function binarySizeOf(tensor: JsonObject, path: Path): number | null {
  if (tensor['parameters'] === undefined) return null;
  const size = objectOf(tensor['parameters'], [...path, 'parameters'])['binary_data_size'];
  if (size === undefined) return null;
  const at = [...path, 'parameters', 'binary_data_size'];
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    throw ValidationError.of(at, 'a number of bytes', describe(size));
  }
  if (tensor['data'] !== undefined)
    throw ValidationError.of([...path, 'data'], 'none beside binary data', 'some');
  return size as number;
}

interface Declaration {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly count: number;
}

function declaration(tensor: JsonObject, path: Path): Declaration {
  const { name, datatype, shape } = tensor;
  if (typeof name !== 'string') throw ValidationError.of([...path, 'name'], 'a name', describe(name));
  if (!isDatatype(datatype)) {
    throw ValidationError.of([...path, 'datatype'], 'a datatype of the protocol', describe(datatype));
  }
  const count = Array.isArray(shape) ? elementCount(shape) : null;
  if (count === null) {
    throw ValidationError.of(
      [...path, 'shape'],
      'a list of dimensions, 0 or more',
      JSON.stringify(shape) ?? 'nothing',
    );
  }
  return { name, datatype, shape: shape as number[], count };
}

/** Takes the binary tensors off the bytes behind the header, one after the other. */
class PayloadReader {
  readonly #payload: Buffer;
  #at = 0;

  constructor(payload: Buffer) {
    this.#payload = payload;
  }

  read(tensor: JsonObject, size: number, path: Path): NamedTensor {
    const { name, datatype, shape, count } = declaration(tensor, path);
    const left = this.#payload.length - this.#at;
    if (size > left) {
      const at = [...path, 'parameters', 'binary_data_size'];
      throw ValidationError.of(at, `at most the ${left} bytes that are left`, String(size));
    }
    const bytes = this.#payload.subarray(this.#at, (this.#at += size));
    try {
      return { name, datatype, shape, data: readWire(datatype, count, bytes) };
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const message = `${path.join('.')}: ${error.message}.`;
      throw ValidationError.of(path, `the bytes of ${count} elements`, error.message, { message });
    }
  }

  finish(): void {
    const left = this.#payload.length - this.#at;
    if (left > 0) throw ValidationError.of(['body'], 'to end with the last tensor', `${left} more bytes`);
  }
}

function jsonTensor(tensor: JsonObject, path: Path): NamedTensor {
  const { name, datatype, shape, count } = declaration(tensor, path);
  const { data: given } = tensor;
  const at = [...path, 'data'];
  if (!Array.isArray(given)) throw ValidationError.of(at, 'a list of values', describe(given));
  const values = given.flat(Number.POSITIVE_INFINITY) as unknown[];
  if (values.length !== count) throw ValidationError.of(at, `${count} values`, `${values.length} values`);
  const data = allocate(datatype, count);
  const write = cellWriter(datatype, true);
  values.forEach((value, index) => {
    const wrong = write(data, index, value);
    if (wrong !== null) throw ValidationError.of([...at, index], wrong.expected, wrong.found);
  });
  return { name, datatype, shape, data };
}
