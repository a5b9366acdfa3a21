/**
 * The Open Inference Protocol v2 at the public door, for clients of KServe, Triton and their like. A model is a
 * deployment; access, checks and counting are those of GraphQL's `predict`.
 * Source: kserve/open-inference-protocol, `inference_rest.md`; Triton's binary tensor data extension.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Viewer } from '#src/access/access.ts';
import { answers } from '#src/deployment/deployment.state.ts';
import type { ArmRoute, DeploymentRoute } from '#src/deployment/routing.ts';
import type { CallSignal } from '#src/inference/replica-client.ts';
import { decodeRequest } from '#src/inference/protocol.decode.ts';
import { encodeAnswer, type InferRequest } from '#src/inference/protocol.ts';
import { NotFoundError, ValidationError } from '#src/platform/errors.ts';
import { shown } from '#src/name/name.ts';
import type { Platform } from '#src/platform/platform.ts';
import type { Asked } from '#src/prediction/checks.ts';
import { armOf, notAnswering, versionsOf } from '#src/prediction/choice.ts';
import type { Predicted } from '#src/prediction/prediction.ts';
import type { IdempotentPredictor } from '#src/prediction/idempotency.ts';
import type { TensorSpec } from '#src/signature/signature.ts';
import { sendReadiness } from './health.ts';
import { readInferenceBody, type BodyLimits, type InferenceBody } from './inference-body.ts';
import { InferencePaths, type InferencePath } from './inference-path.ts';
import { ClientGone, InferenceRefusal, refuseInferenceWith } from './inference-refusal.ts';
import { endWithText, sendJson } from './request.ts';

/** Who asks; undefined for those who have been told that they may not. */
export type Admit = (req: IncomingMessage, res: ServerResponse) => Promise<Viewer | undefined>;

const SERVER = { name: 'modelarium', version: '2', extensions: ['binary_tensor_data'] };
const INPUTS = ['inputs'];
const LENGTH_HEADER = 'inference-header-content-length';
/** Bytes up to which an answer is copied to go out in one piece with its head. */
const SMALL = 4096;

/** Tells the work under way that its caller has left; an AbortController costs a request several times as much. */
class Departure implements CallSignal {
  aborted = false;
  #listener: (() => void) | null = null;

  get reason(): ClientGone {
    return new ClientGone('The caller went away.');
  }

  constructor(res: ServerResponse) {
    res.once('close', () => {
      if (res.writableFinished) return;
      this.aborted = true;
      this.#listener?.();
    });
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listener = listener;
  }

  removeEventListener(): void {
    this.#listener = null;
  }
}

type Model = Extract<InferencePath, { readonly deployment: string }>;

/** @throws NotFoundError for what can be no version's number. */
function versionOf({ version, deployment }: Model): number | undefined {
  if (version === null) return undefined;
  if (/^[1-9]\d{0,8}$/.test(version)) return Number(version);
  throw new NotFoundError(
    `Version ${shown(version)} at ${deployment}`,
    'Versions are numbers; /v2/models/{project}/{name} lists those that are deployed.',
  );
}

/** The arm that a path without a version is about: the one with most of the traffic. */
function mainArm(route: DeploymentRoute): ArmRoute | undefined {
  let main: ArmRoute | undefined;
  for (const arm of route.arms) if (arm.role !== 'SHADOW' && (!main || arm.weight > main.weight)) main = arm;
  return main;
}

const declare = ({ name, datatype, shape }: TensorSpec) => ({ name, datatype, shape });

function metadata(route: DeploymentRoute, version: number | undefined): unknown {
  const arm = version === undefined ? mainArm(route) : armOf(route, version);
  if (!arm) throw notAnswering(route);
  return {
    name: route.label,
    versions: versionsOf(route).map(String),
    platform: 'onnx_onnxv1',
    inputs: arm.signature.inputs.map(declare),
    outputs: arm.signature.outputs.map(declare),
  };
}

/** @throws NotReadyError that says why not */
function readiness(route: DeploymentRoute, version: number | undefined): unknown {
  const arms = version === undefined ? route.arms : [armOf(route, version)];
  const isUp = arms.some(({ role, replicas }) => role !== 'SHADOW' && replicas.length > 0);
  if (!answers(route.state) || !isUp) throw notAnswering(route);
  return { name: route.label, ready: true };
}

/** @throws ValidationError */
function timeoutOf({ parameters }: InferRequest): number | null {
  const given = parameters['timeout_ms'];
  if (given === undefined) return null;
  if (typeof given === 'number') return given;
  throw ValidationError.of(['parameters', 'timeout_ms'], 'a number of milliseconds', shown(String(given)));
}

