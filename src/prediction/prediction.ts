/** Predicting: from rows or tensors through the router to a replica and back. */
import { may, type Viewer } from '../access/access.ts';
import {
  armServing,
  drawArm,
  drawReplica,
  type ArmRoute,
  type DeploymentRoute,
  type ReplicaRoute,
  type RouteTable,
} from '../deployment/routing.ts';
import { answers, isComingUp } from '../deployment/deployment.state.ts';
import {
  ReplicaFailed,
  ReplicaRejected,
  ReplicaTimeout,
  ReplicaUnreachable,
} from '../inference/replica-errors.ts';
import type { CallSignal, Inferred } from '../inference/replica-client.ts';
import type { Outcome } from '../metric/window.ts';
import type { Recorder } from '../metric/recorder.ts';
import type { Config } from '../platform/config.ts';
import {
  DeadlineExceededError,
  DomainError,
  ForbiddenError,
  NotFoundError,
  NotReadyError,
  ValidationError,
} from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import { shown } from '../name/name.ts';
import type { Signature } from '../signature/signature.ts';
import { parseTensors, rowCount, type TensorInput } from '../tensor/parse.ts';
import { invalidOutput } from '../tensor/results.ts';
import { packRows, type Row } from '../tensor/rows.ts';
import type { NamedTensor } from '../tensor/tensor.ts';
import type { Version } from '../version/version.ts';
import { ModelError } from './prediction.errors.ts';

/** What is asked of a model. */
export interface Asked {
  readonly rows?: readonly Row[] | null | undefined;
  readonly tensors?: readonly TensorInput[] | null | undefined;
  readonly outputs?: readonly string[] | null | undefined;
  /** Milliseconds; the configuration's where it is missing. */
  readonly timeoutMs?: number | null | undefined;
}

export interface PredictInput extends Asked {
  /** A deployment's id, or `project/name`. */
  readonly deployment: string;
  /** Only the arm with this version number answers, whatever its weight. */
  readonly version?: number | undefined;
  /** Reads the rest once the arm is known: what is wrong with a body is then counted where it was sent to. */
  readonly read?: (() => Asked) | undefined;
  /** Where the tensors stand in the caller's input, for errors; default `tensors`. */
  readonly tensorsAt?: readonly string[] | undefined;
}

export interface Predicted {
  /** UUIDv7; row n of it is the prediction `<requestId>:<n>`. */
  readonly requestId: string;
  /** That answered. */
  readonly version: Version;
  readonly arm: string;
  /** What `tensors` mean, and for how many rows: `rowResults` reads them row by row. */
  readonly signature: Signature;
  readonly rowCount: number;
  readonly tensors: readonly NamedTensor[];
  readonly warnings: readonly string[];
  /** Milliseconds: all of it here, waiting, and in the model's run that it shared with `batchSize` rows. */
  readonly latency: { totalMs: number; queueMs: number; computeMs: number; batchSize: number };
}

const SHUN_MS = 1_000;
const MAX_TIMEOUT_MS = 3_600_000;

export class Predictor {
  readonly #routes: RouteTable;
  readonly #recorder: Recorder;
  readonly #config: Config;

  constructor(routes: RouteTable, recorder: Recorder, config: Config) {
    this.#routes = routes;
    this.#recorder = recorder;
    this.#config = config;
  }

  /**
   * Answers one request of one or more rows; counted under the arm that was drawn, whatever comes of it.
   * @throws NotFoundError, ForbiddenError, ValidationError, NotReadyError, DeadlineExceededError, ModelError.
   */
  async predict(viewer: Viewer, input: PredictInput, signal?: CallSignal): Promise<Predicted> {
    const started = performance.now();
    const route = await this.route(viewer, input.deployment);
    if (!answers(route.state)) throw notAnswering(route);
    const arm =
      input.version === undefined
        ? (drawArm(route.arms, Math.random()) ?? route.arms[0])
        : armOf(route, input.version);
    if (!arm) throw notAnswering(route);
    const counted = { deploymentId: route.id, armId: arm.id, armName: arm.name };
    this.#recorder.enter(counted);
    let outcome: Outcome = 'server';
    let rows = 0;
    try {
      const { signature } = arm;
      const asked = input.read === undefined ? input : input.read();
      const deadline = this.#timeout(asked);
      checkOutputs(signature, asked.outputs);
      const inputs = pack(signature, asked, this.#config.MAX_ROWS, input.tensorsAt);
      rows = rowCount(signature, inputs);
      const inferred = await this.#infer(arm, route, inputs, asked.outputs ?? null, deadline, signal);
      const warnings = checkNumbers(signature, inferred.outputs, rows, route.invalidOutputs === 'RETURN');
      outcome = warnings.length > 0 ? 'model' : 'ok';
      return {
        requestId: newId(),
        version: arm.version,
        arm: arm.name,
        signature,
        rowCount: rows,
        tensors: inferred.outputs,
        warnings,
        latency: { ...inferred, totalMs: performance.now() - started },
      };
    } catch (error) {
      outcome = outcomeOf(error);
      throw error;
    } finally {
      this.#recorder.leave(counted);
      this.#recorder.record({ ...counted, outcome, latencyMs: performance.now() - started, rows });
    }
  }

  /** The deployment as it is routed now. @throws NotFoundError, for strangers too. */
  async route(viewer: Viewer, deployment: string): Promise<DeploymentRoute> {
    let route = this.#routes.get(deployment);
    // Whoever has just read that it is LIVE must not hear of a moment ago.
    if (!route || isComingUp(route.state)) route = await this.#routes.find(deployment);
    if (!route || !may(viewer, route.projectId, 'READER'))
      throw new NotFoundError(`Deployment ${shown(deployment)}`);
    return route;
  }

  #timeout(input: Asked): number {
    const { timeoutMs } = input;
    if (timeoutMs === null || timeoutMs === undefined) return this.#config.PREDICT_TIMEOUT_MS;
    if (timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
      throw ValidationError.of(['timeoutMs'], `1 to ${MAX_TIMEOUT_MS} ms`, String(timeoutMs));
    }
    return timeoutMs;
  }

