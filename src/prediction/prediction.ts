/** Predicting: from rows or tensors through the router to a replica and back. */
import { may, type Viewer } from '../access/access.ts';
import { answers } from '../deployment/deployment.state.ts';
import {
  armAt,
  drawReplica,
  mayBeUp,
  type ArmRoute,
  type DeploymentRoute,
  type ReplicaRoute,
  type RouteTable,
} from '../deployment/routing.ts';
import { ReplicaUnreachable } from '../inference/replica-errors.ts';
import type { CallSignal, Inferred } from '../inference/replica-client.ts';
import type { Outcome } from '../metric/window.ts';
import type { Recorder } from '../metric/recorder.ts';
import { shown } from '../name/name.ts';
import type { Config } from '../platform/config.ts';
import { DomainError, NotFoundError, ValidationError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Signature } from '../signature/signature.ts';
import { checkTags } from '../tag/tag.ts';
import { rowCount } from '../tensor/parse.ts';
import type { NamedTensor } from '../tensor/tensor.ts';
import type { Version } from '../version/version.ts';
import { checkNumbers, checkOutputs, outputsOf, pack, type Asked } from './checks.ts';
import { armOf, leastLoaded, notAnswering, placeFor, SHUN_MS } from './choice.ts';
import { outcomeOf, translate } from './failure.ts';
import type { LogEntry } from './log.entry.ts';
import type { PredictionLog } from './log.ts';

export interface PredictInput extends Asked {
  /** A deployment's id, or `project/name`. */
  readonly deployment: string;
  /** Requests with the same key are answered by the same arm, as long as its share does not shrink past the key. */
  readonly routingKey?: string | null | undefined;
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

/** What of a request is there for the log, however far it came. */
type Seen = {
  -readonly [key in Exclude<keyof LogEntry, 'deploymentId' | 'arm' | 'latencyMs'>]: LogEntry[key];
};

const MAX_TIMEOUT_MS = 3_600_000;
/** The replica that was drawn, and others when it went away under the request. */
const MOST_TRIES = 3;

export class Predictor {
  readonly #routes: RouteTable;
  readonly #recorder: Recorder;
  readonly #log: Pick<PredictionLog, 'record'>;
  readonly #config: Config;

  constructor(routes: RouteTable, recorder: Recorder, log: Pick<PredictionLog, 'record'>, config: Config) {
    this.#routes = routes;
    this.#recorder = recorder;
    this.#log = log;
    this.#config = config;
  }

  /**
   * Where a deployment's predictions go. It need not answer now.
   * @throws NotFoundError when it does not exist for the viewer.
   */
  async route(viewer: Viewer, ref: string): Promise<DeploymentRoute> {
    let route = this.#routes.get(ref);
    // Whoever has just read that it is LIVE must not hear of a moment ago.
    if (!route || mayBeUp(route)) route = await this.#routes.find(ref);
    if (!route || !may(viewer, route.projectId, 'READER'))
      throw new NotFoundError(`Deployment ${shown(ref)}`);
    return route;
  }

  /**
   * Answers one request of one or more rows; counted under the arm that was drawn, whatever comes of it.
   * @throws NotFoundError, ForbiddenError, ValidationError, NotReadyError, OverloadedError, DeadlineExceededError,
   * ModelError.
   */
  async predict(viewer: Viewer, input: PredictInput, signal?: CallSignal): Promise<Predicted> {
    const started = performance.now();
    const route = await this.route(viewer, input.deployment);
    if (!answers(route.state)) throw notAnswering(route);
    const arm =
      input.version === undefined
        ? (armAt(route.arms, placeFor(route.id, input.routingKey)) ?? route.arms[0])
        : armOf(route, input.version);
    if (!arm) throw notAnswering(route);
    const counted = { deploymentId: route.id, armId: arm.id, armName: arm.name };
    this.#recorder.enter(counted);
    let outcome: Outcome = 'server';
    const seen: Seen = { rows: 0, labels: null, inputs: [], outputs: null, requestId: null, error: null };
    try {
      const { signature } = arm;
      const asked = input.read === undefined ? input : input.read();
      const deadline = this.timeout(asked);
      checkOutputs(signature, asked.outputs);
      if (asked.labels) seen.labels = checkTags(['labels'], asked.labels);
      const inputs = (seen.inputs = pack(signature, asked, this.#config.MAX_ROWS, input.tensorsAt));
      const rows = (seen.rows = rowCount(signature, inputs));
      const inferred = await this.#infer(arm, route, inputs, asked.outputs ?? null, deadline, signal);
      const outputs = outputsOf(signature, asked.outputs ?? null, inferred.outputs);
      const warnings = checkNumbers(signature, outputs, rows, route.invalidOutputs === 'RETURN');
      outcome = warnings.length > 0 ? 'model' : 'ok';
      const requestId = (seen.requestId = newId());
      seen.outputs = outputs;
      return {
        requestId,
        version: arm.version,
        arm: arm.name,
        signature,
        rowCount: rows,
        tensors: outputs,
        warnings,
        latency: { ...inferred, totalMs: performance.now() - started },
      };
    } catch (error) {
      outcome = outcomeOf(error);
      seen.error = error instanceof DomainError ? error.code : 'INTERNAL';
      throw error;
    } finally {
      const latencyMs = performance.now() - started;
      this.#recorder.leave(counted);
      this.#recorder.record({ ...counted, outcome, latencyMs, rows: seen.rows });
      // A caller's mistake predicts nothing, and neither does what was refused for load.
      if (outcome !== 'client' && outcome !== 'shed' && seen.rows > 0)
        this.#log.record({ ...seen, deploymentId: route.id, arm, latencyMs });
    }
  }

  /** How long a request may take, in milliseconds. @throws ValidationError */
  timeout(input: Pick<Asked, 'timeoutMs'>): number {
    const { timeoutMs } = input;
    if (timeoutMs === null || timeoutMs === undefined) return this.#config.PREDICT_TIMEOUT_MS;
    if (timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
      throw ValidationError.of(['timeoutMs'], `1 to ${MAX_TIMEOUT_MS} ms`, String(timeoutMs));
    }
    return timeoutMs;
  }

  /** One try, and more elsewhere when the replica went away under it: a prediction changes nothing. */
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
    const mostMs = this.#config.OVERLOAD_WAIT_MS;
    if (replica && replica.load.overloadMs(started, mostMs) > 0) replica = leastLoaded(arm, route, mostMs);
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
        if (!(error instanceof ReplicaUnreachable) || tries === MOST_TRIES)
          throw translate(error, route, timeoutMs);
        const failed = replica;
        // A replica that came up meanwhile counts, too.
        const { replicas } = this.#routes.get(route.id)?.arms.find(({ id }) => id === arm.id) ?? arm;
        replica = drawReplica(replicas, performance.now(), failed);
        // One that broke off may have closed a connection just as that was used again: the only one is asked once more.
        if (!replica && tries === 1 && error.mayHaveExecuted && replicas.includes(failed)) replica = failed;
        else failed.shunUntil = performance.now() + SHUN_MS;
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
  const { load } = replica;
  const begunAt = performance.now();
  load.begin(begunAt);
  try {
    const limits = { timeoutMs: Math.max(1, timeoutMs), alone };
    const inferred = await replica.client.infer(inputs, outputs, signal ? { ...limits, signal } : limits);
    load.answered(performance.now(), begunAt, inferred.computeMs);
    return inferred;
  } catch (error) {
    load.end();
    throw error;
  }
}
