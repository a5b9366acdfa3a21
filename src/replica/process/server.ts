/** The Open Inference Protocol v2 of one version, and the two verbs of whoever keeps the replica. */
import { timingSafeEqual } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { CHANNEL_PATH } from '../../inference/channel-frame.ts';
import { headerLengthOf } from '../../inference/protocol.decode.ts';
import { formatTiming, TIMING_HEADER } from '../../inference/replica-status.ts';
import type { TensorSpec } from '../../signature/signature.ts';
import { Abandoned } from './batcher.ts';
import { readBody } from './body.ts';
import { takeChannels } from './channel.ts';
import { checkAnswers, HttpError, inferBody, statusOf, type Inferred, type Served } from './infer.ts';
import type { Launch } from './launch.ts';

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
  const isAllowed = (request: IncomingMessage): boolean =>
    expected === null || isAuthorized(request, expected);
  // Any other request that asks for an upgrade is answered without.
  const shouldUpgradeCallback = (request: IncomingMessage): boolean =>
    request.url === CHANNEL_PATH && isAllowed(request);
  const server = createServer({ ...connections, shouldUpgradeCallback }, (request, response) => {
    response.sendDate = false;
    const url = request.url ?? '';
    if (!isAllowed(request)) {
      fail(response, new HttpError(401, 'This replica needs its token.'));
    } else if (request.method === 'POST' && inferPaths.has(url)) {
      void infer(served, request, response);
    } else {
      answer(served, request, response, paths);
    }
  });
  server.requestTimeout = 60_000;
  takeChannels(server, served, shouldUpgradeCallback);
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

function fail(response: ServerResponse, error: unknown): void {
  if (response.destroyed || response.headersSent) return;
  const message = error instanceof Error ? error.message : String(error);
  // What is left of a body that nobody reads must not be taken for the next request.
  if (!response.req.complete) response.setHeader('connection', 'close');
  send(response, statusOf(error), { error: message });
}

async function infer(served: Served, request: IncomingMessage, response: ServerResponse): Promise<void> {
  served.begin();
  response.once('close', () => served.end());
  try {
    checkAnswers(served);
    const body = await readBody(request, served.launch.maxBodyBytes ?? DEFAULT_MAX_BODY);
    const headerLength = headerLengthOf(request.headers['inference-header-content-length']);
    reply(await inferBody(served, body, headerLength, () => response.destroyed), response);
  } catch (error) {
    if (!(error instanceof Abandoned)) fail(response, error);
  }
}

function reply({ encoded: { body, headerLength }, timing }: Inferred, response: ServerResponse): void {
  const headers: OutgoingHttpHeaders = {
    'content-type': headerLength === null ? 'application/json' : 'application/octet-stream',
    'content-length': body.length,
    [TIMING_HEADER]: formatTiming(timing),
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
