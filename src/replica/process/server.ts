/** The Open Inference Protocol v2 of one version, and the two verbs of whoever keeps the replica. */
import { timingSafeEqual } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { decodeRequest, headerLengthOf } from '../../inference/protocol.decode.ts';
import { encodeResponse, type InferRequest } from '../../inference/protocol.ts';
import { formatTiming, TIMING_HEADER, type ReplicaStatus } from '../../inference/replica-status.ts';
import { ValidationError } from '../../platform/errors.ts';
import type { TensorSpec } from '../../signature/signature.ts';
import { parseTensors } from '../../tensor/parse.ts';
import { Abandoned, type Ran } from './batcher.ts';
import { BodyTooLarge, readBody } from './body.ts';
import type { Launch } from './launch.ts';
import type { NamedTensor } from '../../tensor/tensor.ts';

/** What the server needs of the replica behind it. */
export interface Served {
  readonly launch: Launch;
  readonly token: string | null;
  /** Rows of several requests that are best run together; 0 or 1 when none are. */
  readonly sharedRows: number;
  readonly isReady: boolean;
  /** Whether inference is taken. */
  readonly answers: boolean;
  status(): ReplicaStatus;
  renewLease(): void;
  drain(): void;
  infer(inputs: readonly NamedTensor[], outputs: readonly string[], isAbandoned: () => boolean): Promise<Ran>;
  /** Called around each inference request, answered or not. */
  begin(): void;
  end(): void;
}

/** An answer other than 200. */
class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const DEFAULT_MAX_BODY = 256 * 1024 * 1024;
/** Bytes up to which an answer is copied to go out in one piece with its head. */
const SMALL = 4096;

export function createReplicaServer(served: Served): Server {
  const { launch, token } = served;
  const model = `/v2/models/${encodeURIComponent(launch.modelName)}`;
  const paths = new Set([model, `${model}/versions/${launch.versionNumber}`]);
  const inferPaths = new Set([...paths].map((path) => `${path}/infer`));
  const expected = token === null ? null : Buffer.from(`Bearer ${token}`);
  // Callers close what is idle; a limit here would cost each request two changes of a timer. The system ends what is dead.
  const connections = { keepAliveTimeout: 0, keepAlive: true, noDelay: true };
  const server = createServer(connections, (request, response) => {
    response.sendDate = false;
    const url = request.url ?? '';
    if (expected !== null && !isAuthorized(request, expected)) {
      fail(response, new HttpError(401, 'This replica needs its token.'));
    } else if (request.method === 'POST' && inferPaths.has(url)) {
      void infer(served, request, response);
    } else {
      answer(served, request, response, paths);
    }
  });
  server.requestTimeout = 60_000;
  return server;
}

function isAuthorized(request: IncomingMessage, expected: Buffer): boolean {
  const given = Buffer.from(request.headers.authorization ?? '');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** 4xx is the caller's doing, 503 was not executed, every other 5xx is the model's. */
function fail(response: ServerResponse, error: unknown): void {
  if (response.destroyed || response.headersSent) return;
  const message = error instanceof Error ? error.message : String(error);
  // What is left of a body that nobody reads must not be taken for the next request.
  if (!response.req.complete) response.setHeader('connection', 'close');
  send(response, statusOf(error), { error: message });
}

function statusOf(error: unknown): number {
  if (error instanceof HttpError) return error.status;
  if (error instanceof ValidationError) return 400;
  return error instanceof BodyTooLarge ? 413 : 500;
}

async function infer(served: Served, request: IncomingMessage, response: ServerResponse): Promise<void> {
  served.begin();
  response.once('close', () => served.end());
  try {
    if (!served.answers) throw new HttpError(503, `The replica is ${served.status().state}.`);
    const body = await readBody(request, served.launch.maxBodyBytes ?? DEFAULT_MAX_BODY);
    const asked = decodeRequest(body, headerLengthOf(request.headers['inference-header-content-length']));
    const { signature } = served.launch;
    const inputs = parseTensors(signature, asked.inputs, { maxRows: Infinity, root: ['inputs'] });
    const ran = await served.infer(inputs, outputNames(served, asked), () => response.destroyed);
    reply(served, asked, ran, response);
  } catch (error) {
    if (!(error instanceof Abandoned)) fail(response, error);
  }
}

function outputNames(served: Served, asked: InferRequest): readonly string[] {
  const known = served.launch.signature.outputs;
  if (asked.outputs === null || asked.outputs.length === 0) return known.map(({ name }) => name);
  return asked.outputs.map(({ name }, index) => {
    if (known.some((output) => output.name === name)) return name;
    const names = known.map((output) => JSON.stringify(output.name)).join(', ');
    throw ValidationError.of(['outputs', index, 'name'], `one of ${names}`, JSON.stringify(name));
  });
}

function reply(served: Served, asked: InferRequest, ran: Ran, response: ServerResponse): void {
  const { launch } = served;
  const { body, headerLength } = encodeResponse(
    {
      modelName: launch.modelName,
      modelVersion: String(launch.versionNumber),
      id: asked.id,
      parameters: {},
      outputs: ran.outputs,
    },
    (name) => asked.outputs?.find((output) => output.name === name)?.binary ?? asked.binaryOutput,
  );
  const headers: OutgoingHttpHeaders = {
    'content-type': headerLength === null ? 'application/json' : 'application/octet-stream',
    'content-length': body.length,
    [TIMING_HEADER]: formatTiming(ran, served.sharedRows),
  };
  if (headerLength !== null) headers['inference-header-content-length'] = headerLength;
  response.writeHead(200, headers);
  // node joins a text with the head and writes once; Latin-1 is byte for byte.
  if (body.length <= SMALL) response.end(body.toString('latin1'), 'latin1');
  else response.end(body);
}

/** Everything but inference. */
function answer(
  served: Served,
  request: IncomingMessage,
  response: ServerResponse,
  paths: ReadonlySet<string>,
): void {
  const url = request.url ?? '';
  const ready = served.isReady ? 200 : 503;
  if (request.method === 'POST' && url === '/lease') {
    served.renewLease();
    send(response, 200, served.status());
  } else if (request.method === 'POST' && url === '/drain') {
    served.drain();
    send(response, 200, served.status());
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    fail(response, new HttpError(notFoundOr(405, url), `${request.method} ${url} is not offered here.`));
  } else if (url === '/v2') {
    send(response, 200, { name: 'modelarium-replica', version: '1', extensions: ['binary_tensor_data'] });
  } else if (url === '/v2/health/live') {
    send(response, 200, { live: true });
  } else if (url === '/v2/health/ready') {
    send(response, ready, { ready: served.isReady });
  } else if (paths.has(url)) {
    send(response, 200, metadata(served.launch));
  } else if (url.endsWith('/ready') && paths.has(url.slice(0, -'/ready'.length))) {
    send(response, ready, { name: served.launch.modelName, ready: served.isReady });
  } else {
    fail(
      response,
      new HttpError(404, `${url} is not here: this replica serves ${[...paths].join(' and ')}.`),
    );
  }
}

/** Another model's inference path is unknown; a known path with a wrong verb is not. */
const notFoundOr = (status: number, url: string): number =>
  /^\/v2\/models\/.*\/infer$/.test(url) ? 404 : status;

const declare = ({ name, datatype, shape }: TensorSpec) => ({ name, datatype, shape });

function metadata(launch: Launch): unknown {
  return {
    name: launch.modelName,
    versions: [String(launch.versionNumber)],
    platform: 'onnx_onnxv1',
    inputs: launch.signature.inputs.map(declare),
    outputs: launch.signature.outputs.map(declare),
  };
}
