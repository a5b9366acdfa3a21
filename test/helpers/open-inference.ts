/** A client of the Open Inference Protocol v2, in JSON and binary, over node:http: headers go as they are given. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { decodeResponse } from '#src/inference/protocol.decode.ts';
import { encodeRequest } from '#src/inference/protocol.ts';
import type { Signature } from '#src/signature/signature.ts';
import { jsonData } from '#src/tensor/json.ts';
import { parseTensors, type TensorInput } from '#src/tensor/parse.ts';
import type { Installation } from './installation.ts';

export interface InferAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface InferCall {
  readonly method?: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string | object;
}

/** One request; an object as its body goes as JSON. */
export function sendInference(
  installation: Pick<Installation, 'api'>,
  path: string,
  { method, token, headers = {}, body }: InferCall = {},
): Promise<InferAnswer> {
  const bytes = typeof body === 'object' && !Buffer.isBuffer(body) ? JSON.stringify(body) : body;
  const all: Record<string, string> = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(bytes === undefined ? {} : { 'content-type': 'application/json' }),
    ...headers,
  };
  const { hostname, port } = new URL(installation.api.url);
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        hostname,
        port,
        path,
        method: method ?? (bytes === undefined ? 'GET' : 'POST'),
        headers: all,
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(bytes);
  });
}

export const jsonOf = ({ body }: InferAnswer): Record<string, unknown> =>
  JSON.parse(body.toString()) as Record<string, unknown>;

/** The protocol's error, with its status. @throws Error for any other answer. */
export function errorOf(answer: InferAnswer): { readonly status: number; readonly error: string } {
  const { error, ...more } = jsonOf(answer);
  if (typeof error !== 'string' || Object.keys(more).length > 0)
    throw new Error(`HTTP ${answer.status}: ${answer.body.toString()}`);
  return { status: answer.status, error };
}

/** A tensor in JSON's values, however it came. */
export interface ReadTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

export interface ReadAnswer {
  readonly modelName: string;
  readonly modelVersion: string | null;
  readonly id: string | null;
  readonly outputs: readonly ReadTensor[];
}

/** @throws Error when it is not 200 */
export function readAnswer({ status, headers, body }: InferAnswer): ReadAnswer {
  if (status !== 200) throw new Error(`HTTP ${status}: ${body.toString()}`);
  const length = headers['inference-header-content-length'];
  const response = decodeResponse(body, length === undefined ? null : Number(length));
  return {
    ...response,
    outputs: response.outputs.map((output) => ({ ...output, data: jsonData(output) })),
  };
}

export const inferPath = (name: string, project = 'test'): string =>
  `/v2/models/${encodeURIComponent(`${project}/${name}`)}/infer`;

/** The same inputs, every tensor as bytes, all outputs wanted as bytes. */
export function binaryCall(
  signature: Pick<Signature, 'inputs'>,
  inputs: readonly TensorInput[],
  more: InferCall = {},
): InferCall {
  const tensors = parseTensors(signature as Signature, inputs, { maxRows: Number.POSITIVE_INFINITY });
  const { body, headerLength } = encodeRequest(tensors, { binary: true });
  return { ...more, body, headers: { ...binaryHeaders(headerLength as number), ...more.headers } };
}

export const binaryHeaders = (headerLength: number): Record<string, string> => ({
  'content-type': 'application/octet-stream',
  'inference-header-content-length': String(headerLength),
});

/** A request by hand: a JSON header, and the bytes behind it. */
export function rawBinary(
  header: object | string,
  ...payload: readonly Uint8Array[]
): InferCall & { readonly body: Buffer; readonly headers: Record<string, string> } {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  return { body: Buffer.concat([json, ...payload]), headers: binaryHeaders(json.length) };
}