/** What a decoded request asks of the Predictor. */
function askedIn(request: InferRequest): Asked {
  const { inputs, outputs } = request;
  return {
    timeoutMs: timeoutOf(request),
    tensors: inputs,
    outputs: outputs === null || outputs.length === 0 ? null : outputs.map(({ name }) => name),
  };
}

function send(res: ServerResponse, label: string, request: InferRequest, predicted: Predicted): void {
  const { outputs: asked, binaryOutput } = request;
  const encoded = encodeAnswer(
    {
      modelName: label,
      modelVersion: String(predicted.version.number),
      id: request.id ?? predicted.requestId,
      parameters: predicted.warnings.length === 0 ? {} : { warnings: predicted.warnings.join(' ') },
      outputs: predicted.tensors,
    },
    asked === null || asked.length === 0
      ? () => binaryOutput
      : (name) => asked.find((output) => output.name === name)?.binary ?? binaryOutput,
  );
  const id = ['x-request-id', predicted.requestId];
  if (typeof encoded === 'string') {
    const bytes = Buffer.byteLength(encoded);
    res.writeHead(200, ['content-type', 'application/json', 'content-length', String(bytes), ...id]);
    endWithText(res, encoded, bytes);
    return;
  }
  const { body, headerLength } = encoded;
  const lengths = ['content-length', String(body.length), LENGTH_HEADER, String(headerLength)];
  res.writeHead(200, ['content-type', 'application/octet-stream', ...lengths, ...id]);
  // node joins a text with the head and writes once; Latin-1 is byte for byte.
  if (body.length <= SMALL) res.end(body.toString('latin1'), 'latin1');
  else res.end(body);
}

function requireMethod(req: IncomingMessage, methods: readonly string[]): void {
  const method = req.method ?? '';
  if (methods.includes(method)) return;
  const allowed = methods.join(', ');
  throw new InferenceRefusal(405, `The method: expected ${allowed} here, found ${method}.`, {
    allow: allowed,
  });
}

/** Keys go in headers, so that whoever routes need not read the body. */
function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

const unknown = (path: string, why: string | null): InferenceRefusal => {
  const found = shown(path);
  const offered =
    '/v2, /v2/health/live, /v2/health/ready and /v2/models/{project}/{name}[/versions/{n}][/ready | /infer]';
  return new InferenceRefusal(404, `${found} is not here. ${why ?? `There is ${offered}.`}`);
};

const READ = ['GET', 'HEAD'] as const;

/** The handler of `/v2` and everything below it; never rejects. */
export function inference(
  platform: Platform,
  predictor: IdempotentPredictor,
  admit: Admit,
): (req: IncomingMessage, res: ServerResponse, path: string) => Promise<void> {
  const { config, logger } = platform;
  const paths = new InferencePaths();
  const limits: BodyLimits = {
    bodyBytes: config.MAX_INFER_BYTES,
    jsonBytes: config.MAX_BODY_BYTES,
    withinMs: config.PREDICT_TIMEOUT_MS,
  };

  async function infer(
    req: IncomingMessage,
    res: ServerResponse,
    viewer: Viewer,
    model: Model,
  ): Promise<void> {
    const version = versionOf(model);
    // Nobody's bytes are taken for what does not exist for them.
    const { label } = await predictor.route(viewer, model.deployment);
    const body: InferenceBody = await readInferenceBody(req, limits);
    let request: InferRequest | undefined;
    const read = (): Asked => askedIn((request = decodeRequest(body.bytes, body.headerLength)));
    const predicted = await predictor.predict(
      viewer,
      {
        deployment: model.deployment,
        version,
        routingKey: headerOf(req, 'x-routing-key'),
        idempotencyKey: headerOf(req, 'idempotency-key'),
        read,
        tensorsAt: INPUTS,
      },
      new Departure(res),
    );
    if (request && !res.destroyed) send(res, label, request, predicted);
  }

  async function ofModel(req: IncomingMessage, res: ServerResponse, model: Model): Promise<void> {
    requireMethod(req, model.kind === 'infer' ? ['POST'] : READ);
    const viewer = await admit(req, res);
    if (!viewer) return;
    if (model.kind === 'infer') return infer(req, res, viewer, model);
    const version = versionOf(model);
    const route = await predictor.route(viewer, model.deployment);
    sendJson(res, 200, model.kind === 'model' ? metadata(route, version) : readiness(route, version));
  }

  async function answer(req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
    const asked = paths.of(path);
    if (asked.kind === 'unknown') throw unknown(path, asked.why);
    if ('deployment' in asked) return ofModel(req, res, asked);
    requireMethod(req, READ);
    if (asked.kind === 'serverReady') return sendReadiness(res, platform);
    sendJson(res, 200, asked.kind === 'live' ? { live: true } : SERVER);
  }

  return async (req, res, path) => {
    try {
      await answer(req, res, path);
    } catch (error) {
      refuseInferenceWith(res, error, logger);
    }
  };
}