  /** One try, and one more elsewhere when the replica went away under it: a prediction changes nothing. */
  async #infer(
    arm: ArmRoute,
    route: DeploymentRoute,
    inputs: readonly NamedTensor[],
    outputs: readonly string[] | null,
    timeoutMs: number,
    signal: CallSignal | undefined,
  ): Promise<Inferred> {
    const started = performance.now();
    let replica = drawReplica(arm.replicas, started, null);
    for (let tries = 1; replica; tries++) {
      try {
        return await send(
          replica,
          inputs,
          outputs,
          timeoutMs - (performance.now() - started),
          tries > 1,
          signal,
        );
      } catch (error) {
        if (!(error instanceof ReplicaUnreachable) || tries === 2) throw translate(error, route, timeoutMs);
        replica.shunUntil = performance.now() + SHUN_MS;
        const failed = replica;
        // A replica that came up meanwhile counts, too.
        const fresh = this.#routes.get(route.id)?.arms.find(({ id }) => id === arm.id) ?? arm;
        replica = drawReplica(fresh.replicas, performance.now(), failed);
      }
    }
    throw notAnswering(route);
  }
}

async function send(
  replica: ReplicaRoute,
  inputs: readonly NamedTensor[],
  outputs: readonly string[] | null,
  timeoutMs: number,
  alone: boolean,
  signal: CallSignal | undefined,
): Promise<Inferred> {
  replica.inFlight += 1;
  try {
    const limits = { timeoutMs: Math.max(1, timeoutMs), alone };
    return await replica.client.infer(inputs, outputs, signal ? { ...limits, signal } : limits);
  } finally {
    replica.inFlight -= 1;
  }
}

/** @throws NotFoundError that says which versions are there. */
export function armOf(route: DeploymentRoute, version: number): ArmRoute {
  const arm = armServing(route.arms, version);
  if (arm) return arm;
  const served = [...new Set(route.arms.map((one) => one.version.number))].toSorted((a, b) => a - b);
  throw new NotFoundError(
    `Version ${version} at ${route.label}`,
    served.length === 0 ? 'No version is deployed there.' : `Deployed there: ${served.join(', ')}.`,
  );
}

function pack(
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

function checkOutputs(signature: Signature, outputs: readonly string[] | null | undefined): void {
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

/** @throws ModelError when an answer holds NaN or an infinity and the deployment does not return such. */
function checkNumbers(
  signature: Signature,
  outputs: readonly NamedTensor[],
  rows: number,
  returned: boolean,
): string[] {
  const invalid = invalidOutput(signature, outputs, rows);
  if (invalid === null) return [];
  if (returned) return [invalid];
  throw new ModelError(
    `The model's answer is invalid: ${invalid}`,
    'Deploy with invalidOutputs: RETURN to get it as it is.',
  );
}

/** Why a deployment has no answer now. */
export function notAnswering(route: DeploymentRoute): NotReadyError {
  const why = route.stateReason ? ` ${route.stateReason}` : '';
  if (answers(route.state)) return new NotReadyError(`No replica of ${route.label} is ready.${why}`, SHUN_MS);
  const waits = isComingUp(route.state);
  return new NotReadyError(
    `Deployment ${route.label} is ${route.state}.${why}`,
    waits ? SHUN_MS : null,
    waits
      ? 'Watch subscription deployment(id) until it is LIVE.'
      : 'Create a deployment with createDeployment.',
  );
}

function translate(error: unknown, route: DeploymentRoute, timeoutMs: number): unknown {
  if (error instanceof ReplicaTimeout)
    return new DeadlineExceededError(timeoutMs, 'Send fewer rows, or raise timeoutMs.');
  if (error instanceof ReplicaFailed) return new ModelError(`The model failed: ${error.message}`);
  if (error instanceof ReplicaRejected) {
    return error.status === 400
      ? ValidationError.of(['tensors'], 'what the graph takes', error.message)
      : error;
  }
  if (error instanceof ReplicaUnreachable) return notAnswering(route);
  return error;
}

/** Whose fault it was: a caller's mistake does not count against the model. */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof ModelError) return 'model';
  if (error instanceof ValidationError || error instanceof ForbiddenError) return 'client';
  if (error instanceof DomainError) return 'server';
  return (error as Error | undefined)?.name === 'AbortError' ? 'client' : 'server';
}
