/**
 * Bodies of the Open Inference Protocol v2, as JSON and with binary tensors; protocol.decode.ts reads them.
 *
 * A body with binary tensors is a JSON header, its length in the HTTP header `Inference-Header-Content-Length`, then
 * each binary tensor's bytes in declared order, as many as its `parameters.binary_data_size` says.
 * Source: kserve/open-inference-protocol, `inference_rest.md`; Triton's binary tensor data extension.
 */
import { jsonText } from '../tensor/json.ts';
import type { TensorInput } from '../tensor/parse.ts';
import { wireSize, writeWire, type NamedTensor } from '../tensor/tensor.ts';

export type Parameters = Readonly<Record<string, string | number | boolean>>;

export interface InferRequest {
  readonly id: string | null;
  readonly parameters: Parameters;
  /** JSON inputs as they came, binary ones as typed arrays: `parseTensors` takes both. */
  readonly inputs: readonly TensorInput[];
  /** The outputs that are asked for; null for all. */
  readonly outputs: readonly RequestedOutput[] | null;
  /** Whether outputs that say nothing of their own are wanted as binary. */
  readonly binaryOutput: boolean;
}

export interface RequestedOutput {
  readonly name: string;
  readonly binary: boolean;
}

export interface InferResponse {
  readonly modelName: string;
  readonly modelVersion: string | null;
  readonly id: string | null;
  readonly parameters: Parameters;
  readonly outputs: readonly NamedTensor[];
}

/** A body and the length of its JSON header; null when it is nothing but JSON. */
export interface Encoded {
  readonly body: Buffer;
  /** What follows it, where copying that together would cost more than sending it in pieces. */
  readonly tail?: readonly Uint8Array[];
  readonly headerLength: number | null;
}

/** The JSON header is padded to this, so that a first tensor of any datatype starts aligned. */
const ALIGNMENT = 8;

const declare = (tensor: NamedTensor, rest: string): string =>
  `{"name":${JSON.stringify(tensor.name)},"shape":[${tensor.shape.join(',')}],"datatype":"${tensor.datatype}",${rest}}`;
const asBinary = (size: number): string => `"parameters":{"binary_data_size":${size}}`;

/** A JSON header as bytes, padded with spaces. */
function encodeHeader(json: string): Buffer {
  const length = Buffer.byteLength(json);
  return Buffer.from(json + ' '.repeat((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT));
}

/** The header of a binary request; `sizes` are the bytes of each input. Outputs are asked for as binary. */
export function requestHeader(
  inputs: readonly NamedTensor[],
  sizes: readonly number[],
  outputs: readonly string[] | null,
): Buffer {
  const declared = inputs.map((input, index) => declare(input, asBinary(sizes[index]!)));
  const asked = outputs === null ? '' : `,"outputs":${JSON.stringify(outputs.map((name) => ({ name })))}`;
  return encodeHeader(`{"parameters":{"binary_data_output":true},"inputs":[${declared.join(',')}]${asked}}`);
}

/** A request whose tensors are all binary, or all JSON. */
export function encodeRequest(
  inputs: readonly NamedTensor[],
  options: { readonly outputs?: readonly string[] | null; readonly id?: string; readonly binary: boolean },
): Encoded {
  const outputs = options.outputs ?? null;
  if (options.binary) {
    const sizes = inputs.map((input) => wireSize(input.data));
    return assemble(requestHeader(inputs, sizes, outputs), sizes, (body, at) => writeAll(inputs, body, at));
  }
  const id = options.id === undefined ? '' : `"id":${JSON.stringify(options.id)},`;
  const declared = inputs.map((input) => declare(input, `"data":${jsonText(input)}`));
  const asked = outputs === null ? '' : `,"outputs":${JSON.stringify(outputs.map((name) => ({ name })))}`;
  return { body: Buffer.from(`{${id}"inputs":[${declared.join(',')}]${asked}}`), headerLength: null };
}

/** A response; `binary` says which outputs go as bytes. */
export function encodeResponse(response: InferResponse, binary: (name: string) => boolean): Encoded {
  const encoded = encodeAnswer(response, binary);
  return typeof encoded === 'string' ? { body: Buffer.from(encoded), headerLength: null } : encoded;
}

/** As `encodeResponse`, where one without binary tensors stays text: HTTP then goes out in one piece with its head. */
export function encodeAnswer(response: InferResponse, binary: (name: string) => boolean): Encoded | string {
  const { modelName, modelVersion, id, parameters, outputs } = response;
  let json = `{"model_name":${JSON.stringify(modelName)}`;
  if (modelVersion !== null) json += `,"model_version":${JSON.stringify(modelVersion)}`;
  if (id !== null) json += `,"id":${JSON.stringify(id)}`;
  for (const _ in parameters) {
    json += `,"parameters":${JSON.stringify(parameters)}`;
    break;
  }
  json += ',"outputs":[';
  const inBinary: NamedTensor[] = [];
  const sizes: number[] = [];
  for (let index = 0; index < outputs.length; index++) {
    const output = outputs[index]!;
    if (index > 0) json += ',';
    if (binary(output.name)) {
      const size = wireSize(output.data);
      inBinary.push(output);
      sizes.push(size);
      json += declare(output, asBinary(size));
    } else json += declare(output, `"data":${jsonText(output)}`);
  }
  json += ']}';
  if (inBinary.length === 0) return json;
  return assemble(encodeHeader(json), sizes, (body, at) => writeAll(inBinary, body, at));
}

/** Header and tensors in one buffer; `write` puts the tensors' bytes behind an offset. */
export function assemble(
  header: Buffer,
  sizes: readonly number[],
  write: (body: Buffer, offset: number) => void,
): Encoded {
  let length = header.length;
  for (const size of sizes) length += size;
  const body = Buffer.allocUnsafe(length);
  body.set(header);
  write(body, header.length);
  return { body, headerLength: header.length };
}

function writeAll(tensors: readonly NamedTensor[], body: Buffer, offset: number): void {
  let at = offset;
  for (const tensor of tensors) at = writeWire(tensor.data, body, at);
}
